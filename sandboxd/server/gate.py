"""The gate: lets several users of this machine come in by one unix socket, and knows who they are.

gRPC for Python does not tell which user is behind a unix socket. So the gate listens in its place,
asks the kernel (SO_PEERCRED), and passes the bytes on to gRPC's own socket, which nobody else can
reach. It does so from a socket that bears the user's id in its name, and that name gRPC tells.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import socket
import stat
import struct
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from sandboxd.errors import HostError
from sandboxd.server.listening import make_way

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Of one user at once; a client needs one, whatever it calls. Each takes three descriptors."""
CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""


class Gate:
    """Listens at a path that every user may open, and relays those whom it is told to let in."""

    def __init__(self, path: Path, may_enter: Callable[[int], bool]) -> None:
        """Take the socket's path, and what says of a uid whether it is some caller's."""
        self._path = path
        self._room = path.with_name(f".{path.name}.d")
        self.inner = self._room / "grpc.sock"
        """Where gRPC must listen."""
        self._may_enter = may_enter
        # Nobody can foresee the name, so nobody can bind it before us.
        self._badge = f"sandboxd-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)
        self._connections: Counter[int] = Counter()
        self._visitors: set[_Visitor] = set()
        self._server: asyncio.Server | None = None

    def uid_of(self, peer: str) -> int | None:
        """Give the user behind gRPC's name of a peer, if he came through here."""
        kind, _, name = peer.partition(":")
        badge, _, rest = name.partition("/")
        if kind != "unix-abstract" or badge != self._badge:
            return None
        return int(rest.partition("/")[0])

    def prepare(self) -> None:
        """Make the directory of gRPC's own socket, which is ours alone, and clear the path.

        Raises:
            HostError: something is in the way.

        """
        make_way(self._path, directory_mode=0o711)
        try:
            with suppress(FileExistsError):
                self._room.mkdir(mode=0o700)
            about = self._room.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                raise PermissionError(0, "it is not ours")
            self._room.chmod(0o700)
        except OSError as error:
            raise HostError(
                "CANNOT_LISTEN",
                f"cannot keep a socket in {self._room}: {error.strerror}",
                "let the socket lie in a directory of the server's user",
            ) from error

    async def open(self) -> None:
        """Let clients in; gRPC must listen already."""
        if not self._path.parent.stat().st_mode & stat.S_IXOTH:
            log.warning("other users cannot reach %s: chmod o+x its directory", self._path)
        loop = asyncio.get_running_loop()
        mask = os.umask(0o111)  # every user may connect; we look at each
        try:
            self._server = await loop.create_unix_server(
                lambda: _Visitor(self), str(self._path), backlog=socket.SOMAXCONN
            )
        finally:
            os.umask(mask)

    def close(self) -> None:
        """Let nobody in any more, part with those inside, and leave nothing behind."""
        if self._server is not None:
            self._server.close()
        for visitor in tuple(self._visitors):
            visitor.leave()
        for remove in (self._path.unlink, self.inner.unlink, self._room.rmdir):
            with suppress(OSError):
                remove()

    def admit(self, visitor: _Visitor) -> bool:
        """Count a connection in, unless its user is nobody's or has too many."""
        uid = visitor.uid
        if not self._may_enter(uid) or self._connections[uid] >= MAX_CONNECTIONS:
            return False
        self._connections[uid] += 1
        self._visitors.add(visitor)
        return True

    def part(self, visitor: _Visitor) -> None:
        """Count a connection out."""
        if visitor in self._visitors:
            self._visitors.discard(visitor)
            self._connections[visitor.uid] -= 1
            if not self._connections[visitor.uid]:
                del self._connections[visitor.uid]

    async def lead_in(self, visitor: _Visitor) -> None:
        """Connect a visitor to gRPC, under a name that bears his uid."""
        loop = asyncio.get_running_loop()
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inner.settimeout(0)
        try:
            inner.bind(f"\0{self._badge}/{visitor.uid}/{next(self._numbers)}")
            await loop.sock_connect(inner, str(self.inner))
            await loop.create_connection(lambda: _Relay(visitor), sock=inner)
        except OSError:
            inner.close()
            visitor.leave()


class _Relay(asyncio.Protocol):
    """One half of a relayed connection: what comes is written to the other half.

    While the other half cannot write, this one does not read: so neither buffers without bound.
    """

    transport: asyncio.Transport

    def __init__(self, other: _Relay | None = None) -> None:
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other is None or self.other.transport.is_closing():
            self.transport.abort()
            return
        self.other.other = self
        self.other.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.other is not None:
            self.other.transport.close()


class _Visitor(_Relay):
    """The half that a client is at."""

    uid: int

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        client = transport.get_extra_info("socket")
        told = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self.uid = CREDENTIALS.unpack(told)[1]
        if not self._gate.admit(self):
            self.transport.abort()
            return
        loop = asyncio.get_running_loop()
        # No reading until there is whom to write to. Soon: before 3.12 asyncio starts to read just
        # after this, paused or not.
        loop.call_soon(self.transport.pause_reading)
        self._way = loop.create_task(self._gate.lead_in(self))

    def connection_lost(self, error: Exception | None) -> None:
        self._gate.part(self)
        super().connection_lost(error)

    def leave(self) -> None:
        """End the connection at once."""
        self.transport.abort()
