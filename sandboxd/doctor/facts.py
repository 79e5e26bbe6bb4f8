"""What can be read of this host, as one value.

Reads files of /proc, /sys and /etc. Changes nothing and never raises: what is not there to be read
is None or empty. `enforcement_facts` is what `probe_host` pays for at each start; `gather` is all.
"""

from __future__ import annotations

import os
import pwd
import resource
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.compiled import zygote_path
from sandboxd.identity import parse_map
from sandboxd.kernel.idmap import Range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.doctor.capacity import Supply
    from sandboxd.identity import Identity, IdMode
    from sandboxd.kernel.cgroups import Rung, Tree
    from sandboxd.kernel.idmap import Map

SYSCTLS = (
    *(f"user.max_{kind}_namespaces" for kind in ("user", "mnt", "pid", "net", "ipc", "uts")),
    *("user.max_cgroup_namespaces", "kernel.unprivileged_userns_clone"),
    *("kernel.apparmor_restrict_unprivileged_userns", "kernel.pid_max", "kernel.threads-max"),
    *("kernel.keys.maxkeys", "kernel.core_pattern", "kernel.seccomp.actions_avail"),
)
MAP_PROGRAMS = ("newuidmap", "newgidmap")
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_LIBRARY_PLACES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/*")


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    place: str
    root: str
    """What of the file system is shown there: ``/`` is all of it."""
    kind: str
    options: frozenset[str]


class Subordinate(NamedTuple):
    """One line of /etc/subuid or /etc/subgid."""

    file: str
    owner: str
    range: Range


class MapProgram(NamedTuple):
    """newuidmap or newgidmap, as the daemon would find it."""

    path: str
    is_privileged: bool
    """Whether its file makes it root: set-user-id root, or file capabilities."""
    on_nosuid: bool
    """Whether the file system that it lies on forbids just that."""


class Failure(NamedTuple):
    """The step that failed first: one of `steps`, or a stage of docs/stages.md."""

    step: str
    errno: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was read; None or empty where there was nothing to read, or nobody looked."""

    identity: Identity | None = None
    tree: Tree | None = None
    landlock_abi: int = 0
    forced_rung: Rung | None = None
    forced_ids: IdMode | None = None
    slot_count: int = 1
    user: str = "USER"
    """The name of the user who serves."""
    mounts: tuple[Mount, ...] = ()
    own_cgroup: str | None = None
    """This process's path in the v2 hierarchy."""
    own_cgroup_uid: int | None = None
    v2_controllers: frozenset[str] = frozenset()
    """Those that the v2 hierarchy has at the highest place in sight."""
    subordinate: tuple[Subordinate, ...] = ()
    uid_map: Map = ()

    kernel_release: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, str] = field(default_factory=dict)
    """/proc/self/status."""
    apparmor_profile: str | None = None
    euid: int = 0
    gid: int = 0
    filter_refusal: int = 0
    """The errno with which a seccomp filter answers unshare(2); 0 where none does."""
    root_is_hosts: bool | None = None
    """Whether our / is that of PID 1; None where nobody may look."""
    map_programs: Mapping[str, MapProgram] = field(default_factory=dict)
    open_files: int = resource.RLIM_INFINITY
    processes: int = resource.RLIM_INFINITY
    """Hard limits; RLIM_INFINITY is none."""
    supplies: tuple[Supply, ...] = ()
    """What bounds live sandboxes."""
    libseccomp: str | None = None
    swaps: tuple[str, ...] = ()
    smt: str | None = None
    governors: frozenset[str] = frozenset()
    huge_pages: str | None = None
    compiled: bool = True
    """Whether the compiled zygote has been built, where it may be executed."""

    tried: Mapping[str, int] = field(default_factory=dict)
    """The steps of `steps.py` that were tried in a child: 0, or the errno of the last one."""
    failure: Failure | None = None
    """Where the trial sandbox failed; None when it did not, or was not tried."""
    ran: bool = False
    """Whether a job ran to its end in a trial sandbox."""

    @property
    def mount_places(self) -> frozenset[str]:
        """Where anything is mounted."""
        return frozenset(mount.place for mount in self.mounts)


def enforcement_facts(
    identity: Identity | None,
    tree: Tree | None,
    landlock_abi: int,
    forced_rung: Rung | None = None,
    forced_ids: IdMode | None = None,
) -> Facts:
    """Read what decides how much is enforced here: a handful of small files."""
    mounts = parse_mounts(_read("/proc/self/mountinfo") or "")
    unified = next((m.place for m in mounts if m.kind == "cgroup2"), None)
    own = _own_v2_path(_read("/proc/self/cgroup") or "")
    return Facts(
        identity=identity,
        tree=tree,
        landlock_abi=landlock_abi,
        forced_rung=forced_rung,
        forced_ids=forced_ids,
        user="USER" if identity is None else _user_name(identity.uid),
        mounts=mounts,
        own_cgroup=own,
        own_cgroup_uid=None if unified is None or own is None else _owner(unified + own),
        v2_controllers=frozenset((_read(f"{unified}/cgroup.controllers") or "").split()),
        subordinate=tuple(
            line
            for name in ("subuid", "subgid")
            for line in parse_subordinate(name, _read(f"/etc/{name}") or "")
        ),
        uid_map=parse_map(_read("/proc/self/uid_map") or ""),
    )


def gather(base: Facts, slot_count: int = 1) -> Facts:
    """Add to `base` everything else that the checks look at."""
    return replace(
        base,
        slot_count=slot_count,
        kernel_release=os.uname().release,
        sysctls={name: text for name in SYSCTLS if (text := _read(_sysctl_path(name))) is not None},
        status=parse_status(_read("/proc/self/status") or ""),
        apparmor_profile=_read("/proc/self/attr/apparmor/current")
        or _read("/proc/self/attr/current"),
        euid=os.geteuid(),
        gid=os.getgid(),
        root_is_hosts=_root_is_hosts(),
        map_programs={
            name: found for name in MAP_PROGRAMS if (found := _map_program(name)) is not None
        },
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        processes=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        libseccomp=_libseccomp(),
        swaps=tuple(
            line.split()[0] for line in (_read("/proc/swaps") or "").splitlines()[1:] if line
        ),
        smt=_read("/sys/devices/system/cpu/smt/control"),
        governors=frozenset(
            text
            for number in os.sched_getaffinity(0)
            if (text := _read(f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor"))
        ),
        huge_pages=_chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
        compiled=os.access(zygote_path(), os.X_OK),
    )


def parse_mounts(mountinfo: str) -> tuple[Mount, ...]:
    """Read /proc/self/mountinfo; lines that do not parse are passed over."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if len(fields) > 5 and kind:
            found.append(Mount(fields[4], fields[3], kind, frozenset(fields[5].split(","))))
    return tuple(found)


def parse_subordinate(file: str, text: str) -> tuple[Subordinate, ...]:
    """Read /etc/subuid or /etc/subgid, everybody's lines."""
    found = []
    for line in text.splitlines():
        owner, _, numbers = line.strip().partition(":")
        start, _, size = numbers.partition(":")
        if start.isdecimal() and size.isdecimal() and int(size):
            found.append(Subordinate(file, owner, Range(int(start), int(size))))
    return tuple(found)


def parse_status(text: str) -> dict[str, str]:
    """Read /proc/self/status."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in lines}


def _own_v2_path(text: str) -> str | None:
    paths = (line.removeprefix("0::") for line in text.splitlines() if line.startswith("0::"))
    return next(paths, None)


def _sysctl_path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip("\n\0 ")
    except OSError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _root_is_hosts() -> bool | None:
    try:
        ours, hosts = os.stat("/"), os.stat("/proc/1/root/")
    except OSError:
        return None
    return (ours.st_dev, ours.st_ino) == (hosts.st_dev, hosts.st_ino)


def _map_program(name: str) -> MapProgram | None:
    """Look where the launcher would, which has a path of its own."""
    path = next((path for place in PATH if os.access(path := f"{place}/{name}", os.X_OK)), None)
    if path is None:
        return None
    try:
        status = os.stat(path)
        is_setuid = status.st_uid == 0 and bool(status.st_mode & 0o4000)
        on_nosuid = bool(os.statvfs(path).f_flag & os.ST_NOSUID)
    except OSError:
        return None
    return MapProgram(path, is_setuid or _has_file_capabilities(path), on_nosuid)


def _has_file_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _libseccomp() -> str | None:
    """Give the version in the library's own file name: what the loader would find."""
    from glob import glob  # noqa: PLC0415 - not at each start

    for place in _LIBRARY_PLACES:
        for path in glob(f"{place}/libseccomp.so.2"):
            return os.path.basename(os.path.realpath(path)).removeprefix("libseccomp.so.")
    return None


def _chosen(text: str | None) -> str | None:
    """Give the word in brackets: ``always [madvise] never``."""
    return None if text is None else text.partition("[")[2].partition("]")[0] or None
