"""The jobs that a server keeps, as everybody uses them. Safe for threads; does I/O.

Several processes may share one directory. A waiting job belongs to the process that accepted it,
until an idle one adopts it, or that one dies; what ran there then is told as interrupted.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.jobs import faults
from sandboxd.jobs.ledger import Ledger, Record, as_json
from sandboxd.jobs.owners import Owners
from sandboxd.jobs.places import Place, charged_bytes
from sandboxd.jobs.values import End, Wish
from sandboxd.model.stored import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sandboxd.jobs.output import Piece
    from sandboxd.jobs.values import Asked, Page

MICROSECOND = timedelta(microseconds=1)


class JobStore:
    """One directory of jobs."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        queue_length: int,
        keep_time: timedelta,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open it, and take over what the dead have left.

        `max_bytes` is for all jobs together; `queue_length` is how many may wait here, by this
        process; `keep_time` is how long a job is kept after its end, by default and at most.

        Raises:
            HostError: the directory cannot be used.

        """
        self.keep_time = keep_time
        self._max_bytes = max_bytes
        self._queue_length = queue_length
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        with faults.named(directory), _alone(directory):
            directory.chmod(0o700)
            (directory / "jobs").mkdir(0o700, exist_ok=True)
            self._ledger = Ledger(directory / "jobs.sqlite")
            self._owners = Owners(directory / "owners")
            if not self._owners.others_live():
                self._sweep()
        self.take_over()

    def close(self) -> None:
        """Close it; what waits is for another process to take over."""
        with self._lock:
            self._owners.close()
            self._ledger.close()

    @property
    def own_name(self) -> str:
        """What this process is called as an owner."""
        return self._owners.own_name

    # --- a job from its start to its end ----------------------------------------------------------

    def start(self, tenant: str, asked: Asked, places: int | None = None) -> Record:
        """Keep a job; when this returns it is on disk. What is asked again is there already.

        `places` is how many of the tenant's jobs may wait.

        Raises:
            ConflictError: the tenant has another job of this request's name.
            Busy: as many wait as may, or what is kept of the tenant's has no more room.
            HostError: the disk is full or broken.

        """
        record = self._record(tenant, asked)
        with self.working() as ledger:
            if (known := self._known(ledger, tenant, asked)) is not None:
                return known
            self._check_room(ledger, record, places)
        place = self.place(record.id)
        try:
            with faults.named(self._directory):
                place.make(asked.request, asked.webhook)
            with self.working() as ledger, ledger.writing():
                known = self._known(ledger, tenant, asked)
                if known is None:
                    self._check_room(ledger, record, places)
                    ledger.put(record)
        except BaseException:
            place.remove()
            raise
        if known is not None:
            place.remove()
            return known
        return record

    def known(self, tenant: str, asked: Asked) -> Record | None:
        """Find the job that was started when the same was asked before.

        Raises:
            ConflictError: something else was.

        """
        with self.working() as ledger:
            return self._known(ledger, tenant, asked)

    def begin(self, record: Record) -> bool:
        """Say that a waiting job runs from now on; False: it does not wait here any more.

        When this returns it is on disk, and the job will never be run a second time.
        """
        with self.working() as ledger, ledger.writing():
            now = ledger.find(record.id)
            if now is None or (now.state, now.owner) != (JobState.QUEUED, self.own_name):
                return False
            ledger.change(record, state=int(JobState.RUNNING), start_us=self._now_us())
        with faults.named(self._directory):
            self.place(record.id).forget_request()
        return True

    def append(self, job_id: str, pieces: Iterable[Piece]) -> None:
        """Keep output that has come."""
        with faults.named(self._directory):
            self.place(job_id).output.append(pieces)

    def finish(self, record: Record, end: End) -> None:
        """Say how a job of ours ended, unless it has; when this returns it is on disk."""
        place = self.place(record.id)
        with faults.named(self._directory):
            if end.result is not None:
                place.keep_result(end.result)
        with self.working() as ledger, ledger.writing():
            now = ledger.find(record.id)
            if now is None or now.owner != self.own_name or JobState(now.state).is_over:
                return
            self._end(ledger, record, end)
        with faults.named(self._directory):
            place.forget_request()

    def cancel(self, tenant: str, job_id: str, wish: Wish) -> Record:
        """End a job that waits; of one that runs elsewhere, have its owner know the wish.

        Gives the job as it is now.
        """
        with self.working() as ledger, ledger.writing():
            record = self._found(ledger, tenant, job_id)
            if record.state == JobState.QUEUED:
                self._end(ledger, record, End(state=JobState.CANCELLED))
            elif record.state == JobState.RUNNING and record.owner != self.own_name:
                ledger.change(record, cancel=json.dumps(wish))
            record = self._found(ledger, tenant, job_id)
        if record.state == JobState.CANCELLED:
            with faults.named(self._directory):
                self.place(job_id).forget_request()
        return record

    # --- looking ----------------------------------------------------------------------------------

    def get(self, tenant: str, job_id: str) -> Record:
        """Find a tenant's job.

        Raises:
            NotFoundError: the tenant has none of this id.

        """
        with self.working() as ledger:
            return self._found(ledger, tenant, job_id)

    def page(self, tenant: str, page: Page) -> list[Record]:
        """List some of a tenant's jobs, the latest first."""
        with self.working() as ledger:
            return ledger.page(tenant, self._now_us(), page)

    def positions(self, tenant: str) -> dict[str, int]:
        """Tell of each waiting job of a tenant how many may run before it."""
        with self.working() as ledger:
            return ledger.positions(tenant)

    def place(self, job_id: str) -> Place:
        """Give what a job has on disk."""
        return Place(self._directory / "jobs" / job_id)

    @contextmanager
    def reading(self, job_id: str) -> Iterator[Place]:
        """Give the same, to read from it.

        Raises:
            HostError: the disk fails.

        """
        with faults.named(self._directory):
            yield self.place(job_id)

    # --- what this process has to do --------------------------------------------------------------

    def next_of(self, tenant: str, count: int) -> list[Record]:
        """List whose turn is next among the waiting jobs of a tenant."""
        with self.working() as ledger:
            return ledger.next_of(self.own_name, tenant, count)

    def tenants_waiting(self) -> list[str]:
        """Name the tenants that have waiting jobs."""
        with self.working() as ledger:
            return ledger.tenants_waiting(self.own_name)

    def adopt(self, count: int) -> set[str]:
        """Take over what waits at other processes, so much at most; name whose it is."""
        with self.working() as ledger:
            if not ledger.next_elsewhere(self.own_name, 1):
                return set()
            with ledger.writing():
                records = ledger.next_elsewhere(self.own_name, count)
                for record in records:
                    ledger.change(record, owner=self.own_name)
        return {record.tenant for record in records}

    def wishes(self) -> dict[str, Wish]:
        """Give the ends that other processes have asked for, once each."""
        with self.working() as ledger:
            records = ledger.wishes(self.own_name)
            if not records:
                return {}
            with ledger.writing():
                for record in records:
                    ledger.change(record, cancel=None)
        return {record.id: Wish(*json.loads(record.cancel or "[]")) for record in records}

    def take_over(self) -> bool:
        """Take over what the dead have left; tell whether there was any."""
        with self.working() as ledger:
            dead = [name for name in ledger.owners() if not self._owners.lives(name)]
            if not dead:
                return False
            with ledger.writing():
                for name in dead:
                    for record in ledger.of_owner(name):
                        self._inherit(ledger, record)
        return True

    def expire(self) -> None:
        """Forget what has had its time."""
        with self.working() as ledger:
            gone = ledger.expired(self._now_us())
        if not gone:
            return
        with faults.named(self._directory):
            for record in gone:
                self.place(record.id).remove()
        with self.working() as ledger, ledger.writing():
            for record in gone:
                ledger.drop(record)

    def hooks_due(self, count: int) -> list[Record]:
        """List the ended jobs of which somebody should be told by now."""
        with self.working() as ledger:
            return ledger.hooks_due(self.own_name, self._now_us(), count)

    def seconds_to_hook(self) -> float | None:
        """Tell how long it is until somebody should be told; None: nobody is to be told."""
        with self.working() as ledger:
            due = ledger.next_hook_us(self.own_name)
        return None if due is None else max(0.0, (due - self._now_us()) / 1e6)

    def hook_later(self, record: Record, delay: timedelta | None) -> None:
        """Have somebody told in a while once more; None: that is done, or given up."""
        if delay is None:
            with faults.named(self._directory):
                self.place(record.id).forget_webhook()
        due = None if delay is None else self._now_us() + delay // MICROSECOND
        with self.working() as ledger, ledger.writing():
            ledger.change(record, hook_due_us=due, hook_tries=record.hook_tries + 1)

    # ----------------------------------------------------------------------------------------------

    @contextmanager
    def working(self) -> Iterator[Ledger]:
        """Have the ledger to ourselves; for this package."""
        with faults.named(self._directory), self._lock:
            yield self._ledger

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)

    def _record(self, tenant: str, asked: Asked) -> Record:
        keep_time = self.keep_time if asked.keep_time is None else asked.keep_time
        return Record(
            id=secrets.token_hex(16),
            tenant=tenant,
            owner=self.own_name,
            state=int(JobState.QUEUED),
            request_id=asked.request_id,
            request_digest=asked.digest,
            priority=asked.priority,
            labels=as_json(asked.labels),
            keep_us=keep_time // MICROSECOND,
            create_us=self._now_us(),
            request_bytes=len(asked.request),
            disk_bytes=charged_bytes(len(asked.request)),
        )

    def _known(self, ledger: Ledger, tenant: str, asked: Asked) -> Record | None:
        if not asked.request_id:
            return None
        record = ledger.find_request(tenant, asked.request_id)
        if record is None:
            return None
        if self._is_gone(record):
            self.place(record.id).remove()
            ledger.drop(record)
            return None
        if record.request_digest != asked.digest:
            raise faults.used(asked.request_id)
        return record

    def _check_room(self, ledger: Ledger, record: Record, places: int | None) -> None:
        """Refuse one job too many; each tenant always leaves as much room as it has itself."""
        waiting, own = ledger.waiting_counts(self.own_name, record.tenant)
        if waiting >= self._queue_length:
            raise faults.queue_full(self._queue_length)
        if places is not None and own >= places:
            raise faults.share_full(places)
        all_bytes, own_bytes = ledger.bytes_of(record.tenant)
        if own_bytes + record.disk_bytes > self._max_bytes - all_bytes:
            raise faults.room_full(own_bytes)

    def _found(self, ledger: Ledger, tenant: str, job_id: str) -> Record:
        record = ledger.find(job_id)
        if record is None or record.tenant != tenant or self._is_gone(record):
            raise faults.unknown()
        return record

    def _is_gone(self, record: Record) -> bool:
        return record.expire_us is not None and record.expire_us <= self._now_us()

    def _end(self, ledger: Ledger, record: Record, end: End) -> None:
        place, now = self.place(record.id), self._now_us()
        fault = end.fault
        ledger.change(
            record,
            state=int(end.state),
            start_us=end.start_us,
            end_us=now,
            expire_us=now + record.keep_us,
            outcome=end.outcome,
            fault=fault
            and json.dumps([fault.reason, fault.message, dict(fault.metadata)], sort_keys=True),
            cancel=None,
            hook_due_us=now if place.has_webhook else None,
            disk_bytes=place.left_bytes,
        )

    def _inherit(self, ledger: Ledger, record: Record) -> None:
        if record.state == JobState.RUNNING:
            self.place(record.id).forget_request()
            self._end(ledger, record, End(state=JobState.INTERRUPTED, start_us=record.start_us))
        ledger.change(record, owner=self.own_name)

    def _sweep(self) -> None:
        """Remove what a kill has left between two steps; nobody else is here."""
        states = self._ledger.states()
        for path in (self._directory / "jobs").iterdir():
            if path.name not in states:
                Place(path).remove()
            elif states[path.name] != JobState.QUEUED:
                Place(path).forget_request()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from opening the directory meanwhile."""
    directory.mkdir(0o700, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
