"""Addresses to listen on: `unix:PATH` for the owner alone, `HOST:PORT` on loopback or by TLS.

Decides which addresses are safe without authentication, and makes way for a new socket. Beside a
socket of systemd, leads clients from there to the server's own (docs/decisions/0007).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.server.addresses import UNIX, host_of, is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

log = logging.getLogger(__name__)

SETTINGS = bytes.fromhex("000000 04 00 00000000")
"""An HTTP/2 server's first frame, empty: with it a client takes the connection for made."""
CONNECT_AGAIN = bytes.fromhex("000008 07 00 00000000 00000000 00000000")
"""GOAWAY before stream 1: no call of yours was looked at. A gRPC client then sends its calls again,
on a new connection."""
PREFACE_BYTES, FRAME_HEAD_BYTES, HEADERS = 24, 9, 1
CALL_SECONDS = 1.0
"""How long we wait for a client's first call before we tell it to connect again."""
GOODBYE_SECONDS = 5.0
"""How long a client that was told to connect again may hold the old connection."""

MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 with its NUL."""


def bind(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> str:
    """Make `server` listen on `address`; give the address with the port that was taken.

    A socket file gets mode 0600, its directory 0700 if it must be created. What a dead server left
    there is replaced, a live server is not. TCP is by TLS where there are `credentials`.

    Raises:
        HostError: the address is taken, cannot be used, or is TCP beyond loopback without TLS.

    """
    if address.startswith(UNIX):
        path = Path(address.removeprefix(UNIX))
        make_way(path)
        mask = os.umask(0o177)
        try:
            _add(server, f"{UNIX}{path}")
        finally:
            os.umask(mask)
        return f"{UNIX}{path}"
    host = checked_host(address, is_safe=credentials is not None)
    return f"{host}:{_add(server, address, credentials)}"


def checked_host(address: str, *, is_safe: bool) -> str:
    """Give the HOST of a HOST:PORT, as it is written there.

    `is_safe`: whether all who come by TCP must show who they are, over TLS.

    Raises:
        HostError: the address is no HOST:PORT, or leads beyond loopback and is not safe.

    """
    host = host_of(address)
    if not host:
        raise HostError(
            "INVALID_ADDRESS",
            f"cannot listen on {address!r}: it is neither unix:PATH nor HOST:PORT",
            "write for example unix:/run/sandboxd/sandboxd.sock or 127.0.0.1:50051",
        )
    if not is_safe and not is_loopback(host):
        raise HostError(
            "UNAUTHENTICATED_TCP",
            f"cannot listen on {address}: TCP beyond loopback needs authentication, over TLS",
            "configure callers and [tls], or listen on unix:PATH or 127.0.0.1:PORT",
        )
    return host


def make_way(path: Path, directory_mode: int = 0o700) -> None:
    """Create the directory of a socket, and remove a socket that nobody serves.

    Raises:
        HostError: a live server, or something that is no socket, is in the way.

    """
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise _cannot_listen(
            path, f"the path has more than {MAX_SOCKET_PATH_BYTES} bytes", "choose a shorter one"
        )
    try:
        path.parent.mkdir(mode=directory_mode, parents=True, exist_ok=True)
        if stat.S_ISSOCK(path.lstat().st_mode):
            _remove_dead(path)
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(
            path, error.strerror or "", "choose a directory that is yours"
        ) from error
    raise _cannot_listen(path, "a file that is no socket is there", "remove it or choose another")


def room_of(path: Path) -> Path:
    """Name the directory for gRPC's own sockets behind the one at `path`."""
    return path.with_name(f".{path.name}.d")


def make_room(path: Path) -> Path:
    """Make the directory for gRPC's own sockets behind the one at `path`; it is ours alone.

    Raises:
        HostError: something is in the way.

    """
    room = room_of(path)
    try:
        with suppress(FileExistsError):
            room.mkdir(mode=0o700)
        about = room.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            raise PermissionError(0, "it is not ours")
        room.chmod(0o700)
    except OSError as error:
        raise HostError(
            "CANNOT_LISTEN",
            f"cannot keep a socket in {room}: {error.strerror}",
            "let the socket lie in a directory of the server's user",
        ) from error
    return room


def _remove_dead(path: Path) -> None:
    """Remove a socket file unless somebody listens behind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise _cannot_listen(
                path, "another server listens there", "stop that server or choose another path"
            )
    path.unlink()


def listen_unix(path: Path, *, is_open: bool) -> socket.socket:
    """Listen at a path, for its owner alone or, if it `is_open`, for every user.

    Raises:
        HostError: something is in the way.

    """
    make_way(path, 0o711 if is_open else 0o700)
    if is_open and not path.parent.stat().st_mode & stat.S_IXOTH:
        log.warning("other users cannot reach %s: chmod o+x its directory", path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o111 if is_open else 0o177)
    try:
        listener.bind(str(path))
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        remedy = "choose a directory that is yours"
        raise _cannot_listen(path, error.strerror or "", remedy) from error
    finally:
        os.umask(mask)
    listener.settimeout(0)
    return listener


class Door:
    """A link by which clients come in: to systemd's socket, or while we serve to the server's own.

    gRPC cannot be given an open socket. So calls that come while nobody serves wait in systemd's,
    and are sent to ours as soon as it listens: nothing stands between a client and gRPC.
    """

    def __init__(self, waiting: socket.socket, links: Sequence[Path]) -> None:
        """Take systemd's socket, and where clients look for a server."""
        self._waiting = waiting
        self._room = Path(waiting.getsockname())
        self._links = links
        self.serving = self._room.with_name("serving.sock")
        """Where gRPC must listen."""

    def check(self) -> None:
        """See to it that nothing but a link is in the way.

        Raises:
            HostError: something else is.

        """
        for link in self._links:
            if not link.is_symlink():
                make_way(link)

    async def open(self) -> None:
        """Lead all clients to the server's own socket, those that wait too."""
        self._lead_to(self.serving)
        self._usher = await asyncio.start_server(
            _send_on, sock=self._waiting.dup(), backlog=socket.SOMAXCONN
        )

    def close(self) -> None:
        """Let clients wait in systemd's socket for the next server."""
        self._usher.close()
        self.shut()

    def shut(self) -> None:
        """Lead clients to systemd's socket."""
        self._lead_to(self._room)

    def _lead_to(self, target: Path) -> None:
        for link in self._links:
            fresh = link.with_name(f".{link.name}.{os.getpid()}")
            try:
                with suppress(FileNotFoundError):
                    fresh.unlink()
                fresh.symlink_to(target)
                fresh.replace(link)
            except OSError as error:
                remedy = "let its directory belong to the service's user"
                raise _cannot_listen(link, error.strerror or "", remedy) from error


async def _send_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tell a client to connect again, but not before it has made its call.

    Told together with the SETTINGS, gRPC's client may send its call again and again on the
    connection that it should leave.
    """
    with suppress(OSError, EOFError, TimeoutError):
        writer.write(SETTINGS)
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_SECONDS):
                await _first_call(reader)
        writer.write(CONNECT_AGAIN)
        writer.write_eof()
        async with asyncio.timeout(GOODBYE_SECONDS):
            while await reader.read(1 << 16):
                pass
    writer.close()


async def _first_call(reader: asyncio.StreamReader) -> None:
    """Read a client's frames until one begins a call."""
    await reader.readexactly(PREFACE_BYTES)
    while True:
        head = await reader.readexactly(FRAME_HEAD_BYTES)
        if head[3] == HEADERS:
            return
        await reader.readexactly(int.from_bytes(head[:3]))


def _add(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise _cannot_listen(address, "gRPC could not bind it", "choose a free one") from error


def _cannot_listen(address: Path | str, cause: str, remedy: str) -> HostError:
    return HostError("CANNOT_LISTEN", f"cannot listen on {address}: {cause}", remedy)
