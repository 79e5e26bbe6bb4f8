"""Checks of what every sandbox needs: without it no job runs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sandboxd.doctor.finding import Graded, failed, name_of, passed, refusal, weak, works
from sandboxd.identity import IdMode, is_mapped
from sandboxd.kernel.idmap import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandboxd.doctor.facts import Facts, MapProgram
    from sandboxd.kernel.idmap import Map

LEAST_KERNEL = (5, 12)
ALL_IDS = (0, 0, (1 << 32) - 1)
"""The map of the first user namespace: one with another map lies inside it."""
NAMESPACE_KINDS = ("mnt", "pid", "net", "ipc", "uts", "cgroup")
SPARE_NAMESPACES = 8
NAMESPACE_STEPS = tuple(
    f"{kind}_namespace" for kind in ("mount", "network", "ipc", "uts", "cgroup", "pid")
)
EMPTY_IN_PROC = frozenset({"/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd", "/proc/openprom"})
"""Directories that the kernel keeps empty to be mounted on: these cover nothing."""
ACTIONS = frozenset({"allow", "errno", "kill_process"})
OWN_FILTER_REMEDY = (
    "docker run --security-opt seccomp=deploy/docker/seccomp.json (Kubernetes: "
    "securityContext.seccompProfile of type Localhost with that file)"
)


def release_of(text: str) -> tuple[int, int]:
    """Read the two first numbers of a kernel release; (0, 0) where there are none."""
    numbers = text.split("-", maxsplit=1)[0].split(".")[:2]
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers):
        return 0, 0
    return int(numbers[0]), int(numbers[1])


def kernel(facts: Facts) -> Graded:
    """Linux 5.12 brought mount_setattr(2), which the root is made read-only with."""
    evidence = f"Linux {facts.kernel_release}"
    release = release_of(facts.kernel_release)
    if release < LEAST_KERNEL and not works(facts, "bind_mounts"):
        return failed(evidence, "Linux older than 5.12 cannot make a sandbox", "boot Linux 5.12")
    newer = {"memory.peak": (5, 19), "memory.peak per job": (6, 12)}
    missing = ", ".join(f"{what} ({'.'.join(map(str, n))})" for what, n in newer.items())
    lacking = [n for n in newer.values() if release < n]
    return passed(f"{evidence}; newer ones bring {missing}" if lacking else evidence)


def user_namespaces(facts: Facts) -> Graded:
    """Ask for user namespaces: their number may be 0, here or in a namespace around this one."""
    value = facts.sysctls.get("user.max_user_namespaces")
    evidence = f"user.max_user_namespaces = {value or 'unreadable'}"
    if works(facts, "user_namespace"):
        return passed(evidence)
    is_first = not facts.uid_map or facts.uid_map[0] == ALL_IDS
    if value == "0":
        where = "" if is_first else "; set it where the user namespace around this one is made"
        return failed(
            evidence,
            "user namespaces are switched off here: their number is limited to 0",
            f"sudo sysctl -w user.max_user_namespaces=65536{where}",
        )
    if refusal(facts, "user_namespace") == errno.ENOSPC:
        return failed(
            f"{evidence}, ENOSPC",
            "a user namespace around this one allows none below it, or there are 32 levels already",
            "raise user.max_user_namespaces in the namespaces around this one, or nest less deeply",
        )
    if refusal(facts, "user_namespace") in {errno.EINVAL, errno.ENOSYS}:
        text = "this kernel was built without user namespaces"
        return failed(evidence, text, "boot a kernel with CONFIG_USER_NS=y")
    return passed(evidence)


def unprivileged_userns(facts: Facts) -> Graded:
    """Debian's switch for user namespaces of ordinary users."""
    value = facts.sysctls.get("kernel.unprivileged_userns_clone")
    if value is None:
        return passed("this kernel has no kernel.unprivileged_userns_clone")
    evidence = f"kernel.unprivileged_userns_clone = {value}"
    if value == "0" and not works(facts, "user_namespace"):
        text = "only root may make user namespaces on this host"
        return failed(evidence, text, "sudo sysctl -w kernel.unprivileged_userns_clone=1")
    return passed(evidence)


def apparmor(facts: Facts) -> Graded:
    """Ubuntu's restriction: a namespace may be made, but gives no capability."""
    value = facts.sysctls.get("kernel.apparmor_restrict_unprivileged_userns")
    profile = facts.apparmor_profile or "none"
    evidence = f"kernel.apparmor_restrict_unprivileged_userns = {value or 'absent'}, profile "
    evidence += profile
    if works(facts, "mount_namespace"):
        return passed(evidence)
    if value == "1" and profile in {"none", "unconfined"}:
        return failed(
            evidence,
            "AppArmor takes every capability from the user namespaces of programs without a "
            "profile that allows them",
            "sudo sandboxd setup (it installs the profile /etc/apparmor.d/sandboxd)",
        )
    refused = any(refusal(facts, step) == errno.EACCES for step in ("user_namespace", "id_maps"))
    if profile not in {"none", "unconfined"} and refused:
        return failed(
            evidence,
            f"the AppArmor profile {profile} forbids user namespaces",
            "add `userns,` to that profile, or docker run --security-opt apparmor=unconfined",
        )
    return passed(evidence)


def mapped_user(facts: Facts) -> Graded:
    """Ask for a valid user id: nobody else may make a user namespace."""
    evidence = f"euid {facts.euid}, uid_map {_shown(facts.uid_map)}"
    if facts.uid_map and not is_mapped(Range(facts.euid, 1), facts.uid_map):
        return failed(
            evidence,
            "this process's user id has no meaning in its user namespace",
            "map it where the namespace is made (unshare --map-user, --map-auto)",
        )
    who = facts.identity
    if who is not None and facts.uid_map and not is_mapped(Range(who.uid, 1), facts.uid_map):
        return failed(
            f"uid {who.uid}, uid_map {_shown(facts.uid_map)}",
            f"root here is to become uid {who.uid}, which has no meaning in its user namespace",
            "start it as an ordinary user, or name one whose id is mapped by --service-user",
        )
    return passed(evidence)


def chroot(facts: Facts) -> Graded:
    """Look for a chroot: the kernel refuses user namespaces there, EPERM (user_namespaces(7))."""
    refused = refusal(facts, "user_namespace") == errno.EPERM
    if facts.mounts and "/" not in facts.mount_places:
        evidence, is_chroot = "no line of /proc/self/mountinfo is for /", True
    elif facts.root_is_hosts is False and refused:
        evidence, is_chroot = "/ is not the / of PID 1", True
    else:
        evidence, is_chroot = "/ is a mount of its own", False
    if is_chroot and not works(facts, "user_namespace"):
        return failed(
            evidence,
            "this process is in a chroot, and the kernel allows no user namespace there",
            "start it outside, or enter the tree by pivot_root: systemd-nspawn -D DIR, bwrap",
        )
    return passed(evidence)


def own_seccomp(facts: Facts) -> Graded:
    """Look for a filter around the daemon that refuses what sandboxes are made with."""
    evidence = f"Seccomp: {facts.status.get('Seccomp', 'unreadable')} in /proc/self/status"
    if facts.filter_refusal:
        return failed(
            f"{evidence}, unshare answered with {name_of(facts.filter_refusal)}",
            "a seccomp filter around this process, such as a container runtime's default profile, "
            "forbids new namespaces",
            OWN_FILTER_REMEDY,
        )
    return passed(evidence)


def namespaces(facts: Facts) -> Graded:
    """Each live sandbox has one namespace of each kind."""
    counts = {
        kind: int(value)
        for kind in NAMESPACE_KINDS
        if (value := facts.sysctls.get(f"user.max_{kind}_namespaces", "")).isdecimal()
    }
    least = min(counts, key=lambda kind: counts[kind], default="")
    evidence = f"user.max_{least}_namespaces = {counts[least]}" if least else "limits unreadable"
    command = f"sudo sysctl -w user.max_{least}_namespaces=65536"
    refused = [step for step in NAMESPACE_STEPS if refusal(facts, step)]
    if least and counts[least] == 0:
        return failed(evidence, f"no {least} namespace may be made here", command)
    if refused:
        number = refusal(facts, refused[0])
        return failed(
            f"{refused[0]} refused with {name_of(number)}",
            f"this host lets the daemon make no {refused[0].replace('_', ' ')}",
            "look at user.max_*_namespaces, and at rules of AppArmor and seccomp around the daemon",
        )
    if least and counts[least] < facts.slot_count + SPARE_NAMESPACES:
        text = f"{facts.slot_count} jobs at once need more {least} namespaces than may be made"
        return weak(evidence, text, command)
    return passed(evidence)


def clone3(facts: Facts) -> Graded:
    """Sandboxes are cloned straight into their cgroups, which the older clone(2) cannot."""
    number = refusal(facts, "clone3")
    if number == errno.ENOSYS:
        return failed(
            "clone3 refused with ENOSYS",
            "clone3 is hidden, as container runtimes' seccomp profiles do, and only it clones into "
            "a cgroup",
            OWN_FILTER_REMEDY,
        )
    if number:
        evidence = f"clone3 refused with {name_of(number)}"
        text = "no process may be started: a limit on processes is reached, or a filter forbids it"
        return failed(evidence, text, "look at ulimit -u, pids.max of the cgroup, kernel.pid_max")
    if works(facts, "clone3"):
        return passed("clone3 with a pidfd works")
    first = _failed_before(facts)
    return passed("not tried") if first is None else _not_reached(first)


def map_programs(facts: Facts) -> Graded:
    """Only newuidmap and newgidmap, as root, may map ids that are not the daemon's own."""
    identity = facts.identity
    if identity is None or identity.mode is not IdMode.RANGE:
        return passed("not needed: no range is mapped")
    if identity.started_as_root:
        return passed("not needed: root writes the maps")
    for name in ("newuidmap", "newgidmap"):
        wrong = _wrong_with(name, facts.map_programs.get(name))
        if wrong is not None:
            return wrong
    range_ = Range(identity.uid_map[1].outside, identity.uid_map[1].size)
    if facts.uid_map and not is_mapped(range_, facts.uid_map):
        return failed(
            f"range {range_.start}+{range_.size}, uid_map {_shown(facts.uid_map)}",
            "the range of /etc/subuid is not mapped in the user namespace around this process",
            "give a range inside that map (in a pod: below 65536), or start with --ids single",
        )
    paths = ", ".join(found.path for found in facts.map_programs.values())
    if number := refusal(facts, "newuidmap"):
        return failed(
            f"{paths} refused with {name_of(number)}",
            "newuidmap or newgidmap did not write the maps; it says why on the server's stderr",
            "compare /etc/subuid and /etc/subgid with the user, or start with --ids single",
        )
    return passed(paths)


def _wrong_with(name: str, program: MapProgram | None) -> Graded | None:
    if program is None:
        text = f"{name} is not installed, and only it may map the range of /etc/subuid"
        return failed(f"no {name} on PATH", text, "sudo apt install uidmap")
    if program.on_nosuid:
        text = f"{program.path} lies on a file system that is mounted nosuid, so it is never root"
        return failed(
            f"{program.path} on nosuid", text, "mount it with suid, or start with --ids single"
        )
    if not program.is_privileged:
        text = f"{name} is neither set-user-id root here nor has file capabilities"
        return failed(f"{program.path} is a plain file", text, f"sudo chmod u+s {program.path}")
    return None


def no_new_privs(facts: Facts) -> Graded:
    """Under no_new_privs no program is set-user-id, so newuidmap has no power."""
    evidence = f"NoNewPrivs: {facts.status.get('NoNewPrivs', 'unreadable')} in /proc/self/status"
    identity = facts.identity
    needs = identity is not None and identity.mode is IdMode.RANGE and not identity.started_as_root
    if needs and facts.status.get("NoNewPrivs") == "1":
        return failed(
            evidence,
            "no_new_privs is set on the daemon, so newuidmap cannot become root to map the ids",
            "take NoNewPrivileges= out of the unit (Kubernetes: allowPrivilegeEscalation: true; "
            "Docker: no no-new-privileges), or start with --ids single",
        )
    return passed(evidence)


def proc_mounted(facts: Facts) -> Graded:
    """Ask for a /proc at all: ids are mapped through it, and a sandbox's own needs one in sight."""
    if not facts.status or not any(mount.kind == "proc" for mount in facts.mounts):
        text = "no /proc is in sight here, and without one no ids are mapped and no /proc mounted"
        return failed("no /proc/self/status", text, "mount -t proc proc /proc")
    return passed("/proc/self is readable")


def proc(facts: Facts) -> Graded:
    """Ask for a whole /proc: the kernel allows a new one only where one is in sight uncovered."""
    places = [mount.place for mount in facts.mounts if mount.kind == "proc" and mount.root == "/"]
    covers = {place: _covers(place, facts.mount_places) for place in places}
    read_only = {m.place for m in facts.mounts if m.kind == "proc" and "ro" in m.options}
    if works(facts, "proc"):
        return passed("a new /proc may be mounted")
    if places and all(covers[place] or place in read_only for place in places):
        covered = covers[places[0]] or [f"{places[0]} itself, read-only"]
        return failed(
            f"covered: {', '.join(covered[:4])}",
            "parts of /proc are masked, and the kernel allows a sandbox no /proc of its own then",
            "docker run --security-opt systempaths=unconfined (Kubernetes: procMount: Unmasked and "
            "hostUsers: false); elsewhere: umount " + " ".join(covered[:4]),
        )
    if number := refusal(facts, "proc"):
        text = "a sandbox may not mount a /proc of its own"
        return failed(f"mount refused with {name_of(number)}", text, "see dmesg for `VFS: Mount`")
    if "proc" not in facts.tried and (first := _failed_before(facts)):
        return _not_reached(first)
    return passed(f"{', '.join(places)}, nothing covered")


def _covers(place: str, mounted: Iterable[str]) -> list[str]:
    below = place.rstrip("/") + "/"
    return sorted(p for p in mounted if p.startswith(below) and p not in EMPTY_IN_PROC)


def seccomp(facts: Facts) -> Graded:
    """Ask for what the filters of jobs are made with."""
    text = facts.sysctls.get("kernel.seccomp.actions_avail")
    missing = ACTIONS - set((text or "").split())
    if works(facts, "seccomp"):
        return passed(f"filters can be installed; actions: {text or 'unreadable'}")
    if text is not None and missing:
        cause = f"this kernel cannot answer {', '.join(sorted(missing))} from a filter"
        return failed(f"actions: {text}", cause, "boot a kernel with CONFIG_SECCOMP_FILTER=y")
    return _tried("seccomp", "install a seccomp filter")(facts)


def libseccomp(facts: Facts) -> Graded:
    """Its table of names is used, its compiler is not: that has a defect which we do not share."""
    if facts.libseccomp is not None:
        note = "only its names of calls are used, so its defect GHSA-4q85-33p6-j5g6 is not ours"
        return passed(f"libseccomp {facts.libseccomp}: {note}")
    if facts.failure is not None and facts.failure.step == "import":
        text = "libseccomp is not installed, and the policies cannot be compiled without it"
        return failed("no libseccomp.so.2", text, "sudo apt install libseccomp2")
    return passed("libseccomp is not in the usual places")


def _tried(step: str, what: str) -> Callable[[Facts], Graded]:
    """Make the check of a step that is only known by trying it."""

    def check(facts: Facts) -> Graded:
        if number := refusal(facts, step):
            return failed(
                f"{step} refused with {name_of(number)}",
                f"this host does not let the daemon {what}",
                "look for a security module's or a container runtime's rule: dmesg, audit log",
            )
        if works(facts, step):
            return passed("tried, and works")
        first = _failed_before(facts)
        return passed("not tried") if first is None else _not_reached(first)

    return check


def _failed_before(facts: Facts) -> str | None:
    return next((step for step, number in facts.tried.items() if number), None)


def _not_reached(first: str) -> Graded:
    text = f"it could not be tried, as step {first} failed before it"
    return failed("not reached", text, "mend what `trial` names first")


tmpfs = _tried("tmpfs", "mount a tmpfs in a namespace of its own")
bind_mounts = _tried("bind_mounts", "bind /usr read-only in a namespace of its own")
devpts = _tried("devpts", "mount a devpts in a namespace of its own")
keyring = _tried("keyring", "join a new session keyring")


def _shown(map_: Map) -> str:
    return ", ".join(f"{line.inside}+{line.size}" for line in map_) or "unreadable"
