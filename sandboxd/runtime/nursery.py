"""The daemon's side of launcher and zygotes: starts, watches and replaces them, clones sandboxes.

A lost zygote is replaced by the launcher, a lost launcher by a new one that enters the same outer
user namespace again. One that answers no more is killed first, and so is lost, too.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sandboxd.errors import SandboxdError, SandboxLost, StageError
from sandboxd.kernel import delegation
from sandboxd.kernel.mounts import proc_renewed
from sandboxd.runtime import channel as channels
from sandboxd.runtime import launching
from sandboxd.runtime.channel import Closed, Message, ProtocolError

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Iterable

    from sandboxd.identity import Identity
    from sandboxd.kernel.cgroups import Tree
    from sandboxd.model.tape import Tape
    from sandboxd.runtime.launching import Launched

log = logging.getLogger("sandboxd.nursery")

ENTER_PATIENCE = 20.0
"""Seconds that a launcher or a zygote may take to be ready; they need a hundredth of it."""
REPLY_PATIENCE = 10.0
"""Seconds that a zygote may take to clone."""

LEAVE_PATIENCE = 10.0
"""Seconds that the launcher may take to remove what is left; it needs a hundredth of it."""

CLONES_BY_PROC = 256
"""After so many clones a zygote's /proc is mounted anew: see `mounts.proc_renewed`."""

MAX_CLONES = 8
"""Requests under way to one zygote, at most: what a socket's buffer holds with ease."""


class AsyncChannel:
    """The daemon's end of a channel, on the event loop; never blocks it."""

    def __init__(self, end: socket.socket) -> None:
        """Take over the socket; `close` closes it."""
        end.setblocking(False)  # noqa: FBT003 - socket's signature
        self._end = end
        self._fd = end.fileno()  # by number: asyncio would describe a socket each time, at length
        self._waiter: asyncio.Future[None] | None = None
        self._is_watched = False

    def send(self, name: str, *fields: Any, fds: dict[str, int] | None = None) -> None:  # noqa: ANN401
        """Send at once; raises `Closed` when nobody is there, `OSError` when it does not fit."""
        channels.send(self._end, name, *fields, fds=fds)

    async def receive(self) -> Message:
        """Wait for the next message; one task at a time."""
        while True:
            try:
                return channels.receive(self._end)
            except BlockingIOError:
                await self._readable()

    def close(self) -> None:
        """Close the socket, which tells the other side that we are gone."""
        self._unwatch()
        self._end.close()

    async def _readable(self) -> None:
        """Wait until something is there; the loop watches on, for whoever waits next."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        if not self._is_watched:
            loop.add_reader(self._fd, self._wake)
            self._is_watched = True
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is None:
            self._unwatch()  # or the loop would turn for as long as nobody takes it
        elif not self._waiter.done():
            self._waiter.set_result(None)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            asyncio.get_running_loop().remove_reader(self._fd)


async def readable(fd: int) -> None:
    """Wait until a descriptor is readable (a pidfd: until its process has ended)."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():  # woken or cancelled in the same turn of the loop
            waiter.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await waiter
    finally:
        loop.remove_reader(fd)


async def expect(channel: AsyncChannel, name: str, patience: float, stage: str) -> Message:
    """Receive one message of that name, in time; a ``failed`` becomes its StageError.

    Raises:
        StageError: the other side failed, died, broke the protocol or said nothing in time.

    """
    try:
        async with asyncio.timeout(patience):
            message = await channel.receive()
    except TimeoutError:
        raise StageError(stage, 0, f"no answer within {patience:g} s") from None
    except Closed:
        raise SandboxLost(stage, "the process died") from None
    except ProtocolError as error:
        raise StageError(stage, 0, f"broken protocol: {error}") from error
    if message.name == "failed":
        message.close()
        raise stage_error(message)
    if message.name != name:
        message.close()
        raise StageError(stage, 0, f"unexpected message {message.name[:40]!r}")
    return message


def stage_error(message: Message) -> StageError:
    """Turn a ``failed`` report into the error that it describes."""
    *_, stage, number, detail = message.fields
    if not (isinstance(stage, str) and isinstance(number, int) and isinstance(detail, str)):
        return StageError("report", 0, "a failure was reported in broken form")
    return StageError(stage[:64], number, detail[:512])


class Zygote:
    """One zygote: a finished root, cloning sandboxes on request, one after another."""

    def __init__(self, channel: AsyncChannel, pidfd: int) -> None:
        """Hold a zygote whose root is ready."""
        self._channel = channel
        self._pidfd = pidfd
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._turns = asyncio.Semaphore(MAX_CLONES)
        self._is_killed = False
        self._reader = asyncio.create_task(self._read(), name="zygote-reader")

    @property
    def is_alive(self) -> bool:
        """Tell whether it still answers."""
        return not (self._is_killed or self._reader.done())

    async def clone(self, fields: Iterable[Any], fds: dict[str, int]) -> int:
        """Clone one sandbox; give init's pidfd, which the caller owns."""
        async with self._turns:
            number = next(self._numbers)
            if number % CLONES_BY_PROC == 0:
                with suppress(Closed, OSError):  # what is wrong shows below; later is early enough
                    self._channel.send("furnish", [op.to_wire() for op in proc_renewed()])
            answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
            try:
                self._channel.send("clone", number, *fields, fds=fds)
                async with asyncio.timeout(REPLY_PATIENCE):
                    return await answer
            except asyncio.CancelledError:
                # Cancelled in the very turn in which the answer came: nobody else will take it.
                if answer.done() and not answer.cancelled() and not answer.exception():
                    kill_and_close(answer.result())
                raise
            except TimeoutError:
                self.kill()  # it answers in order: a late one would be somebody else's sandbox
                raise StageError("clone", 0, f"no answer within {REPLY_PATIENCE:g} s") from None
            except Closed:
                self.kill()  # so that a second try, right now, goes to another
                raise SandboxLost("clone", "the zygote is gone") from None
            except OSError as error:
                raise StageError("clone", error.errno or 0, "zygote") from error
            finally:
                self._waiting.pop(number, None)

    async def _read(self) -> None:
        try:
            while True:
                try:
                    self._answer(await self._channel.receive())
                except OSError as error:
                    if error.errno != errno.EMFILE:
                        raise
                    self._miss(error)
        except (Closed, ProtocolError, OSError):
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(SandboxLost("clone", "the zygote died"))

    def _answer(self, message: Message) -> None:
        number = message.fields[0] if message.fields else None
        answer = self._waiting.get(number) if isinstance(number, int) else None
        pidfd = message.fds.pop("pidfd", None)
        message.close()
        if answer is None or answer.done():
            if pidfd is not None:  # its caller has left: nobody will use this sandbox
                kill_and_close(pidfd)
        elif message.name == "cloned" and pidfd is not None:
            answer.set_result(pidfd)
        else:
            answer.set_exception(stage_error(message))

    def _miss(self, error: OSError) -> None:
        """Fail the oldest request: its answer came, but no descriptor was left for the pidfd.

        Or the answer came for one whose caller has left: then the next one finds nobody waiting.
        """
        waiting = [answer for answer in self._waiting.values() if not answer.done()]
        if waiting:
            waiting[0].set_exception(error)

    def kill(self) -> None:
        """Kill the zygote and, through its pid namespace, every sandbox that it cloned."""
        self._is_killed = True
        with suppress(ProcessLookupError):
            signal_pidfd(self._pidfd)

    async def close(self) -> None:
        """Kill it and let go of it."""
        self.kill()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        self._channel.close()
        os.close(self._pidfd)


def signal_pidfd(pidfd: int) -> None:
    """Send SIGKILL through a pidfd."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def kill_and_close(pidfd: int) -> None:
    """Kill a process that nobody wants any more."""
    with suppress(ProcessLookupError):
        signal_pidfd(pidfd)
    os.close(pidfd)


class Nursery:
    """The launcher and its zygotes, one per root, each replaced when it dies."""

    def __init__(
        self,
        identity: Identity,
        tree: Tree,
        lock_fds: list[int],
        program_fd: int | None,
        ahead: Launched | None = None,
    ) -> None:
        """Prepare; `start` starts the launcher, which holds `lock_fds` for as long as it lives.

        `program_fd` is the compiled zygote, the caller's to close; None: the Python one serves.
        `ahead` is a launcher that was started already.
        """
        self._identity = identity
        self._tree = tree
        self._lock_fds = lock_fds
        self._program_fd = program_fd
        self._ahead = ahead
        self._channel: AsyncChannel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._namespace_fd: int | None = None
        self._zygotes: dict[str, Zygote] = {}
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Start the launcher.

        Raises:
            HostError: it cannot enter its namespace.
            OSError: it cannot be started.

        """
        launched, self._ahead = self._ahead or launching.launch(), None
        launched.is_taken = True
        self._process, self._channel = launched.process, AsyncChannel(launched.channel)
        namespace = self._namespace_fd
        fds = {} if namespace is None else {"user_namespace": namespace}
        orders = launching.orders(self._identity, self._tree, rejoin=namespace is not None)
        try:
            if orders.from_root:  # started ahead, it may be where we were before `prepare`
                delegation.take_along(self._tree, self._process.pid)
            with suppress(Closed):  # then the answer below tells
                self._channel.send("enter", *orders, fds=fds)
            message = await expect(self._channel, "entered", ENTER_PATIENCE, "outer_namespace")
        except StageError as error:
            await self._lose_launcher()
            raise launching.cannot_enter(error, self._identity) from error
        except OSError:
            await self._lose_launcher()
            raise
        if self._namespace_fd is not None:
            os.close(self._namespace_fd)
        self._namespace_fd = message.fds.pop("user_namespace")
        message.close()
        # Only now: a launcher that ends with something unread resets the channel, and what it said
        # last would be lost. Before it has entered it has nothing to clear.
        for lock_fd in self._lock_fds:
            self.hold(lock_fd)

    def hold(self, lock_fd: int) -> None:
        """Have the launcher hold one more lock; its successor inherits all of `lock_fds`."""
        if self._channel is not None:
            try:
                self._channel.send("hold", fds={"lock": lock_fd})
            except Closed:
                return  # it is dead, and its successor will have it
            except OSError as error:
                raise StageError("hold", error.errno or 0, "the launcher") from error

    async def zygote(self, root: str, root_tape: Tape) -> Zygote:
        """Give the living zygote of a root, started or replaced if need be."""
        zygote = self._zygotes.get(root)
        if zygote is not None and zygote.is_alive:
            return zygote
        # Whoever asked may leave; what is half started would be lost with it, and is not.
        return await asyncio.shield(asyncio.create_task(self._started_zygote(root, root_tape)))

    async def _started_zygote(self, root: str, root_tape: Tape) -> Zygote:
        async with self._starting:
            zygote = self._zygotes.get(root)
            if zygote is not None and zygote.is_alive:
                return zygote
            if zygote is not None:
                log.error("a zygote died; starting another", extra={"root": root})
                del self._zygotes[root]
                await zygote.close()
            try:
                self._zygotes[root] = await self._start_zygote(root_tape)
            except StageError:
                if self._process is not None:
                    raise
                log.error("the launcher is lost; starting another")  # noqa: TRY400 - no more is known
                await self.start()
                self._zygotes[root] = await self._start_zygote(root_tape)
            return self._zygotes[root]

    async def _start_zygote(self, root_tape: Tape) -> Zygote:
        if self._channel is None:
            await self._lose_launcher()
            raise SandboxLost("zygote", "the launcher is gone")
        ours, theirs = channels.pair()
        wire = [operation.to_wire() for operation in root_tape]
        fds = {"channel": theirs.fileno()}
        if self._program_fd is not None:
            fds["program"] = self._program_fd
        try:
            self._channel.send("zygote", next(self._numbers), wire, fds=fds)
        except Closed:
            ours.close()
            await self._lose_launcher()
            raise SandboxLost("zygote", "the launcher is gone") from None
        except OSError as error:
            ours.close()
            raise StageError("zygote", error.errno or 0, "the launcher") from error
        finally:
            theirs.close()
        channel = AsyncChannel(ours)
        try:
            message = await expect(self._channel, "zygote", ENTER_PATIENCE, "zygote")
            pidfd = message.fds["pidfd"]
        except (SandboxdError, OSError) as error:
            channel.close()
            if isinstance(error, StageError) and not error.errno:
                # It died, or said nothing: what a hung one says later would answer another request.
                await self._lose_launcher()
            raise
        try:
            await expect(channel, "root_ready", ENTER_PATIENCE, "root")
        except StageError:
            channel.close()
            kill_and_close(pidfd)
            raise
        return Zygote(channel, pidfd)

    async def _lose_launcher(self) -> None:
        """Kill the launcher and, by the kernel, its zygotes; its namespace stays, for another.

        Killed before its channel is closed: one that is left to end by itself would clear cgroups.
        """
        if self._process is not None:
            self._process.kill()
        await self._end_launcher()

    async def _end_launcher(self) -> None:
        for zygote in self._zygotes.values():
            await zygote.close()
        self._zygotes.clear()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            await _wait_for(self._process)
            self._process = None

    async def close(self) -> None:
        """End zygotes and launcher; the launcher removes what cgroups are left, or else we do."""
        await self._end_launcher()
        delegation.clear(self._tree.paths)
        if self._namespace_fd is not None:
            os.close(self._namespace_fd)
            self._namespace_fd = None


async def _wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process, which is killed when it does not come in time."""
    if process.poll() is None:
        pidfd = os.pidfd_open(process.pid)
        try:
            async with asyncio.timeout(LEAVE_PATIENCE):
                await readable(pidfd)
        except TimeoutError:
            log.error("the launcher does not end; killing it")  # noqa: TRY400 - no more is known
            process.kill()
        finally:
            os.close(pidfd)
    process.wait()
