"""The process tree of a sandbox, read from outside, where no cgroup counts for us: weaker.

Sums what /proc says about init and its descendants. Processor time comes in clock ticks; memory
counts shared pages once a process. A process that ends between two looks is seen only through
what its parent has waited for.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PID = re.compile(r"^Pid:\s+(\d+)$", re.MULTILINE)


class TreeUsage(NamedTuple):
    """What the processes below init use now; init itself is not counted, what it reaped is."""

    cpu_time: timedelta
    memory_bytes: int
    process_count: int


def host_pid(pidfd: int) -> int | None:
    """Tell which process a pidfd means, as seen from here; None when it has ended."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        found = _PID.search(file.read())
    return int(found[1]) if found and int(found[1]) > 0 else None


def usage(init_pid: int) -> TreeUsage:
    """Walk the tree below `init_pid` once."""
    ticks, memory, count = 0, 0, 0
    pending = [init_pid]
    while pending:
        pid = pending.pop()
        fields = _stat(pid)
        if fields is None:
            continue
        own, waited_for, pages = fields
        ticks += waited_for
        if pid != init_pid:
            ticks += own
            memory += pages * _PAGE_BYTES
            count += 1
        pending += _children(pid)
    return TreeUsage(timedelta(seconds=ticks / _TICKS), memory, count)


def _stat(pid: int) -> tuple[int, int, int] | None:
    """Give a process's own ticks, those of the children it waited for, and its resident pages."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    own = int(fields[11]) + int(fields[12])
    waited_for = int(fields[13]) + int(fields[14])
    return own, waited_for, int(fields[21]) or _pages_of_threads(pid)


def _pages_of_threads(pid: int) -> int:
    """Give the resident pages of a process whose first thread has exited: then only others tell."""
    pages = [0]
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/statm", "rb") as file:
                pages.append(int(file.read().split()[1]))
    return max(pages)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        return found
    return found
