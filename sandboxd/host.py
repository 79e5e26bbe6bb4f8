"""What this machine and its operator allow: looked at once, frozen, handed to `plan` and GetHost.

Decides id mode, cgroup rung, ceilings, mechanisms and weaknesses from what it reads. Started as
root it also does, once, what an administrator would: give the service user its cgroups.
"""

from __future__ import annotations

import os
import pwd
import resource
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.kernel import delegation, idmap, mounts, seccomp, syscalls
from sandboxd.kernel.cgroups import Rung, Tree
from sandboxd.model.job import Network
from sandboxd.model.limits import ROWS, Limits, built_in
from sandboxd.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandboxd.kernel.idmap import Map, Range
    from sandboxd.model.policy import Policy

DEFAULT_SERVICE_ID = 59990
"""User and group id to drop to when the service user does not exist: nobody's on Debian."""
DEFAULT_RANGE_START = 1_878_982_656
DEFAULT_RANGE_COUNT = 65536
"""The range that root takes when /etc/subuid gives the service user none: the last 64 Ki of those
that systemd sets aside for user namespaces, far above every ordinary user."""

HOST_ROOT_PATHS = (
    *("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"),
    *("/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/gcc", "/etc/inputrc"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/etc/magic", "/etc/mime.types", "/etc/os-release", "/etc/perl", "/etc/protocols"),
    *("/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/timezone"),
)
"""What the root `host` shows, read-only; entries of /etc that begin with a prefix below, too."""
HOST_ETC_PREFIXES = ("java-", "python3", "maven")


class IdMode(Enum):
    """Whose ids a job runs under."""

    RANGE = "range"
    """Two host ids of its own, from a subordinate range."""
    SINGLE = "single"
    """The daemon's own id, without any capability: weaker."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """Something that this host cannot do as well as it should, why, and what mends it."""

    subject: str
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decides; every field has a safe default."""

    slot_count: int | None = None
    """Jobs at once; unset: one a processor."""
    queue_length: int = 1024
    cgroup: Rung | None = None
    """Forces a rung of the ladder; unset: the highest that is there."""
    id_mode: IdMode | None = None
    service_user: str = "sandboxd"
    """Whom to become when started as root."""
    policy_directories: tuple[str, ...] = ()
    """Where the operator's own policies lie, beside the shipped ones."""
    root_binds: tuple[str, ...] = ()
    """Further directories that the root `host` shows, read-only, where they are."""
    defaults: Limits = field(default_factory=Limits)
    ceilings: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the daemon is (or becomes), and the maps of its outer user namespace."""

    uid: int
    gid: int
    mode: IdMode
    uid_map: Map
    gid_map: Map
    started_as_root: bool

    @property
    def id_count(self) -> int:
        """How many ids the range gives to sandboxes."""
        if self.mode is IdMode.SINGLE:
            return 0
        return min(self.uid_map[1].size, self.gid_map[1].size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Everything about this host that a plan may depend on."""

    version: str
    kernel_release: str
    identity: Identity
    tree: Tree
    landlock_abi: int
    processors: tuple[int, ...]
    memory_bytes: int
    slot_count: int
    queue_length: int
    defaults: Limits
    ceilings: Limits
    mechanisms: Mapping[str, str]
    policies: Mapping[str, Policy]
    root_sources: tuple[mounts.Source, ...]
    weaknesses: tuple[Weakness, ...]
    roots: tuple[str, ...] = ("host",)
    networks: tuple[Network, ...] = (Network.NONE, Network.LOOPBACK)

    @property
    def id_mode(self) -> IdMode:
        """Whose ids jobs run under."""
        return self.identity.mode

    @property
    def cgroup_rung(self) -> str:
        """The rung of the cgroup ladder: ``v2``, ``v2-bare``, ``v1`` or ``none``."""
        return self.tree.rung.value

    @property
    def processor_count(self) -> int:
        """How many processors jobs may run on."""
        return len(self.processors)

    @property
    def features(self) -> tuple[str, ...]:
        """The names, beside those of enforced limits, that a job may put into `require`."""
        offered = {
            "range-ids": self.id_mode is IdMode.RANGE,
            "cgroups": self.tree.rung is not Rung.NONE,
            "cgroup-kill": self.tree.unified is not None,
            "landlock": self.landlock_abi > 0,
        }
        return tuple(name for name, there in offered.items() if there)


def probe_host(settings: Settings | None = None) -> Host:
    """Look at this host; as root, also prepare the service user's cgroups.

    Raises:
        HostError: jobs could not be run safely here; the text says what to do.

    """
    settings = settings or Settings()
    identity = identify(settings)
    if identity.started_as_root:
        delegation.prepare(identity.uid, identity.gid)
    tree = _find_tree(identity, settings.cgroup)
    processors = tuple(sorted(os.sched_getaffinity(0)))
    landlock_abi = syscalls.landlock_abi()
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = _own_ceilings(len(processors), memory_bytes, identity.mode)
    ceilings = _merged(own, settings.ceilings)
    directories = [str(seccomp.policies_directory()), *settings.policy_directories]
    return Host(
        version=__version__,
        kernel_release=os.uname().release,
        identity=identity,
        tree=tree,
        landlock_abi=landlock_abi,
        processors=processors,
        memory_bytes=memory_bytes,
        slot_count=settings.slot_count or len(processors),
        queue_length=settings.queue_length,
        defaults=_at_most(_merged(built_in("default"), settings.defaults), ceilings),
        ceilings=ceilings,
        mechanisms=mechanisms_for(tree),
        policies=seccomp.load_policies(directories),
        root_sources=host_root_sources(settings.root_binds),
        weaknesses=tuple(weaknesses_for(identity, tree, landlock_abi)),
    )


# --- identity -------------------------------------------------------------------------------------


def identify(settings: Settings) -> Identity:
    """Find out who serves and from which ranges sandboxes get their ids."""
    as_root = os.geteuid() == 0
    uid, gid, name = _service_user(settings.service_user) if as_root else _own_user()
    uid_range = idmap.largest(_ranges("/etc/subuid", name, uid), uid)
    gid_range = idmap.largest(_ranges("/etc/subgid", name, uid), gid)
    if as_root and not (uid_range and gid_range):
        uid_range = gid_range = idmap.Range(DEFAULT_RANGE_START, DEFAULT_RANGE_COUNT)
    mode = _choose_mode(settings.id_mode, uid_range, gid_range)
    if mode is IdMode.SINGLE:
        _refuse_groups(gid, as_root=as_root)
        uid_range = gid_range = None
    uid_map = idmap.outer_map(uid, uid_range)
    return Identity(uid, gid, mode, uid_map, idmap.outer_map(gid, gid_range), as_root)


def _service_user(name: str) -> tuple[int, int, str]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return DEFAULT_SERVICE_ID, DEFAULT_SERVICE_ID, name
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        remedy = "name an ordinary user as service_user"
        raise HostError("SERVICE_USER_IS_ROOT", f"cannot serve as {name}, who is root", remedy)
    return entry.pw_uid, entry.pw_gid, name


def _own_user() -> tuple[int, int, str]:
    uid = os.getuid()
    try:
        return uid, os.getgid(), pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, os.getgid(), str(uid)


def _ranges(path: str, name: str, uid: int) -> tuple[Range, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return idmap.parse_ranges(file.read(), (name, str(uid)))
    except FileNotFoundError:
        return ()


def _choose_mode(forced: IdMode | None, uid_range: Range | None, gid_range: Range | None) -> IdMode:
    enough = all(range_ and range_.size >= idmap.LEAST_RANGE for range_ in (uid_range, gid_range))
    if forced is IdMode.RANGE and not enough:
        raise HostError(
            "NO_SUBORDINATE_IDS",
            "cannot give jobs ids of their own: /etc/subuid and /etc/subgid have no range for "
            "this user",
            "run: usermod --add-subuids 200000-265535 --add-subgids 200000-265535 USER",
        )
    if forced is not None:
        return forced
    return IdMode.RANGE if enough else IdMode.SINGLE


def _refuse_groups(gid: int, *, as_root: bool) -> None:
    """In `single` mode setgroups(2) is not to be had, so a job would keep the daemon's groups."""
    groups = set(os.getgroups()) - {gid}
    if groups and not as_root:
        raise HostError(
            "SUPPLEMENTARY_GROUPS",
            f"cannot use single ids: jobs would keep this user's {len(groups)} supplementary "
            "groups and what they may read",
            "give the user subordinate ids (usermod --add-subuids, --add-subgids), or start "
            "without groups",
        )


# --- limits ---------------------------------------------------------------------------------------


def _find_tree(identity: Identity, forced: Rung | None) -> Tree:
    tree = delegation.find(identity.uid, forced)
    if forced is not None and tree.rung is not forced:
        raise HostError(
            "CGROUP_RUNG_UNAVAILABLE",
            f"cannot use cgroup rung {forced.value}: no delegated tree of that kind for uid "
            f"{identity.uid}",
            "leave --cgroup unset for the best that is there",
        )
    return tree


SHARED_OPEN_FILES = 1024
_HARD_LIMITS = {
    "open_file_count": resource.RLIMIT_NOFILE,
    "process_count": resource.RLIMIT_NPROC,
    "stack_bytes": resource.RLIMIT_STACK,
    "core_bytes": resource.RLIMIT_CORE,
    "memlock_bytes": resource.RLIMIT_MEMLOCK,
    "msgqueue_bytes": resource.RLIMIT_MSGQUEUE,
    "file_size_bytes": resource.RLIMIT_FSIZE,
    "address_space_bytes": resource.RLIMIT_AS,
}


def _own_ceilings(processor_count: int, memory_bytes: int, mode: IdMode) -> Limits:
    """Give the table's ceilings, lowered to what this machine has and this process may grant.

    The kernel counts descriptors in flight (SCM_RIGHTS) by user: a job that shares the daemon's id
    may have only a part of them, or the daemon could pass none any more.
    """
    ceilings = replace(
        built_in("ceiling"), cpu_count=float(processor_count), memory_bytes=memory_bytes
    )
    hard = {name: resource.getrlimit(number)[1] for name, number in _HARD_LIMITS.items()}
    granted = {
        name: min(getattr(ceilings, name), value)
        for name, value in hard.items()
        if value != resource.RLIM_INFINITY
    }
    if mode is IdMode.SINGLE:
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        granted["open_file_count"] = min(open_files // 4, SHARED_OPEN_FILES)
    return replace(ceilings, **granted)


def _merged(base: Limits, override: Limits) -> Limits:
    given = {
        name.name: getattr(override, name.name)
        for name in fields(Limits)
        if getattr(override, name.name) not in {None, False}
    }
    return replace(base, **given)


def _at_most(limits: Limits, ceilings: Limits) -> Limits:
    lowered = {
        row.name: min(value, getattr(ceilings, row.name))
        for row in ROWS
        if (value := getattr(limits, row.name)) is not None
    }
    return replace(limits, **lowered)


def mechanisms_for(tree: Tree) -> dict[str, str]:
    """Say what enforces each limit on this host; ``none`` for what nothing does."""
    memory = {"cgroup2": "cgroup2 memory.max", "cgroup1": "cgroup1 memory.limit_in_bytes"}
    cpu_clock = "the process tree"
    if tree.unified:
        cpu_clock = "cgroup2 cpu.stat"
    elif "cpuacct" in tree.paths:
        cpu_clock = "cgroup1 cpuacct.usage"
    pids = tree.limits_by("pids")
    cpu = tree.limits_by("cpu")
    quota = {
        "cgroup2": "affinity, cgroup2 cpu.max",
        "cgroup1": "affinity, cgroup1 cpu.cfs_quota_us",
    }
    return {
        "cpu_time": f"deadline on {cpu_clock}",
        "wall_time": "deadline on the monotonic clock",
        "memory_bytes": memory.get(
            tree.limits_by("memory") or "", "watchdog over the process tree"
        ),
        "process_count": f"{pids} pids.max" if pids else "rlimit NPROC",
        "output_bytes": "output pump",
        "scratch_bytes": "tmpfs size",
        "file_count": "tmpfs nr_inodes",
        "file_size_bytes": "rlimit FSIZE",
        "open_file_count": "rlimit NOFILE",
        "stack_bytes": "rlimit STACK",
        "cpu_count": quota.get(cpu or "", "affinity"),
        "core_bytes": "rlimit CORE",
        "memlock_bytes": "rlimit MEMLOCK",
        "msgqueue_bytes": "rlimit MSGQUEUE",
        "address_space_bytes": "rlimit AS",
    }


def weaknesses_for(identity: Identity, tree: Tree, landlock_abi: int) -> Iterator[Weakness]:
    """Say what is weaker here than it could be."""
    if identity.mode is IdMode.SINGLE:
        yield Weakness(
            "ids",
            "jobs run under the daemon's own user id: /etc/subuid and /etc/subgid give it no range",
            "usermod --add-subuids 200000-265535 --add-subgids 200000-265535 USER",
        )
    if not tree.limits_by("memory"):
        yield Weakness(
            "memory_bytes",
            "no memory controller is delegated: a watchdog samples the process tree instead, files "
            "in scratch space and socket buffers come on top, shared anonymous memory can hide, "
            "and memfd_create and shmget are refused",
            "systemd-run --user --scope -p Delegate=yes sandboxd serve",
        )
    if not tree.limits_by("pids"):
        yield Weakness(
            "process_count",
            "no pids controller is delegated: an rlimit counts instead",
            "systemd-run --user --scope -p Delegate=yes sandboxd serve",
        )
    if tree.rung is Rung.V1:
        yield Weakness(
            "cgroup_rung",
            "the memory controller is of cgroup v1: an OOM kill ends one process, not the job",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    if tree.rung is Rung.NONE:
        yield Weakness(
            "cpu_time",
            "no cgroup is delegated: processor time is summed over the process tree, in ticks, and "
            "children that a program does not wait for hide theirs: wall_time bounds it",
            "systemd-run --user --scope -p Delegate=yes sandboxd serve",
        )
    if not landlock_abi:
        yield Weakness("landlock", "this kernel has no Landlock", "use Linux 5.13 or later")


def host_root_sources(binds: tuple[str, ...]) -> tuple[mounts.Source, ...]:
    """Look up what the root `host` shows of this machine, parents first."""
    etc = sorted(os.listdir("/etc"))
    paths = [*HOST_ROOT_PATHS, *(f"/etc/{n}" for n in etc if n.startswith(HOST_ETC_PREFIXES))]
    for path in binds:
        if not os.path.isabs(path) or not os.path.isdir(path) or path in {"/", "/proc", "/sys"}:
            remedy = "name an existing directory of toolchains"
            raise HostError("ROOT_BIND_INVALID", f"cannot show {path} in the root", remedy)
    return mounts.sources_for([*paths, *(os.path.realpath(path) for path in binds)])
