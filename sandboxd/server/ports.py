"""What several workers share to be reached: TCP ports, held for them, and open unix sockets.

The parent's. A held port is bound but does not listen: the kernel gives no connection to it, and
the port to nobody else. gRPC cannot be given a listening socket, so the workers listen on the same
port (SO_REUSEPORT), and unix sockets, which cannot be shared like that, are the parent's to accept.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandboxd.errors import HostError
from sandboxd.server.addresses import UNIX
from sandboxd.server.listening import Door, checked_host, listen_unix, make_room
from sandboxd.server.seat import Orders

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""One of a name's addresses may be of a family that this machine lacks."""


class Ports:
    """Holds every address while its context lasts."""

    def __init__(
        self, listen: Sequence[str], waiting: socket.socket | None, *, is_open: bool, has_tls: bool
    ) -> None:
        """Take the addresses, systemd's socket if there is one, and who may come.

        `is_open` lets every user of this machine reach the unix sockets; who calls is looked at
        behind them. With `has_tls` addresses beyond loopback are safe.
        """
        self.addresses: tuple[str, ...] = ()
        """Where clients find us, as `listen` but for ports that were free to choose."""
        self.listeners: list[socket.socket] = []
        self._listen = listen
        self._waiting = waiting
        self._is_open = is_open
        self._has_tls = has_tls
        self._held: list[socket.socket] = []
        self._made: list[Path] = []
        self._room: Path | None = None
        self._paths = [Path(a.removeprefix(UNIX)) for a in listen if a.startswith(UNIX)]

    def __enter__(self) -> Self:
        """Take every address.

        Raises:
            HostError: one is taken, cannot be used, or is not safe.

        """
        try:
            self._open_unix()
            self.addresses = tuple(
                a if a.startswith(UNIX) else self._hold(a, is_safe=self._has_tls)
                for a in self._listen
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Give all up, and leave nothing behind."""
        for taken in (*self._held, *self.listeners):
            taken.close()
        if self._room is not None:
            for left in self._room.glob("*.sock"):  # of workers that were killed
                left.unlink()
            with suppress(OSError):
                self._room.rmdir()
        for path in self._made:
            path.unlink(missing_ok=True)

    @property
    def is_kept(self) -> bool:
        """Tell whether clients can wait in the unix socket when nobody serves: it is systemd's."""
        return self._waiting is not None

    def orders(self, index: int) -> Orders:
        """Tell a worker where to serve."""
        tcp = tuple(a for a in self.addresses if not a.startswith(UNIX))
        inner = str(self._room / f"{index}.sock") if self._room else ""
        return Orders(tcp, inner, self._is_open)

    def _open_unix(self) -> None:
        if self._waiting is not None:
            door = Door(self._waiting, self._paths)
            door.check()
            door.shut()
            self.listeners = [self._waiting.dup()]
            self._room = make_room(Path(self._waiting.getsockname()))
            return
        for path in self._paths:
            self.listeners.append(listen_unix(path, is_open=self._is_open))
            self._made.append(path)
        if self._paths:
            self._room = make_room(self._paths[0])

    def _hold(self, address: str, *, is_safe: bool) -> str:
        """Bind a port so that only sockets of our own user, and none but workers', may share it."""
        host = checked_host(address, is_safe=is_safe)
        port = int(address.rpartition(":")[2])
        try:
            infos = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, (place, _, *scope) in infos:
                try:
                    held = _bound(family, kind, protocol, (place, port, *scope))
                except OSError as error:
                    if error.errno not in NOT_HERE or len(infos) == 1:
                        raise
                    continue
                self._held.append(held)
                port = held.getsockname()[1]
        except OSError as error:
            text = f"cannot listen on {address}: {error.strerror}"
            raise HostError("CANNOT_LISTEN", text, "choose a free one") from error
        return f"{host}:{port}"


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    """Bind so that nobody else can; then let those in who also set SO_REUSEPORT.

    SO_REUSEADDR only where it must be, for connections of the last server that have not timed out:
    with it, two servers that start at once would both get the port.
    """
    held = socket.socket(family, kind, protocol)
    try:
        try:
            held.bind(address)
        except OSError:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(address)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        held.close()
        raise
    return held
