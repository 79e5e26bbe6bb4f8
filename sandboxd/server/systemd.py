"""What systemd asks of a service by its environment: word of its state, and to take its sockets.

Decides from LISTEN_*, NOTIFY_SOCKET and WATCHDOG_* what was asked; without them it does nothing.
The protocols are those of sd_notify(3) and sd_listen_fds(3); they need no library.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sandboxd.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

FIRST_FD = 3
"""Where systemd puts the first socket that it hands over."""


class Manager:
    """The service manager that started this process, if there is one that listens."""

    def __init__(self, address: str | None, watchdog_seconds: float | None) -> None:
        """Take the address to report to, and how long it may go without hearing from us."""
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds if address else None

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self:
        """Read the environment, and take out what must not reach the processes that we start."""
        address = environment.pop("NOTIFY_SOCKET", None)
        period = environment.pop("WATCHDOG_USEC", None)
        ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(period) / 1e6 if period and ours else None)

    def tell(self, *assignments: str) -> None:
        """Report: `READY=1`, `STOPPING=1`, `STATUS=...`, `WATCHDOG=1`."""
        if not self._address:
            return
        # A manager that restarts or is behind misses one word; serving matters more.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as words:
            words.settimeout(0)
            words.sendto("\n".join(assignments).encode(), self._address)

    async def watch(self, is_well: Callable[[], bool] = lambda: True) -> None:
        """Show, for as long as this runs, that the event loop turns: twice in each period.

        Not while `is_well` denies it: of what else belongs to the service.
        """
        while self.watchdog_seconds:
            if is_well():
                self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 2)


def inherited_fds(environment: MutableMapping[str, str]) -> range:
    """Name the descriptors that systemd handed to this very process."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    meant = pid == str(os.getpid()) and count.isdecimal()
    return range(FIRST_FD, FIRST_FD + int(count)) if meant else range(0)


def take_socket(environment: MutableMapping[str, str]) -> socket.socket | None:
    """Take over the unix socket that systemd listens on, if it handed one over.

    Raises:
        HostError: it handed over several, or one of another kind.

    """
    fds = inherited_fds(environment)
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the call's one argument
    if not fds:
        return None
    taken = socket.socket(fileno=fds[0])
    listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    path = taken.getsockname() if taken.family == socket.AF_UNIX else ""
    if len(fds) > 1 or not listens or not path or not isinstance(path, str):
        raise HostError(
            "SOCKET_UNUSABLE",
            f"cannot take over the {len(fds)} sockets of the socket unit: it must be one unix "
            "stream socket with a path (docs/decisions/0007)",
            "write one ListenStream=/PATH into it; for TCP, give the service --listen HOST:PORT",
        )
    taken.settimeout(0)
    return taken
