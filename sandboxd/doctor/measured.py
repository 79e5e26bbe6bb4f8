"""Checks of what bounds all jobs together, and of what disturbs their measurements."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from sandboxd.doctor.capacity import scarcest
from sandboxd.doctor.finding import Graded, failed, passed, weak
from sandboxd.model.limits import DESCRIPTORS_PER_SANDBOX, SPARE_DESCRIPTORS, built_in

if TYPE_CHECKING:
    from sandboxd.doctor.facts import Facts

SPARE_PROCESSES = 1024
"""What else runs on a host."""


def _processes_at_once(facts: Facts) -> int:
    return facts.slot_count * (built_in("default").process_count or 1)


def pid_max(facts: Facts) -> Graded:
    """All processes of the host have different numbers."""
    return _host_wide(facts, "kernel.pid_max")


def threads_max(facts: Facts) -> Graded:
    """All threads of the host together."""
    return _host_wide(facts, "kernel.threads-max")


def _host_wide(facts: Facts, name: str) -> Graded:
    value = facts.sysctls.get(name, "")
    needed = _processes_at_once(facts) + SPARE_PROCESSES
    evidence = f"{name} = {value or 'unreadable'}"
    if value.isdecimal() and int(value) < needed:
        text = f"{facts.slot_count} jobs at once and the host itself may need {needed} processes"
        return weak(evidence, text, f"sudo sysctl -w {name}={max(32768, needed)}")
    return passed(evidence)


def processes(facts: Facts) -> Graded:
    """Count as the kernel does: all processes of all jobs against the daemon's own limit."""
    needed = _processes_at_once(facts)
    if facts.processes == resource.RLIM_INFINITY or facts.processes >= needed:
        shown = "none" if facts.processes == resource.RLIM_INFINITY else str(facts.processes)
        return passed(f"hard limit: {shown}")
    return weak(
        f"hard limit: {facts.processes}",
        f"{facts.slot_count} jobs at once may need {needed} processes, and the daemon's hard "
        "limit holds for all of them together",
        "LimitNPROC=infinity in the unit, or ulimit -Hu as root",
    )


def open_files(facts: Facts) -> Graded:
    """Ask for the descriptors of the daemon's that live sandboxes hold."""
    least = DESCRIPTORS_PER_SANDBOX + SPARE_DESCRIPTORS
    needed = facts.slot_count * DESCRIPTORS_PER_SANDBOX + SPARE_DESCRIPTORS
    remedy = "LimitNOFILE=524288 in the unit, or ulimit -Hn as root"
    evidence = f"hard limit: {facts.open_files}"
    if facts.open_files == resource.RLIM_INFINITY:
        return passed("hard limit: none")
    if facts.open_files < least:
        return failed(evidence, f"not even one sandbox gets its {least} descriptors", remedy)
    if facts.open_files < needed:
        return weak(evidence, f"{facts.slot_count} jobs at once need {needed} descriptors", remedy)
    return passed(evidence)


def sandboxes(facts: Facts) -> Graded:
    """Count what live sandboxes use up: see `capacity`."""
    if not facts.supplies:
        return passed("not looked at")
    bound = scarcest(facts.supplies)
    evidence = f"{bound.sandbox_count} may live at once, by {bound.evidence}"
    if bound.sandbox_count <= facts.slot_count:
        text = f"{facts.slot_count} jobs at once leave no room for sandboxes made ahead"
        return weak(evidence, text, bound.mending)
    return passed(evidence)


def swap(facts: Facts) -> Graded:
    """Only cgroup v2 keeps a job out of swap."""
    if not facts.swaps:
        return passed("no swap")
    evidence = ", ".join(facts.swaps)
    if facts.tree is not None and facts.tree.limits_by("memory") == "cgroup2":
        return passed(f"{evidence}: memory.swap.max = 0 keeps jobs out of it")
    text = "a job's memory may be swapped out, which slows it and hides what it uses"
    return weak(evidence, text, "sudo swapoff -a (for good: take it out of /etc/fstab)")


def smt(facts: Facts) -> Graded:
    """Two threads of one core are not two processors."""
    evidence = f"SMT: {facts.smt or 'unknown'}"
    if facts.smt == "on":
        text = "two jobs on the two threads of one core slow each other down"
        return weak(evidence, text, "echo off | sudo tee /sys/devices/system/cpu/smt/control")
    return passed(evidence)


def governor(facts: Facts) -> Graded:
    """Ask for a steady clock: else the same work takes different times."""
    evidence = f"governor: {', '.join(sorted(facts.governors)) or 'none'}"
    if facts.governors - {"performance"}:
        text = "the processors' clock follows the load, so the same job takes different times"
        return weak(evidence, text, "sudo cpupower frequency-set --governor performance")
    return passed(evidence)


def huge_pages(facts: Facts) -> Graded:
    """Ask for small pages: who touches one byte of a huge one is charged for all of it."""
    evidence = f"transparent huge pages: {facts.huge_pages or 'none'}"
    if facts.huge_pages == "always":
        return weak(
            evidence,
            "memory is given in pieces of 2 MiB, so a job's peak is more than what it touched",
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        )
    return passed(evidence)


def compiled(facts: Facts) -> Graded:
    """Sandboxes are cloned from a compiled process, or, slower, from a Python one."""
    if facts.compiled:
        return passed("the compiled zygote has been built")
    return weak(
        "there is no compiled zygote, or it lies on a file system that is mounted noexec",
        "every job takes some milliseconds more; it is held no less",
        "install gcc and libc6-dev, then sandboxd again (python -m sandboxd.compiled builds it)",
    )


def core_pattern(facts: Facts) -> Graded:
    """core(5): RLIMIT_CORE does not keep the kernel from starting a program that takes cores."""
    pattern = facts.sysctls.get("kernel.core_pattern")
    evidence = f"kernel.core_pattern = {pattern if pattern is not None else 'unreadable'}"
    if (pattern or "").startswith("|"):
        text = "each crash of a job starts a program of the host's, outside of the job's limits"
        return weak(evidence, text, "sudo sysctl -w kernel.core_pattern=core")
    return passed(evidence)
