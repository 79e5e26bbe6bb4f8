"""The supervisor: owns one job from its slot to its outcome, and the processes behind all of them.

Decides little: `plan` has decided. Does the waiting: for reports, deadlines, ends of file. Nothing
that a job started runs when its call is answered; what the kernel still holds is removed after.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import resource
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from sandboxd import compiled
from sandboxd.errors import HostError, SandboxLost, StageError
from sandboxd.identity import IdMode
from sandboxd.kernel import delegation, idmap, seccomp
from sandboxd.kernel.places import Places
from sandboxd.model.job import check_without_blobs
from sandboxd.model.limits import (
    DESCRIPTORS_OF_STORE,
    DESCRIPTORS_PER_BLANK,
    DESCRIPTORS_PER_JOB,
    DESCRIPTORS_PER_JOB_BLOBS,
    DESCRIPTORS_PER_SANDBOX,
    SPARE_DESCRIPTORS,
    stream_count,
)
from sandboxd.model.policy import ProcMode
from sandboxd.model.tape import encoded
from sandboxd.offers import check_job, kind_of, policy_for, processor_count_for
from sandboxd.plan import SandboxPlan, plan_run, root_tape, sandbox_tape, within
from sandboxd.runtime.channel import sealed_memory
from sandboxd.runtime.hostids import HostIds
from sandboxd.runtime.lasting import Lasting
from sandboxd.runtime.launching import in_doctors_words
from sandboxd.runtime.nursery import Nursery
from sandboxd.runtime.pool import Pool
from sandboxd.runtime.processors import Processors
from sandboxd.runtime.removals import Removals
from sandboxd.runtime.run import NO_WIRES, Run
from sandboxd.runtime.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
    from types import TracebackType

    from sandboxd.host import Host
    from sandboxd.model.job import Job
    from sandboxd.model.limits import Limits
    from sandboxd.model.outcome import RunResult
    from sandboxd.model.policy import Policy
    from sandboxd.model.tape import Encoded
    from sandboxd.runtime.launching import Launched
    from sandboxd.runtime.learning import Learner
    from sandboxd.runtime.live import Live


LEAST_LEAVING = 16
"""So many sandboxes may be on their way out, or two for each slot; then jobs wait for theirs."""


class Supervisor:
    """Runs jobs on this host; an async context manager.

    Entering it starts the launcher and, when started as root, gives root up for good: there may be
    no other thread then, and what is needed later must have been imported before.
    """

    def __init__(self, host: Host, ahead: Launched | None = None) -> None:
        """Prepare for a host; nothing is started yet, but for a launcher that was started ahead."""
        self.host = host
        self.has_blobs = False
        """Whether this process keeps blobs too, which take descriptors."""
        self._ahead = ahead
        has_range = host.id_mode is IdMode.RANGE
        self._ids = HostIds(host.identity, self._hold) if has_range else None
        self._processors = Processors(host.processors, host.shared_cpu_count)
        self._filters: dict[str, tuple[int, tuple[int, int]]] = {}
        self._names = itertools.count(1)
        self._root_tape = root_tape(host)
        self._sandbox_tapes: dict[SandboxPlan, Encoded] = {}
        self._live = 0
        self._removals = Removals(self._count_out)
        self._tree = host.tree
        self._places: Places | None = None
        self._lock_fds: list[int] = []
        self._program_fd: int | None = None
        self._nursery: Nursery | None = None
        self._pool = Pool(self._make, self._remove, host.pool_size)

    async def __aenter__(self) -> Self:
        """Claim cgroups, start the launcher, give up root; undo all if a step fails."""
        try:
            with _named():
                await self._start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _start(self) -> None:
        identity = self.host.identity
        _raise_limits()
        try:
            self._tree, self._lock_fds = delegation.claim(
                self.host.tree, identity.uid, identity.gid
            )
        except OSError as error:
            if error.errno in _EXHAUSTED:
                raise
            remedy = "see docs/operating.md on cgroups, or start with --cgroup none"
            text = f"cannot claim a cgroup: {error}"
            raise HostError("CGROUP_UNAVAILABLE", text, remedy) from error
        self._places = Places(self._tree)
        self._program_fd = compiled.open_zygote() if self.host.compiled else None
        self._nursery = Nursery(identity, self._tree, self._lock_fds, self._program_fd, self._ahead)
        starting = asyncio.create_task(self._nursery.start())
        await asyncio.sleep(0)  # the launcher has its orders, and follows them while we compile
        try:
            for policy in self.host.policies.values():
                self._filter(policy)
        finally:
            await starting
        try:
            await self._nursery.zygote("host", self._root_tape)  # so that no job pays for it
        except StageError as error:
            refused = in_doctors_words(error, identity)
            if refused is None:
                raise
            raise refused from error
        if identity.started_as_root:
            idmap.become(identity.uid, identity.gid)
        if self._ids is not None:
            self._ids.claim()  # as the user that we are now: root follows no path of a user's

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything that is left, and remove our cgroups."""
        await self._pool.close()
        await self._removals.close()
        if self._places is not None:
            self._places.close()
            self._places = None
        if self._nursery is not None:
            await self._nursery.close()
        elif self._lock_fds:  # claimed, and nobody else clears them
            delegation.clear(self._tree.paths)
        if self._program_fd is not None:
            os.close(self._program_fd)
            self._program_fd = None
        for fd, _ in self._filters.values():
            os.close(fd)
        for fd in self._lock_fds:
            os.close(fd)
        if self._ids is not None:
            self._ids.release()
        self._filters.clear()
        self._lock_fds.clear()

    @property
    def ready_count(self) -> int:
        """Tell how many blank sandboxes stand ready."""
        return self._pool.ready_count

    def keep_ready(self, count: int) -> None:
        """Have so many sandboxes for ordinary jobs ready at any time."""
        self._pool.keep_ready(SandboxPlan(root="host", proc_mode=ProcMode.SUBSET.value), count)

    def check(
        self,
        job: Job,
        *,
        is_live: bool = False,
        wired: tuple[int, ...] = (),
        is_shared: bool = False,
    ) -> Limits:
        """Give the limits that will hold; raise what `run` would about the job. Starts nothing."""
        kind = kind_of(job, is_live=is_live, wired=wired, is_shared=is_shared)
        return check_job(job, self.host, kind)

    async def settled(self) -> None:
        """Wait until nothing is left of jobs that have ended."""
        await self._removals.settled()

    async def run(  # noqa: PLR0913 - keywords, each of them one thing that a caller may want
        self,
        job: Job,
        *,
        queue_time: timedelta = timedelta(),
        on_output: Callable[[int, bytes], None] | None = None,
        live: Live | None = None,
        learner: Learner | None = None,
        blob_fds: Mapping[str, int] | None = None,
        wires: Mapping[int, int] = NO_WIRES,
        processors: tuple[int, ...] = (),
    ) -> RunResult:
        """Run one job to its end in a fresh sandbox, of which nothing runs when this returns.

        `on_output` is called with 1 or 2 (stdout, stderr) and each piece that is kept, as it comes.
        `live` talks with the program meanwhile, and hears its output instead; nothing is kept then.
        `learner` is asked at every system call, and answers as the job's policy would.
        `blob_fds` are descriptors of the blobs that the job is given, by SHA-256; None where no
        blobs are kept.
        `wires` are descriptors of ours, the caller's to close, that the program gets by number.
        `processors` are those to run on, as `shared_processors` gives them; else it gets its own.
        Cancelling this kills the job at once.

        Raises:
            JobError, PreconditionError: the job cannot be run here as it asks; nothing started.
            StageError: building the sandbox failed; no program ran unprotected.
            HostError: the host has no ids, descriptors, processes or memory left.

        """
        began = time.monotonic_ns()
        if blob_fds is None:
            check_without_blobs(job)
        is_live = live is not None and live.on_piece is not None
        kind = kind_of(job, is_live=is_live, wired=tuple(sorted(wires)))
        count = processor_count_for(check_job(job, self.host, kind))
        policy = learner.asking if learner else policy_for(job, self.host)
        with _named():
            policy_fd, filter_bytes = self._filter(policy)
        judge = learner.judge if learner else None
        asked = time.monotonic_ns()
        taken: tuple[int, ...] = ()
        if not processors:
            taken = processors = await self._processors.take(count, exclusive=job.exclusive_cpus)
        waited = time.monotonic_ns() - asked
        began += waited  # that was no part of the set-up
        queue_time += timedelta(microseconds=waited // 1000)
        try:
            plan = plan_run(job, self.host, processors[:count], filter_bytes, kind)
            for is_last in (False, True):
                try:
                    sandbox = await self._pool.take(plan.sandbox)
                    run = Run(
                        sandbox,
                        job,
                        plan,
                        began_ns=began,
                        queue_time=queue_time,
                        blob_fds=blob_fds or {},
                        live=live,
                        wires=wires,
                    )
                    try:
                        with _named():
                            return await run.to_end(policy_fd, on_output, judge)
                    finally:
                        await self._end(sandbox, is_over=run.is_over)
                except SandboxLost as lost:
                    if is_last or lost.started:
                        raise
                    await self._pool.flush()  # those that stand ready may be as lost
            raise AssertionError  # the last attempt returns or raises
        finally:
            self._processors.give_back(taken)
            if live is not None:
                live.finish()

    @asynccontextmanager
    async def shared_processors(self, jobs: Iterable[Job]) -> AsyncIterator[tuple[int, ...]]:
        """Have processors that some jobs share: as many as one of them may use at the most.

        For jobs that wait for one another: to wake a program on another processor takes the kernel
        several times as long as on the one where its partner has just gone to sleep.
        """
        counts = (processor_count_for(check_job(job, self.host)) for job in jobs)
        processors = await self._processors.take(max(counts))
        try:
            yield processors
        finally:
            self._processors.give_back(processors)

    @asynccontextmanager
    async def lasting(self, template: Job) -> AsyncIterator[Lasting]:
        """Have a sandbox that stays while the context lasts; then nothing is left of it.

        `template` says what holds for all of its programs together: limits, policy, network, root.

        Raises:
            JobError, PreconditionError, StageError, HostError: as `run`.

        """
        kind = kind_of(template, is_live=True, is_shared=True)
        count = processor_count_for(check_job(template, self.host, kind))
        with _named():
            policy_fd, filter_bytes = self._filter(policy_for(template, self.host))
        processors = await self._processors.take(count, keeps=True)
        try:
            plan = plan_run(template, self.host, processors, filter_bytes, kind)
            sandbox = await self._pool.take(plan.sandbox)
            lasting = Lasting(sandbox, plan, policy_fd)
            try:
                with _named():
                    await lasting.begin()
                yield lasting
            finally:
                lasting.end("it was deleted")
                await lasting.close()
                await self._remove(sandbox)
        finally:
            self._processors.give_back(processors, kept=True)

    async def run_in(self, lasting: Lasting, job: Job, live: Live) -> RunResult:
        """Run a program live in a sandbox that stays; its limits are those of the sandbox.

        But wall_time and output, which are its own, and unlimited unless the job says more.

        Raises:
            As `run`, and as `Lasting.run`.

        """
        kind = kind_of(job, is_live=True, is_shared=True)
        check_job(job, self.host, kind)
        with _named():
            _, filter_bytes = self._filter(policy_for(job, self.host))
            plan = plan_run(job, self.host, lasting.plan.processors, filter_bytes, kind)
            return await lasting.run(job, within(lasting.plan, plan, job.limits.wall_time), live)

    def _hold(self, lock_fd: int) -> None:
        """Keep a lock for as long as we live, and the launcher."""
        self._lock_fds.append(lock_fd)
        if self._nursery is not None:
            self._nursery.hold(lock_fd)

    async def _make(self, plan: SandboxPlan) -> Sandbox:
        """Make one blank sandbox; it is the caller's to remove."""
        if self._nursery is None or self._places is None:
            raise HostError("NOT_STARTED", "cannot run before the supervisor is entered")
        await self._make_room()
        self._removals.look()  # one goes as one comes, while programs run
        with _named():
            zygote = await self._nursery.zygote(plan.root, self._root_tape)
            name = f"sandbox-{next(self._names)}"
            sandbox = Sandbox(self._places, self._ids, name, quota=plan.has_quota)
            self._live += 1
            try:
                await sandbox.create(zygote, self._sandbox_tape(plan))
            except BaseException:
                await self._remove(sandbox)
                raise
            return sandbox

    async def _end(self, sandbox: Sandbox, *, is_over: bool) -> None:
        """Let a sandbox leave by itself if its init says that the job is over; else see it end.

        By then init has killed and reaped all that the job started, and a moment later is dead by
        our own kill, whoever may have said so in its name.
        """
        if is_over and self._removals.count < max(LEAST_LEAVING, 2 * self.host.slot_count):
            self._removals.add(sandbox)
        else:
            await self._remove(sandbox)

    async def _remove(self, sandbox: Sandbox) -> None:
        """Destroy a sandbox, even when the caller is being cancelled."""
        try:
            await _to_its_end(sandbox.destroy())
        except StageError:
            self._removals.add_late(sandbox)
            raise
        self._count_out()

    def _count_out(self) -> None:
        self._live -= 1

    def _sandbox_tape(self, plan: SandboxPlan) -> Encoded:
        if plan not in self._sandbox_tapes:
            self._sandbox_tapes[plan] = encoded(sandbox_tape(self.host, plan))
        return self._sandbox_tapes[plan]

    def _filter(self, policy: Policy) -> tuple[int, tuple[int, int]]:
        """Give the descriptor of a policy's filters, one behind the other, and their sizes."""
        if policy.digest not in self._filters:
            rules, notices = seccomp.compile_policy(policy), seccomp.compile_notices(policy)
            sizes = len(rules), len(notices)
            self._filters[policy.digest] = sealed_memory(rules + notices, "policy"), sizes
        return self._filters[policy.digest]

    async def _make_room(self) -> None:
        """Wait for those that leave where another sandbox would be one too many."""
        lacks_ids = self._ids is not None and self._ids.is_exhausted
        if not (self._is_full() or self._lacks_descriptors() or lacks_ids):
            return
        await self._removals.settled()
        if self._is_full():
            bound = self.host.sandbox_bound
            text = f"cannot create a sandbox: {self._live} are live, and {bound.evidence}"
            raise HostError("SANDBOXES_EXHAUSTED", text, bound.mending)
        if self._lacks_descriptors():
            raise HostError(
                "DESCRIPTORS_EXHAUSTED",
                f"cannot create a sandbox: {self._live} live ones need all descriptors",
                "raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)",
            )

    def _is_full(self) -> bool:
        """Tell whether the kernel might refuse one more: see `doctor.capacity`."""
        return self._live >= self.host.sandbox_ceiling

    def _lacks_descriptors(self) -> bool:
        """Tell whether one more sandbox and its job might find none left."""
        busy = self._live - self._pool.ready_count
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        spare, per_job = SPARE_DESCRIPTORS, DESCRIPTORS_PER_JOB
        if self.has_blobs:
            spare += DESCRIPTORS_OF_STORE + stream_count(most)
            per_job += DESCRIPTORS_PER_JOB_BLOBS
        needed = (self._live + 1) * DESCRIPTORS_PER_BLANK + (busy + 1) * per_job
        return needed + DESCRIPTORS_PER_SANDBOX > most - spare


_EXHAUSTED = {
    errno.EMFILE: (
        "DESCRIPTORS_EXHAUSTED",
        "raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)",
    ),
    errno.ENFILE: ("DESCRIPTORS_EXHAUSTED", "raise fs.file-max (sysctl)"),
    errno.EAGAIN: (
        "PROCESSES_EXHAUSTED",
        "raise the limit of processes (TasksMax=, LimitNPROC=, ulimit -Hu)",
    ),
    errno.ENOMEM: ("MEMORY_EXHAUSTED", "give the service more memory, or fewer --slots"),
}
"""What the daemon itself can run out of: the reason, and what mends it."""


@contextmanager
def _named() -> Iterator[None]:
    """Give a name to what the kernel refuses the daemon itself.

    Raises:
        HostError: it has no descriptor, no process or no memory left.
        StageError: for any other errno.

    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        what = error.filename if isinstance(error.filename, str) else "the daemon's own work"
        if number not in _EXHAUSTED:
            raise StageError("daemon", number, what) from error
        reason, remedy = _EXHAUSTED[number]
        name = f"{errno.errorcode[number]} ({os.strerror(number)})"
        raise HostError(reason, f"cannot go on with {what}: {name}", remedy) from error


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` even if the caller is cancelled meanwhile; the cancellation follows then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - raised below, by result()
            break
    task.result()
    if cancelled is not None:
        raise cancelled


def _raise_limits() -> None:
    """Raise our soft limits to the hard ones: they bound all sandboxes together."""
    for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        hard = resource.getrlimit(number)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(number, (hard, hard))
