"""The daemon's side of one sandbox: made blank, given its one job, destroyed; never used again.

Everything that a sandbox holds on this host is here: a pair of ids, its cgroups, a channel and a
pidfd. `destroy` gives all of it back, whatever happened before, and so does `let_go` in its time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandboxd.errors import SandboxLost, StageError
from sandboxd.kernel import idmap
from sandboxd.kernel.places import SandboxCgroup
from sandboxd.runtime import channel as channels
from sandboxd.runtime import processtree
from sandboxd.runtime.channel import Closed
from sandboxd.runtime.nursery import AsyncChannel, expect, readable, signal_pidfd

if TYPE_CHECKING:
    from datetime import timedelta

    from sandboxd.kernel.cgroups import Write
    from sandboxd.kernel.places import CgroupUsage, Places
    from sandboxd.model.tape import Encoded
    from sandboxd.runtime.channel import Message
    from sandboxd.runtime.hostids import HostIds
    from sandboxd.runtime.nursery import Zygote

READY_PATIENCE = 10.0
"""Seconds that init may take to furnish a sandbox."""
REMOVE_PATIENCE = 10.0
"""Seconds that the kernel may take to end a killed sandbox and let go of its cgroups."""


class Sandbox:
    """One sandbox, from `create` to `destroy`."""

    def __init__(self, places: Places, ids: HostIds | None, name: str, *, quota: bool) -> None:
        """Describe it; `ids` is None where all sandboxes share the daemon's id."""
        self._ids = ids
        self._pair: int | None = None
        self._cgroup = SandboxCgroup(places, name, quota=quota)
        self._has_cgroup = False
        self._pidfd = -1
        self._host_pid: int | None = None
        self._channel: AsyncChannel | None = None

    async def create(self, zygote: Zygote, tape: Encoded) -> None:
        """Clone it; init furnishes it meanwhile, see `furnished`.

        Raises:
            StageError: naming the step that failed. `destroy` is still to be called.
            HostError: no pair of ids or no descriptor is left.

        """
        if self._ids is not None:
            self._pair = self._ids.take()
        fds: dict[str, int] = {}
        try:
            self._cgroup.create()
            self._has_cgroup = True
            fds = self._cgroup.open_descriptors()
            ours, theirs = channels.pair()
        except OSError as error:
            for fd in fds.values():
                os.close(fd)
            raise StageError("cgroup", error.errno or 0, str(error.filename or "")) from error
        self._channel = AsyncChannel(ours)
        fds["channel"] = theirs.detach()
        map_ = idmap.sandbox_map(self._pair)
        text = idmap.as_text(map_)
        owner = None if self._pair is None else map_[0].outside
        try:
            self._pidfd = await zygote.clone((text, text, owner, tape), fds)
        finally:
            for fd in fds.values():
                os.close(fd)

    async def furnished(self) -> None:
        """Wait until init has furnished it: a blank one that stood ready has done so long ago.

        Raises:
            StageError: naming the step that failed. `destroy` is still to be called.

        """
        if self._channel is None:
            raise SandboxLost("sandbox", "it was never made")
        await expect(self._channel, "ready", READY_PATIENCE, "sandbox")

    @property
    def is_alive(self) -> bool:
        """Tell whether init lives: it dies with its zygote."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def limit(self, writes: tuple[Write, ...]) -> None:
        """Write the job's limits to the cgroups."""
        try:
            self._cgroup.write(writes)
        except OSError as error:
            raise StageError(
                "cgroup_limits", error.errno or 0, str(error.filename or "")
            ) from error

    def start(self, *fields: Any, fds: dict[str, int]) -> None:  # noqa: ANN401
        """Give init its job."""
        self.send("start", *fields, fds=fds)

    async def receive(self) -> Message:
        """Wait for init's next report."""
        if self._channel is None:
            raise Closed
        return await self._channel.receive()

    def kill_program(self) -> None:
        """Kill every process of the program; init lives on to report."""
        self._cgroup.kill()
        # Linux drops that for a process whose first thread has exited; init's is for whole ones.
        with suppress(StageError):  # a dead init has no program
            self.send("kill")

    def signal_program(self, number: int, signal_number: int) -> None:
        """Send a signal to the process group of a program; nothing if it has ended."""
        with suppress(StageError):
            self.send("signal", number, signal_number)

    def freeze(self, *, is_frozen: bool) -> bool:
        """Stop all processes of the program, or let them go on; False where only init can do it."""
        return self._cgroup.freeze(is_frozen=is_frozen)

    def is_frozen(self) -> bool:
        """Tell whether they all stand."""
        return self._cgroup.is_frozen()

    def kill(self) -> None:
        """Kill init and, by the kernel, everything in the sandbox."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal_pidfd(self._pidfd)

    def cpu_time(self) -> timedelta | None:
        """Tell the processor time used so far."""
        used = self._cgroup.cpu_time()
        if used is None and (tree := self.tree_usage()):
            return tree.cpu_time
        return used

    def tree_usage(self) -> processtree.TreeUsage | None:
        """Tell what the process tree uses now; None when it is gone."""
        if self._host_pid is None and self._pidfd >= 0:
            self._host_pid = processtree.host_pid(self._pidfd)
        return None if self._host_pid is None else processtree.usage(self._host_pid)

    def usage(self) -> CgroupUsage:
        """Read what the cgroups counted; still there until `destroy`."""
        return self._cgroup.usage()

    def now(self) -> tuple[int | None, int | None]:
        """Tell the memory in use and the processes alive now; None where they are not counted."""
        return self._cgroup.now()

    async def destroy(self) -> None:
        """End everything and give everything back; returns when the cgroups are gone.

        Raises:
            StageError: the kernel does not let go of a process or a cgroup.

        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REMOVE_PATIENCE
        await self._end_init()
        pause = 0.0005
        while not self.let_go():
            if loop.time() > deadline:
                raise StageError("cgroup_removal", errno.EBUSY, "the kernel holds a cgroup")
            await asyncio.sleep(pause)  # a dying task leaves its cgroup a moment after its end
            pause = min(pause * 2, 0.05)

    def let_go(self) -> bool:
        """Give everything back that the kernel lets go of; tell whether that is all of it.

        Nothing while init lives: the kernel ends PID 1 only when all of its namespace is gone.
        """
        if self._pidfd >= 0:
            if self.is_alive:
                return False
            os.close(self._pidfd)
            self._pidfd = -1
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._has_cgroup and not self._cgroup.remove():
            return False
        self._has_cgroup = False
        if self._ids is not None and self._pair is not None:
            self._ids.give_back(self._pair)
            self._pair = None
        return True

    async def _end_init(self) -> None:
        if self._pidfd < 0:
            return
        self.kill()
        try:
            async with asyncio.timeout(REMOVE_PATIENCE):
                await readable(self._pidfd)
        except TimeoutError:
            raise StageError("end", 0, f"init did not die within {REMOVE_PATIENCE:g} s") from None

    def send(self, name: str, *fields: Any, fds: dict[str, int] | None = None) -> None:  # noqa: ANN401
        """Send init a word.

        Raises:
            StageError: it cannot be reached.

        """
        if self._channel is None:
            raise StageError(name, 0, "init is gone")
        try:
            self._channel.send(name, *fields, fds=fds)
        except Closed:
            raise SandboxLost(name, "init is gone") from None
        except OSError as error:
            raise StageError(name, error.errno or 0, "cannot reach init") from error
