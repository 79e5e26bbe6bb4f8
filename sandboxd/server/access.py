"""Who calls, and whether they may: from a call's credentials to a caller with its rights.

Decides from the file of callers, which may be read again at any time. Without one, the owner of the
unix socket is who calls there, and anybody on this machine by loopback.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from sandboxd.errors import Busy, ForbiddenError, HostError, UnauthenticatedError
from sandboxd.model.caller import Caller, Role
from sandboxd.server.callers import Callers, parse_callers
from sandboxd.server.calls import Known
from sandboxd.server.parts import part_of_callers
from sandboxd.server.rates import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ANY = frozenset(Role)
RIGHTS: Mapping[str, frozenset[Role]] = {
    "/sandboxd.v1.RunnerService/Run": frozenset({Role.RUN}),
    "/sandboxd.v1.RunnerService/Attach": frozenset({Role.RUN}),
    "/sandboxd.v1.RunnerService/RunGroup": frozenset({Role.RUN}),
    "/sandboxd.v1.RunnerService/RunBatch": frozenset({Role.RUN}),
    "/sandboxd.v1.RunnerService/GetHost": ANY,
    "/sandboxd.v1.BlobService/FindMissingBlobs": frozenset({Role.RUN}),
    "/sandboxd.v1.BlobService/UploadBlob": frozenset({Role.RUN}),
    "/sandboxd.v1.BlobService/DownloadBlob": frozenset({Role.RUN}),
    "/sandboxd.v1.BlobService/ListBlobs": frozenset({Role.RUN}),
    "/sandboxd.v1.BlobService/DeleteBlob": frozenset({Role.RUN}),
    "/sandboxd.v1.JobService/StartJob": frozenset({Role.RUN}),
    "/sandboxd.v1.JobService/GetJob": frozenset({Role.RUN}),
    "/sandboxd.v1.JobService/ListJobs": frozenset({Role.RUN}),
    "/sandboxd.v1.JobService/WatchJob": frozenset({Role.RUN}),
    "/sandboxd.v1.JobService/CancelJob": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/CreateSandbox": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/GetSandbox": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/ListSandboxes": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/DeleteSandbox": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/PauseSandbox": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/ResumeSandbox": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/Exec": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/WriteFiles": frozenset({Role.RUN}),
    "/sandboxd.v1.SandboxService/ReadFiles": frozenset({Role.RUN}),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY,
}
"""Who may call what: one of these roles is enough. What is not here, nobody may."""
OPEN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""Open to all: a balancer asks them, and they say no more than whether we serve."""

OWNER = Caller(name="owner", roles=ANY)
"""Without a file of callers: whom the kernel lets open the unix socket."""
LOCAL = Caller(name="local", roles=frozenset({Role.RUN}))
"""Without a file of callers: anybody on this machine, by TCP."""
LOCAL_TENANT = "unix"

BEARER = "bearer "
MAX_FILE_BYTES = 1 << 20


class Access:
    """The callers that hold now, and how often each has called."""

    def __init__(
        self,
        path: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        worker_count: int = 1,
    ) -> None:
        """Read the file of callers, if there is one; each of several workers has a part of shares.

        Raises:
            HostError: it cannot be used (reason CALLERS_INVALID).

        """
        self._path = path
        self._clock = clock
        self._worker_count = worker_count
        self._buckets: dict[str, Bucket] = {}
        self.callers = self._read(path) if path else None
        """None: there is no file."""

    def reload(self, *, has_gate: bool) -> None:
        """Read the file again; when something is wrong with it, all stays as it is.

        Raises:
            HostError: it cannot be used, or names users whom only a gate lets in, without one.

        """
        if not self._path:
            return
        fresh = self._read(self._path)
        if foreign(fresh) and not has_gate:
            raise HostError(
                "CALLERS_INVALID",
                f"cannot use {self._path}: no uids but our own were in it at the start, so the "
                "socket is its owner's alone",
                "restart the server to let other users in",
            )
        self.callers = fresh

    def _read(self, path: str) -> Callers:
        return part_of_callers(read_callers(path), self._worker_count, path)

    def know(
        self, metadata: Iterable[tuple[str, str | bytes]], peer: Peer, names: Sequence[str]
    ) -> Known:
        """Tell who calls, from a call's metadata, where it comes from, and its certificate's names.

        A token decides, then a certificate, then the user of the unix socket.

        Raises:
            UnauthenticatedError: nobody who may call.

        """
        if self.callers is None:
            caller, by = (LOCAL, "address") if peer.uid is None else (OWNER, "uid")
            return Known(caller, peer.tenant, by)
        tokens = [value for key, value in metadata if key == "authorization"]
        if tokens:
            token, by = _token(tokens), "token"
            found = self.callers.by_token(token) if token else None
        elif names:
            found, by = self.callers.by_certificate(names), "certificate"
        elif peer.uid is not None:
            found, by = self.callers.by_uid(peer.uid), "uid"
        else:
            raise UnauthenticatedError(
                "NO_CREDENTIALS",
                "cannot tell who calls: there is neither a token nor a client's certificate",
                "send the metadata 'authorization: Bearer TOKEN'",
            )
        if found is None:
            text = f"cannot tell who calls: this {by} is no caller's"
            raise UnauthenticatedError("WRONG_CREDENTIALS", text, "ask the server's operator")
        return Known(found, found.name, by)

    def known_as(self, tenant: str) -> Known:
        """Give the caller whose job was kept under this name, with the share that it has now.

        Raises:
            ForbiddenError: there is none any more who may run jobs.

        """
        if self.callers is None:
            return Known(OWNER if tenant == LOCAL_TENANT else LOCAL, tenant, "job")
        found = next((one for one in self.callers.all if one.name == tenant), None)
        if found is None or Role.RUN not in found.roles:
            text = "cannot run this job: its caller may run none any more"
            raise ForbiddenError("ROLE_MISSING", text, "ask the server's operator")
        return Known(found, found.name, "job")

    def check(self, known: Known, method: str) -> None:
        """Refuse what the caller has no right to, or asks for too often.

        Raises:
            ForbiddenError: no role of the caller's allows it.
            Busy: its rate is used up (reason RATE_EXCEEDED).

        """
        rights = RIGHTS.get(method, frozenset())
        if not rights & known.caller.roles:
            names = " or ".join(sorted(role.value for role in rights)) or "that nobody has"
            raise ForbiddenError(
                "ROLE_MISSING",
                f"cannot call {method}: it takes the role {names}",
                "ask the server's operator",
            )
        share = known.caller.share
        if share.rate is None:
            return
        now = self._clock()
        bucket = self._buckets.get(known.tenant)
        if bucket is None or (bucket.rate, bucket.burst) != (share.rate, share.burst):
            bucket = self._buckets[known.tenant] = Bucket(share.rate, share.burst, now)
        wait = bucket.take(now)
        if wait is not None:
            busy = Busy(f"cannot take more than {share.rate:g} calls a second of yours", wait)
            busy.reason = "RATE_EXCEEDED"
            raise busy


class Peer:
    """Where a call comes from, as gRPC names it."""

    def __init__(self, name: str, uid_of: Callable[[str], int | None]) -> None:
        """Take gRPC's name of the peer; `uid_of` knows those that came through a gate."""
        self.is_unix = name.startswith("unix")
        self.uid = None
        """The user of this machine, if it came by a unix socket."""
        self.tenant = LOCAL_TENANT
        """Who it is where callers have no names: all of the unix socket, or the address."""
        if self.is_unix:
            gated = uid_of(name)
            self.uid = os.getuid() if gated is None else gated
        else:
            self.tenant = name.rpartition(":")[0]


def foreign(callers: Callers | None) -> frozenset[int]:
    """Name the users, beside the one we are, who may call by the unix socket."""
    return callers.uids - {os.getuid()} if callers else frozenset()


def read_callers(path: str) -> Callers:
    """Read a file of callers, which nobody but its owner (root, or we) may be able to write.

    Raises:
        HostError: it cannot be read, is not safe, or something in it is wrong.

    """
    try:
        with open(path, "rb") as file:
            about = os.fstat(file.fileno())
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or "", "let the server's user read it") from error
    if about.st_uid not in {0, os.getuid()} or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(path, "others may write it", f"chown root {path}; chmod 640 {path}")
    if len(content) > MAX_FILE_BYTES:
        raise _unusable(path, f"it has more than {MAX_FILE_BYTES} bytes", "shorten it")
    try:
        return parse_callers(content.decode(), path)
    except UnicodeDecodeError as error:
        raise _unusable(path, "it is no UTF-8", "write it as UTF-8") from error


def _token(values: Sequence[str | bytes]) -> bytes:
    """Give the bearer token of an `authorization`; what is none belongs to nobody."""
    value = values[0]
    if len(values) > 1 or not isinstance(value, str) or not value.lower().startswith(BEARER):
        return b""
    return value[len(BEARER) :].strip().encode()


def _unusable(path: str, cause: str, remedy: str) -> HostError:
    return HostError("CALLERS_INVALID", f"cannot use {path}: {cause}", remedy)
