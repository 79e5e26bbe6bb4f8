"""Every way into one server: gRPC's own sockets, gates before them, the door beside systemd's.

Decides which of these an address takes. One of several workers listens on ports that all of them
share, and behind the connections that its parent hands over.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.server.access import foreign
from sandboxd.server.addresses import UNIX
from sandboxd.server.gate import MAX_CONNECTIONS, Gate, ListeningGate
from sandboxd.server.listening import Door, bind

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    import grpc

    from sandboxd.server.access import Access
    from sandboxd.server.seat import Orders, Seat
    from sandboxd.server.tls import Certificates

MAX_OWN_CONNECTIONS = 1024
"""Of the server's own user; what gRPC lets in, too."""
LEAST_CONNECTIONS = 4
"""Of one user to each of several workers, which have their parts of the bounds: the parent spreads
connections evenly, but not each user's."""


class Entrance:
    """Where clients come in, from `bind` to `close`."""

    def __init__(
        self, access: Access, certificates: Certificates | None, seat: Seat | None = None
    ) -> None:
        """Take who may call, the certificates of TLS, and the seat among several workers."""
        self.has_gate = False
        """Whether users of this machine beside our own can come in by the unix sockets."""
        self._access = access
        self._certificates = certificates
        self._seat = seat
        self._gates: list[Gate] = []
        self._door: Door | None = None

    def uid_of(self, peer: str) -> int | None:
        """Give the user behind gRPC's name of a peer, if he came through a gate."""
        return next((uid for g in self._gates if (uid := g.uid_of(peer)) is not None), None)

    def bind(
        self, server: grpc.aio.Server, listen: Sequence[str], waiting: socket.socket | None
    ) -> tuple[str, ...]:
        """Listen on every address; give those where clients find us.

        Raises:
            HostError: one is taken, cannot be used, or must not be without authentication.

        """
        if waiting is None:
            return tuple(self._bind_one(server, address) for address in listen)
        links = [Path(a.removeprefix(UNIX)) for a in listen if a.startswith(UNIX)]
        self._door = Door(waiting, links)
        self._door.check()
        self._bind_one(server, f"{UNIX}{self._door.serving}")
        return tuple(a if a.startswith(UNIX) else self._bind_one(server, a) for a in listen)

    def bind_as_ordered(self, server: grpc.aio.Server, orders: Orders) -> tuple[str, ...]:
        """Listen where the parent of several workers says.

        Raises:
            HostError: an address cannot be used, or must not be without authentication.

        """
        self.has_gate = orders.is_open
        if orders.inner:
            assert self._seat is not None  # noqa: S101 - who has orders has a seat
            lets_in = self._named if orders.is_open else _owner
            of_all = MAX_CONNECTIONS if orders.is_open else MAX_OWN_CONNECTIONS
            most = max(LEAST_CONNECTIONS, of_all // self._seat.count)
            gate = Gate(Path(orders.inner), lets_in, most, self._seat.count_out)
            bind(server, f"{UNIX}{gate.inner}")
            self._gates.append(gate)
        return tuple(bind(server, address, self._credentials()) for address in orders.tcp)

    async def open(self) -> None:
        """Let clients in; the server must have been started."""
        for gate in self._gates:
            await gate.open()
        if self._door:
            await self._door.open()

    def enter(self, client: socket.socket) -> None:
        """Take in a connection that the parent hands over."""
        for gate in self._gates:
            gate.enter(client)

    def stop_inviting(self) -> None:
        """Let new clients wait for the next server, where systemd has a socket for them."""
        if self._door:
            self._door.close()
            self._door = None

    def close(self) -> None:
        """Let nobody in any more."""
        for gate in self._gates:
            gate.close()

    def _bind_one(self, server: grpc.aio.Server, address: str) -> str:
        if not address.startswith(UNIX):
            return bind(server, address, self._credentials())
        if not foreign(self._access.callers):
            return bind(server, address)
        self.has_gate = True
        gate = ListeningGate(Path(address.removeprefix(UNIX)), self._named)
        gate.prepare()
        bind(server, f"{UNIX}{gate.inner}")
        self._gates.append(gate)
        return address

    def _credentials(self) -> grpc.ServerCredentials | None:
        if self._certificates is None:
            return None
        if self._access.callers is None:
            text = "cannot use [tls] without callers: nobody would know who calls"
            raise HostError("CALLERS_MISSING", text, "name a file of callers")
        return self._certificates.credentials()

    def _named(self, uid: int) -> int | None:
        """Let in the users of this machine whom the file of callers names."""
        named = self._access.callers is not None and uid in self._access.callers.uids
        return uid if named else None


def _owner(uid: int) -> int | None:
    """Let in whom the kernel would let open a socket of mode 0600: ourselves, and root as us."""
    return os.getuid() if uid in {0, os.getuid()} else None
