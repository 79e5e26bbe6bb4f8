"""What this machine and its operator allow: looked at once, frozen, handed to `plan` and GetHost.

Decides the cgroup rung, ceilings, mechanisms and weaknesses from what it reads. Started as
root it also does, once, what an administrator would: give the service user its cgroups.
"""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from sandboxd import compiled
from sandboxd.doctor import capacity
from sandboxd.doctor.enforced import weaknesses
from sandboxd.doctor.facts import Facts, enforcement_facts
from sandboxd.errors import HostError
from sandboxd.identity import Identity, IdMode, identify
from sandboxd.kernel import delegation, mounts, seccomp, syscalls
from sandboxd.kernel.cgroups import Rung, Tree
from sandboxd.model.job import WRITABLE_PLACES, Network
from sandboxd.model.limits import ROWS, Limits, built_in
from sandboxd.model.policy import Action, Rule
from sandboxd.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.model.policy import Policy

HOST_ROOT_PATHS = (
    *("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"),
    *("/etc/alternatives", "/etc/ca-certificates", "/etc/fonts", "/etc/gcc", "/etc/inputrc"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/etc/magic", "/etc/mime.types", "/etc/os-release", "/etc/perl", "/etc/protocols"),
    *("/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/timezone"),
)
"""What the root `host` shows, read-only; entries of /etc that begin with a prefix below, too."""
HOST_ETC_PREFIXES = ("java-", "python3", "maven")
OWN_PLACES = ("/proc", "/sys", "/dev", *WRITABLE_PLACES)
"""What a sandbox has for itself, or not at all: what lies there of the host's stays hidden."""


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
    pool_size: int | None = None
    """Blank sandboxes that may stand ready; unset: none, but some in `sandboxd serve`."""
    compiled: bool = True
    """Whether the compiled zygote clones sandboxes, where it has been built."""
    shared_cpu_count: int = 0
    """Processors that no job may have for itself (`exclusive_cpus`)."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Host:
    """Everything about this host that a plan may depend on; equal to itself alone."""

    version: str
    kernel_release: str
    identity: Identity
    tree: Tree
    landlock_abi: int
    processors: tuple[int, ...]
    memory_bytes: int
    slot_count: int
    queue_length: int
    shared_cpu_count: int = 0
    pool_size: int = 0
    sandbox_bound: capacity.Supply = capacity.UNBOUNDED
    """What live sandboxes use up first here."""
    compiled: bool = False
    """Whether the compiled zygote clones sandboxes; the Python one does the same, only slower."""
    defaults: Limits
    ceilings: Limits
    mechanisms: Mapping[str, str]
    policies: Mapping[str, Policy]
    root_sources: tuple[mounts.Source, ...]
    weaknesses: tuple[Weakness, ...]
    facts: Facts = field(default_factory=Facts)
    """What the weaknesses follow from."""
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
    def sandbox_ceiling(self) -> int:
        """How many sandboxes may live at once, blank ones included."""
        return self.sandbox_bound.sandbox_count

    @property
    def pool_ceiling(self) -> int:
        """How many blank sandboxes may stand ready beside the jobs of all slots."""
        return max(0, self.sandbox_ceiling - self.slot_count)

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


def probe_host(settings: Settings | None = None, only_policy: str = "") -> Host:
    """Look at this host; as root, also prepare the service user's cgroups.

    `only_policy` names the one that will be asked for; unset, all are read.

    Raises:
        HostError: jobs could not be run safely here; the text says what to do.

    """
    settings = settings or Settings()
    identity = identify(settings.service_user, settings.id_mode)
    if identity.started_as_root:
        delegation.prepare(identity.uid, identity.gid)
    tree = _find_tree(identity, settings.cgroup)
    processors = tuple(sorted(os.sched_getaffinity(0)))
    landlock_abi = syscalls.landlock_abi()
    forced = settings.cgroup, settings.id_mode
    facts = enforcement_facts(identity, tree, landlock_abi, *forced)
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    own = _own_ceilings(len(processors), memory_bytes, identity.mode)
    ceilings = _merged(own, settings.ceilings)
    supplies = capacity.supplies(
        capacity.read_texts(tree),
        capacity.own_limits(),
        identity,
        tree,
        settings.slot_count or len(processors),
    )
    bound = capacity.scarcest(supplies)
    _refuse_more_than(bound, settings)
    slot_count = settings.slot_count or min(len(processors), bound.sandbox_count)
    directories = [str(seccomp.policies_directory()), *settings.policy_directories]
    return Host(
        version=__version__,
        kernel_release=os.uname().release,
        identity=identity,
        tree=tree,
        landlock_abi=landlock_abi,
        processors=processors,
        memory_bytes=memory_bytes,
        slot_count=slot_count,
        queue_length=settings.queue_length,
        shared_cpu_count=settings.shared_cpu_count,
        pool_size=min(settings.pool_size or 0, max(0, bound.sandbox_count - slot_count)),
        sandbox_bound=bound,
        compiled=settings.compiled and compiled.zygote_path().exists(),
        defaults=_at_most(_merged(built_in("default"), settings.defaults), ceilings),
        ceilings=ceilings,
        mechanisms=mechanisms_for(tree),
        policies={
            name: policy_on(tree, policy)
            for name, policy in seccomp.load_policies(directories, only_policy).items()
        },
        root_sources=host_root_sources(settings.root_binds),
        weaknesses=_weaknesses(facts),
        facts=replace(facts, supplies=supplies),
    )


def _refuse_more_than(bound: capacity.Supply, settings: Settings) -> None:
    """Refuse settings that ask for more live sandboxes than fit."""
    for name in ("slot_count", "pool_size"):
        wanted = getattr(settings, name) or 0
        if wanted > bound.sandbox_count:
            raise HostError(
                "SANDBOXES_EXHAUSTED",
                f"cannot have {wanted} sandboxes at once, as {name} asks: {bound.evidence} is "
                f"enough for {bound.sandbox_count}",
                f"{bound.mending}, or ask for fewer",
            )


# --- limits ---------------------------------------------------------------------------------------


def _find_tree(identity: Identity, forced: Rung | None) -> Tree:
    try:
        tree = delegation.find(identity.uid, forced)
    except OSError as error:
        text = f"cannot read {error.filename}: {error.strerror}"
        raise HostError("PROC_UNREADABLE", text, "mount -t proc proc /proc") from error
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
    quota = {"cgroup2": ", cgroup2 cpu.max", "cgroup1": ", cgroup1 cpu.cfs_quota_us"}
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
        "cpu_count": placement_on(tree) + quota.get(cpu or "", ""),
        "core_bytes": "rlimit CORE",
        "memlock_bytes": "rlimit MEMLOCK",
        "msgqueue_bytes": "rlimit MSGQUEUE",
        "address_space_bytes": "rlimit AS",
    }


def placement_on(tree: Tree) -> str:
    """Say what keeps a job on its processors; a fraction of one needs a quota besides."""
    return "affinity, cgroup2 cpuset.cpus" if "cpuset" in tree.controllers else "affinity"


def policy_on(tree: Tree, policy: Policy) -> Policy:
    """Give a policy as this host needs it.

    Where a watchdog samples the process tree in place of a memory controller, memory that no
    process maps would be seen by nobody: so it is refused.
    """
    if tree.limits_by("memory"):
        return policy
    rule = Rule(
        syscalls=("memfd_create", "memfd_secret", "shmget", "semget", "msgget"),
        action=Action.ERRNO,
        errno=errno.ENOSYS,
        because="No memory controller is here, and the watchdog counts mapped memory only.",
    )
    return replace(policy, rules=(rule, *policy.rules))


def weaknesses_for(identity: Identity, tree: Tree, landlock_abi: int) -> tuple[Weakness, ...]:
    """Say what is weaker than it could be on a host of which no more is known."""
    return _weaknesses(Facts(identity=identity, tree=tree, landlock_abi=landlock_abi))


def _weaknesses(facts: Facts) -> tuple[Weakness, ...]:
    return tuple(
        Weakness(finding.name, finding.cause, finding.remedy) for finding in weaknesses(facts)
    )


def host_root_sources(binds: tuple[str, ...]) -> tuple[mounts.Source, ...]:
    """Look up what the root `host` shows of this machine, parents first."""
    etc = sorted(os.listdir("/etc"))
    paths = [*HOST_ROOT_PATHS, *(f"/etc/{n}" for n in etc if n.startswith(HOST_ETC_PREFIXES))]
    return mounts.sources_for([*paths, *map(_bound_place, binds)])


def _bound_place(path: str) -> str:
    """Give the place of a directory that the operator wants shown; links are followed."""
    place = os.path.realpath(path)
    cause, remedy = "", "name an existing directory of toolchains"
    if not os.path.isabs(path) or not os.path.isdir(path):
        cause = "it is no directory by an absolute path"
    elif place == "/":
        cause = "it is all of the host"
    elif own := next((own for own in OWN_PLACES if f"{place}/".startswith(f"{own}/")), None):
        cause = f"{own} is never the host's in a sandbox, and {place} would be hidden"
        remedy = "put it elsewhere: below /opt, /srv or /var, for example"
    if cause:
        raise HostError("ROOT_BIND_INVALID", f"cannot show {path} in the root: {cause}", remedy)
    return place
