"""Addresses to listen on: `unix:PATH` for the owner alone, `HOST:PORT` on loopback.

Decides which addresses are safe without authentication, and makes way for a new socket.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError

if TYPE_CHECKING:
    import grpc

UNIX = "unix:"

MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 with its NUL."""


def bind(server: grpc.aio.Server, address: str) -> str:
    """Make `server` listen on `address`; give the address with the port that was taken.

    A socket file gets mode 0600, its directory 0700 if it must be created. What a dead server left
    there is replaced, a live server is not.

    Raises:
        HostError: the address is taken, cannot be used, or is TCP beyond loopback.

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
    host = loopback_host(address)
    return f"{host}:{_add(server, address)}"


def loopback_host(address: str) -> str:
    """Give the HOST of a HOST:PORT on loopback, as it is written there.

    Raises:
        HostError: the address is no HOST:PORT, or leads beyond loopback.

    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise HostError(
            "INVALID_ADDRESS",
            f"cannot listen on {address!r}: it is neither unix:PATH nor HOST:PORT",
            "write for example unix:/run/sandboxd/sandboxd.sock or 127.0.0.1:50051",
        )
    try:
        safe = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name may lead anywhere
        safe = False
    if not safe:
        raise HostError(
            "UNAUTHENTICATED_TCP",
            f"cannot listen on {address}: TCP beyond loopback needs authentication",
            "listen on unix:PATH or 127.0.0.1:PORT, behind a proxy that authenticates",
        )
    return host


def make_way(path: Path) -> None:
    """Create the directory of a socket, and remove a socket that nobody serves.

    Raises:
        HostError: a live server, or something that is no socket, is in the way.

    """
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise _cannot_listen(
            path, f"the path has more than {MAX_SOCKET_PATH_BYTES} bytes", "choose a shorter one"
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def _remove_dead(path: Path) -> None:
    """Remove a socket file unless somebody listens behind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        if probe.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise _cannot_listen(
                path, "another server listens there", "stop that server or choose another path"
            )
    path.unlink()


def _add(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise _cannot_listen(address, "gRPC could not bind it", "choose a free one") from error


def _cannot_listen(address: Path | str, cause: str, remedy: str) -> HostError:
    return HostError("CANNOT_LISTEN", f"cannot listen on {address}: {cause}", remedy)
