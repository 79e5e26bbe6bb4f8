"""Checks of how much is enforced: what is WEAK here are the weaknesses that GetHost tells.

Looks at `enforcement_facts` only, so that GetHost and `doctor` say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandboxd.doctor.finding import Finding, Grade, Graded, failed, named, passed, weak
from sandboxd.identity import IdMode, free_range
from sandboxd.kernel.cgroups import Rung
from sandboxd.kernel.idmap import LEAST_RANGE, Range

if TYPE_CHECKING:
    from sandboxd.doctor.facts import Facts, Mount, Subordinate

DELEGATE = "systemd-run --user --scope -p Delegate=yes sandboxd serve"
DELEGATE_MORE = (
    "sudo install -D -m 644 /dev/stdin /etc/systemd/system/user@.service.d/delegate.conf <<< "
    "$'[Service]\\nDelegate=cpu cpuset io memory pids', then log in anew"
)
WRITABLE = "docker run --cgroupns private --security-opt writable-cgroups=true"
UNKNOWN = failed(
    "the host was refused",
    "it could not be looked at, as the server would refuse to start here",
    "mend what `trial` names first",
)
LANDLOCK_LEVELS = {2: "refer", 3: "truncate", 4: "TCP", 5: "ioctl", 6: "signals, abstract sockets"}
"""What each ABI level of Landlock added to what we restrict."""


def ids(facts: Facts) -> Graded:
    """Each job should run under host ids of its own."""
    identity = facts.identity
    if identity is None:
        return UNKNOWN
    if identity.mode is IdMode.RANGE:
        line = identity.uid_map[1]
        return passed(f"{line.size} ids from {line.outside}")
    lines = [line for line in facts.subordinate if line.owner in {facts.user, str(identity.uid)}]
    if facts.forced_ids is IdMode.SINGLE:
        return weak(
            "--ids single",
            "jobs run under the daemon's own user id, as --ids single asks",
            "start without --ids single",
        )
    if facts.uid_map and all(line.size < LEAST_RANGE for line in facts.uid_map):
        count = sum(line.size for line in facts.uid_map)
        return weak(
            f"{count} ids in /proc/self/uid_map",
            "jobs run under the daemon's own user id: the user namespace around this process, as "
            "that of every sandbox, has no ids to give away, so nesting ends here",
            "for jobs with ids of their own, start sandboxd outside of this sandbox or container",
        )
    first, size = _free_range(facts.subordinate)
    wanted = f"{first}-{first + size - 1}"
    return weak(
        f"{len(lines)} lines for {facts.user} in /etc/subuid and /etc/subgid",
        "jobs run under the daemon's own user id: /etc/subuid and /etc/subgid give it no range",
        f"sudo usermod --add-subuids {wanted} --add-subgids {wanted} {facts.user}",
    )


def id_ranges(facts: Facts) -> Graded:
    """No other user's jobs may have the same host ids."""
    identity = facts.identity
    if identity is None or identity.mode is not IdMode.RANGE:
        return passed("no range is used")
    for file, map_ in (("subuid", identity.uid_map), ("subgid", identity.gid_map)):
        own = Range(map_[1].outside, map_[1].size)
        for line in facts.subordinate:
            is_own = line.owner in {facts.user, str(identity.uid)}
            if line.file == file and not is_own and own.overlaps(line.range):
                return weak(
                    f"/etc/{file}: {line.owner}:{line.range.start}:{line.range.size}",
                    f"the range of {facts.user} overlaps that of {line.owner}: jobs of both may "
                    "have the same host ids",
                    "give one of them another range, such as {}:{}, in /etc/{}".format(
                        *_free_range(facts.subordinate), file
                    ),
                )
    return passed("no other user's range overlaps")


def _free_range(given: tuple[Subordinate, ...]) -> Range:
    return free_range(line.range for line in given)


def cgroup_rung(facts: Facts) -> Graded:
    """Cgroup v2 with controllers is the best rung."""
    tree = facts.tree
    if tree is None:
        return UNKNOWN
    if tree.rung is Rung.V2:
        without = "; without cpuset (affinity places jobs; Delegate= in user@.service.d gives it)"
        lacking = "" if "cpuset" in tree.controllers else without
        return passed(f"v2 with {', '.join(sorted(tree.controllers))}{lacking}")
    if tree.rung is Rung.V1:
        return weak(
            f"v1 with {', '.join(tree.v1)}",
            "the memory controller is of cgroup v1: an OOM kill ends one process, not the job",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    if tree.rung is Rung.V2_BARE:
        why, remedy = _why_lacking(facts, "memory")
        return weak("v2-bare", f"{why}, so a job's cgroup only counts and kills", remedy)
    why, remedy = _why_lacking(facts, None)
    return weak("none", f"{why}, so nothing counts or kills a job as a whole", remedy)


def memory_bytes(facts: Facts) -> Graded:
    """Memory is limited by a controller, or watched."""
    return _controller(
        facts,
        "memory",
        "a watchdog samples the process tree instead, files in scratch space, socket buffers and "
        "page tables come on top, shared anonymous memory can hide, and memfd_create, shmget, "
        "semget and msgget are refused",
    )


def process_count(facts: Facts) -> Graded:
    """Tell whether a controller limits processes, or an rlimit."""
    return _controller(facts, "pids", "an rlimit counts instead")


def cpu_count(facts: Facts) -> Graded:
    """Only a controller holds a fraction of a processor; whole ones are a matter of placing."""
    return _controller(facts, "cpu", "jobs get whole processors where they ask for a fraction")


def _controller(facts: Facts, controller: str, consequence: str) -> Graded:
    if facts.tree is None:
        return UNKNOWN
    held = facts.tree.limits_by(controller)
    if held is not None:
        return passed(f"{held} {controller}")
    why, remedy = _why_lacking(facts, controller)
    return weak(f"rung {facts.tree.rung.value}", f"{why}: {consequence}", remedy)


def cpu_time(facts: Facts) -> Graded:
    """Processor time is counted by a cgroup, or summed over the processes that are seen."""
    if facts.tree is None:
        return UNKNOWN
    if facts.tree.rung is not Rung.NONE:
        return passed("a cgroup counts")
    why, remedy = _why_lacking(facts, None)
    return weak(
        "rung none",
        f"{why}: processor time is summed over the process tree, in ticks, and children that a "
        "program does not wait for hide theirs: wall_time bounds it",
        remedy,
    )


def _why_lacking(facts: Facts, controller: str | None) -> tuple[str, str]:
    """Say why no cgroup, or one without this controller, is ours, and what mends that."""
    what = "cgroup" if controller is None else f"{controller} controller"
    tree = facts.tree
    if tree is not None and facts.forced_rung is tree.rung and tree.rung is not Rung.V2:
        asked = f"--cgroup {tree.rung.value}"
        return f"no {what} is used, as {asked} asks", f"start without {asked}"
    for reason in (_hidden, _elsewhere, _not_given):
        if facts.mounts and (found := reason(facts, controller)):
            why, remedy = found
            return f"no {what} is delegated, as {why}", remedy
    return f"no {what} is delegated", DELEGATE


def _hidden(facts: Facts, _controller: str | None) -> tuple[str, str] | None:
    in_sight = _cgroup_mounts(facts.mounts)
    if not in_sight:
        remedy = "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or start outside of what covers it"
        return "no cgroup file system is in sight", remedy
    if any(mount.kind == "cgroup2" and "ro" in mount.options for mount in in_sight):
        return "cgroup2 is mounted read-only, as container runtimes do", WRITABLE
    return None


def _elsewhere(facts: Facts, controller: str | None) -> tuple[str, str] | None:
    if controller is None or controller in facts.v2_controllers:
        return None
    if any(mount.kind == "cgroup" for mount in _cgroup_mounts(facts.mounts)):
        remedy = "sudo sandboxd setup, or boot with systemd.unified_cgroup_hierarchy=1"
        return "it is on cgroup v1 and no tree of it was prepared", remedy
    return "cgroup2 does not have it here", "add it to cgroup.subtree_control of the parent"


def _not_given(facts: Facts, _controller: str | None) -> tuple[str, str] | None:
    if facts.tree is not None and facts.tree.rung is Rung.V2:
        return "the user manager passes fewer on", DELEGATE_MORE
    owner, identity = facts.own_cgroup_uid, facts.identity
    if owner is None or identity is None or owner == identity.uid:
        return None
    return f"cgroup {facts.own_cgroup} belongs to uid {owner}", DELEGATE


def _cgroup_mounts(mounts: tuple[Mount, ...]) -> list[Mount]:
    """Give the cgroup file systems that no later mount covers."""
    return [
        mount
        for number, mount in enumerate(mounts)
        if mount.kind in {"cgroup", "cgroup2"}
        and not any(
            f"{mount.place}/".startswith(f"{later.place.rstrip('/')}/")
            for later in mounts[number + 1 :]
        )
    ]


def landlock(facts: Facts) -> Graded:
    """Landlock is the second fence behind the mounts."""
    if not facts.landlock_abi:
        return weak("no Landlock", "this kernel has no Landlock", "use Linux 5.13 or later")
    lacking = [f"{what} ({n})" for n, what in LANDLOCK_LEVELS.items() if n > facts.landlock_abi]
    without = f", without {', '.join(lacking)}: the mounts and namespaces hold those alone"
    return passed(f"ABI {facts.landlock_abi}{without if lacking else ''}")


CHECKS = named(
    ids, id_ranges, cgroup_rung, memory_bytes, process_count, cpu_count, cpu_time, landlock
)


def weaknesses(facts: Facts) -> tuple[Finding, ...]:
    """Give what is enforced less well than it could be."""
    found = (Finding(name, *check(facts)) for name, check in CHECKS.items())
    return tuple(finding for finding in found if finding.grade is Grade.WEAK)
