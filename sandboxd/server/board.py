"""The board: shared memory with one row for each worker, from which any of them tells for all.

Each process writes its own row only, so nobody needs a lock. A row is plain integers; one that is
read while it is written may be a moment old in one part and new in another, which a view may be.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import NamedTuple


class Counts(NamedTuple):
    """What a server has and does at this moment; of several workers, the sum."""

    worker_count: int = 0
    processor_count: int = 0
    slot_count: int = 0
    running_job_count: int = 0
    waiting_job_count: int = 0
    pool_size: int = 0
    ready_sandbox_count: int = 0


COUNT_FIELDS = len(Counts._fields)
GONE, BEAT = COUNT_FIELDS, COUNT_FIELDS + 1
ROW_FIELDS = COUNT_FIELDS + 2
INTEGER_BYTES = 8


class Board:
    """Rows that several processes see; all zero for a worker that is not there."""

    def __init__(self, fd: int, row_count: int) -> None:
        """Take the memory, and how many rows are in it."""
        self.fd = fd
        self._row_count = row_count
        memory = mmap.mmap(fd, row_count * ROW_FIELDS * INTEGER_BYTES)
        self._cells = memoryview(memory).cast("q")

    @classmethod
    def made(cls, row_count: int) -> Board:
        """Make memory without a name, for all who inherit its descriptor."""
        fd = os.memfd_create("sandboxd-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, row_count * ROW_FIELDS * INTEGER_BYTES)
        return cls(fd, row_count)

    def write(self, index: int, counts: Counts, gone_count: int) -> None:
        """Show a worker's counts, how many handed connections have gone, and that it is alive."""
        for place, value in enumerate((*counts, gone_count, time.monotonic_ns())):
            self._cells[index * ROW_FIELDS + place] = value

    def clear(self, index: int) -> None:
        """Forget a worker that is gone."""
        for place in range(ROW_FIELDS):
            self._cells[index * ROW_FIELDS + place] = 0

    def total(self) -> Counts:
        """Give the sum over all workers."""
        rows = (self._row(index)[:COUNT_FIELDS] for index in range(self._row_count))
        return Counts(*map(sum, zip(*rows, strict=True)))

    def gone_count(self, index: int) -> int:
        """Tell how many of the connections that a worker was handed have gone."""
        return self._row(index)[GONE]

    def silent_seconds(self, index: int) -> float:
        """Tell how long ago a worker last wrote its row."""
        return (time.monotonic_ns() - self._row(index)[BEAT]) / 1e9

    def _row(self, index: int) -> list[int]:
        return self._cells[index * ROW_FIELDS : (index + 1) * ROW_FIELDS].tolist()
