"""The gate: lets several users of this machine come in by one unix socket, and knows who they are.

gRPC for Python does not tell which user is behind a unix socket. So the gate listens in its place,
asks the kernel (SO_PEERCRED), and passes the bytes on to gRPC's own socket, which nobody else can
reach. It does so from a socket that bears the user's id in its name, and that name gRPC tells.

Of several workers each has a gate that does not listen: its parent hands connections over.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from sandboxd.server.listening import listen_unix, make_room, make_way, room_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_CONNECTIONS = 64
"""Of one user at once; a client needs one, whatever it calls. Each takes three descriptors."""
CREDENTIALS = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""


class Gate:
    """Relays the connections of those whom it is told to let in to gRPC's own socket."""

    def __init__(
        self,
        inner: Path,
        enters_as: Callable[[int], int | None],
        max_connections: int = MAX_CONNECTIONS,
        count_out: Callable[[], None] = lambda: None,
    ) -> None:
        """Take where gRPC listens, and what says as whom a uid comes in; None: not at all.

        `max_connections` is what one user may have; `count_out` is called as each goes.
        """
        self.inner = inner
        """Where gRPC must listen, in a directory that nobody else can enter."""
        self._enters_as = enters_as
        self._max_connections = max_connections
        self._count_out = count_out
        # Nobody can foresee the name, so nobody can bind it before us.
        self._badge = f"sandboxd-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)
        self._connections: Counter[int] = Counter()
        self._visitors: set[_Visitor] = set()
        self._arrivals: set[asyncio.Task[None]] = set()

    def uid_of(self, peer: str) -> int | None:
        """Give the user behind gRPC's name of a peer, if he came through here."""
        kind, _, name = peer.partition(":")
        badge, _, rest = name.partition("/")
        if kind != "unix-abstract" or badge != self._badge:
            return None
        return int(rest.partition("/")[0])

    async def open(self) -> None:
        """Let clients in; gRPC must listen already."""

    def enter(self, client: socket.socket) -> None:
        """Take in a connection that somebody else has accepted."""
        client.settimeout(0)
        arrival = asyncio.create_task(self._arrive(client))
        self._arrivals.add(arrival)
        arrival.add_done_callback(self._arrivals.discard)

    def close(self) -> None:
        """Part with those inside, and leave nothing behind."""
        for arrival in tuple(self._arrivals):
            arrival.cancel()
        for visitor in tuple(self._visitors):
            visitor.leave()
        with suppress(OSError):
            self.inner.unlink()

    def admit(self, visitor: _Visitor, told_uid: int) -> bool:
        """Count a connection in, unless its user is nobody's or has too many."""
        uid = self._enters_as(told_uid)
        if uid is None or self._connections[uid] >= self._max_connections:
            return False
        visitor.uid = uid
        self._connections[uid] += 1
        self._visitors.add(visitor)
        return True

    def part(self, visitor: _Visitor) -> None:
        """Count a connection out."""
        self._count_out()
        if visitor in self._visitors:
            self._visitors.discard(visitor)
            self._connections[visitor.uid] -= 1
            if not self._connections[visitor.uid]:
                del self._connections[visitor.uid]

    async def _arrive(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: _Visitor(self), client)
        except OSError:
            client.close()
            self._count_out()

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


class ListeningGate(Gate):
    """Listens itself, at a path that every user may open."""

    def __init__(self, path: Path, enters_as: Callable[[int], int | None]) -> None:
        """Take the socket's path, and what says as whom a uid comes in; None: not at all."""
        super().__init__(room_of(path) / "grpc.sock", enters_as)
        self._path = path
        self._server: asyncio.Server | None = None

    def prepare(self) -> None:
        """Make the directory of gRPC's own socket, which is ours alone, and clear the path.

        Raises:
            HostError: something is in the way.

        """
        make_way(self._path, directory_mode=0o711)
        make_room(self._path)

    async def open(self) -> None:
        """Let clients in; gRPC must listen already."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Visitor(self),
            sock=listen_unix(self._path, is_open=True),
            backlog=socket.SOMAXCONN,
        )

    def close(self) -> None:
        """Let nobody in any more, part with those inside, and leave nothing behind."""
        if self._server is not None:
            self._server.close()
        super().close()
        for remove in (self._path.unlink, self.inner.parent.rmdir):
            with suppress(OSError):
                remove()


class _Relay(asyncio.Protocol):
    """One half of a relayed connection: what comes is written to the other half.

    While the other half cannot write, this one does not read: so neither buffers without bound.
    """

    transport: asyncio.Transport

    def __init__(self, other: _Relay | None = None) -> None:
        self.other = other
        self.early = b""
        """What came before there was anybody to pass it on to: one read, until the pause holds."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other is None or self.other.transport.is_closing():
            self.transport.abort()
            return
        self.other.other = self
        self.other.transport.resume_reading()
        if self.other.early:  # after that: it may make the other half pause again
            self.transport.write(self.other.early)
            self.other.early = b""

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        else:
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
        if not self._gate.admit(self, CREDENTIALS.unpack(told)[1]):
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
