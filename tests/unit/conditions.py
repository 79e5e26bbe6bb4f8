"""Made-up hosts: a stock one, and what can be wrong with it, each with the words that tell it."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest

from sandboxd.doctor.capacity import Supply
from sandboxd.doctor.facts import Facts, Failure, MapProgram, Mount, Subordinate
from sandboxd.identity import Identity, IdMode
from sandboxd.kernel import idmap
from sandboxd.kernel.cgroups import UNIFIED, Rung, Tree
from sandboxd.kernel.idmap import Line, Range

ALL = (Line(0, 0, (1 << 32) - 1),)
INNER = (Line(1000, 1000, 1),)


def identity(mode: IdMode = IdMode.RANGE, *, as_root: bool = False) -> Identity:
    range_ = Range(100000, 65536) if mode is IdMode.RANGE else None
    map_ = idmap.outer_map(1000, range_)
    return Identity(1000, 1000, mode, map_, map_, started_as_root=as_root)


SINGLE = identity(IdMode.SINGLE)
V2 = Tree(Rung.V2, {UNIFIED: "/c"}, frozenset({"cpu", "memory", "pids"}))
V2_PIDLESS = Tree(Rung.V2, {UNIFIED: "/c"}, frozenset({"cpu", "memory"}))
V2_CPULESS = Tree(Rung.V2, {UNIFIED: "/c"}, frozenset({"memory", "pids"}))
V1 = Tree(Rung.V1, {"memory": "/m", "pids": "/p"})
BARE = Tree(Rung.V2_BARE, {UNIFIED: "/c"})
NONE = Tree(Rung.NONE, {})


def mount(place: str, kind: str, *options: str, root: str = "/") -> Mount:
    return Mount(place, root, kind, frozenset(options or ("rw",)))


ROOT = mount("/", "ext4")
PROC = mount("/proc", "proc")
CGROUP2 = mount("/sys/fs/cgroup", "cgroup2")
MOUNTS = (ROOT, PROC, CGROUP2)
HYBRID = (
    ROOT,
    PROC,
    mount("/sys/fs/cgroup/memory", "cgroup"),
    mount("/sys/fs/cgroup/u", "cgroup2"),
)
NEWUIDMAP = MapProgram("/usr/bin/newuidmap", is_privileged=True, on_nosuid=False)
SYSCTLS = {
    **{f"user.max_{kind}_namespaces": "63000" for kind in ("user", "mnt", "pid", "net", "ipc")},
    "kernel.pid_max": "4194304",
    "kernel.threads-max": "126000",
    "kernel.keys.maxkeys": "200",
    "kernel.core_pattern": "core",
    "kernel.seccomp.actions_avail": "kill_process kill_thread trap errno trace log allow",
}
STOCK = Facts(
    identity=identity(),
    tree=V2,
    landlock_abi=2,
    slot_count=4,
    user="ann",
    mounts=MOUNTS,
    own_cgroup="/user.slice/job.scope",
    own_cgroup_uid=1000,
    v2_controllers=frozenset({"cpu", "memory", "pids"}),
    subordinate=tuple(Subordinate(f, "ann", Range(100000, 65536)) for f in ("subuid", "subgid")),
    kernel_release="6.1.0-28-amd64",
    sysctls=SYSCTLS,
    status={"NoNewPrivs": "0", "Seccomp": "0"},
    apparmor_profile="unconfined",
    euid=1000,
    gid=1000,
    uid_map=ALL,
    map_programs={"newuidmap": NEWUIDMAP, "newgidmap": NEWUIDMAP},
    open_files=524288,
    processes=63000,
    libseccomp="2.5.4",
    smt="notsupported",
    huge_pages="madvise",
)
"""An ordinary user of a stock Debian 12, in a delegated scope."""


def host(**changes: Any) -> Facts:
    sysctls = {name.replace("__", "."): value for name, value in changes.pop("sysctl", {}).items()}
    return replace(STOCK, **changes, sysctls={**SYSCTLS, **sysctls})


def condition(facts: Facts, name: str, failure: Failure | None, cause: str, remedy: str) -> Any:
    return pytest.param(facts, name, failure, cause, remedy, id=f"{name}: {remedy}")


REFUSED = Failure("user_namespace", errno.EPERM, "unshare")
FATAL = [
    condition(
        host(kernel_release="5.10.0-30-amd64"),
        "kernel",
        Failure("bind_mounts", errno.ENOSYS, "mount_setattr /proc/usr"),
        "older than 5.12",
        "boot Linux 5.12",
    ),
    condition(
        host(sysctl={"user__max_user_namespaces": "0"}),
        "user_namespaces",
        Failure("user_namespace", errno.ENOSPC, "unshare"),
        "limited to 0",
        "sudo sysctl -w user.max_user_namespaces=65536",
    ),
    condition(
        host(sysctl={"user__max_user_namespaces": "0"}, uid_map=INNER),
        "user_namespaces",
        Failure("user_namespace", errno.ENOSPC, "unshare"),
        "limited to 0",
        "where the user namespace around this one is made",
    ),
    condition(
        host(failure=Failure("user_namespace", errno.ENOSPC)),
        "user_namespaces",
        Failure("user_namespace", errno.ENOSPC),
        "32 levels",
        "nest less deeply",
    ),
    condition(
        host(failure=Failure("user_namespace", errno.EINVAL)),
        "user_namespaces",
        Failure("user_namespace", errno.EINVAL),
        "built without user namespaces",
        "CONFIG_USER_NS=y",
    ),
    condition(
        host(sysctl={"kernel__unprivileged_userns_clone": "0"}),
        "unprivileged_userns",
        REFUSED,
        "only root",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    condition(
        host(sysctl={"kernel__apparmor_restrict_unprivileged_userns": "1"}),
        "apparmor",
        Failure("id_maps", errno.EACCES, "/proc/7/uid_map"),
        "AppArmor takes every capability",
        "sudo sandboxd setup",
    ),
    condition(
        host(apparmor_profile="docker-default (enforce)", failure=Failure("id_maps", errno.EACCES)),
        "apparmor",
        Failure("id_maps", errno.EACCES),
        "docker-default (enforce) forbids",
        "--security-opt apparmor=unconfined",
    ),
    condition(
        host(euid=65534, uid_map=INNER),
        "mapped_user",
        REFUSED,
        "no meaning in its user namespace",
        "unshare --map-user",
    ),
    condition(
        host(status={}, mounts=()),
        "proc_mounted",
        Failure("id_maps", errno.ENOENT, "/proc/7/setgroups"),
        "no /proc is in sight",
        "mount -t proc proc /proc",
    ),
    condition(
        host(euid=0, uid_map=(Line(0, 1000, 1),), identity=identity(as_root=True)),
        "mapped_user",
        Failure("service_user", errno.EINVAL),
        "root here is to become uid 1000",
        "--service-user",
    ),
    condition(
        host(mounts=(PROC, mount("/usr", "ext4"))),
        "chroot",
        REFUSED,
        "in a chroot",
        "systemd-nspawn",
    ),
    condition(
        host(root_is_hosts=False, failure=REFUSED), "chroot", REFUSED, "in a chroot", "pivot_root"
    ),
    condition(
        host(filter_refusal=errno.EPERM, status={"Seccomp": "2"}),
        "own_seccomp",
        REFUSED,
        "seccomp filter around this process",
        "--security-opt seccomp=deploy/docker/seccomp.json",
    ),
    condition(
        host(sysctl={"user__max_net_namespaces": "0"}),
        "namespaces",
        Failure("network_namespace", errno.ENOSPC, "unshare"),
        "no net namespace",
        "sudo sysctl -w user.max_net_namespaces=65536",
    ),
    condition(
        host(failure=Failure("pid_namespace", errno.EPERM)),
        "namespaces",
        Failure("pid_namespace", errno.EPERM),
        "no pid namespace",
        "AppArmor and seccomp",
    ),
    condition(
        host(failure=Failure("clone3", errno.ENOSYS)),
        "clone3",
        Failure("clone3", errno.ENOSYS),
        "clone3 is hidden",
        "seccomp.json",
    ),
    condition(
        host(failure=Failure("clone3", errno.EAGAIN)),
        "clone3",
        Failure("clone3", errno.EAGAIN),
        "a limit on processes",
        "ulimit -u",
    ),
    condition(
        host(map_programs={}),
        "map_programs",
        Failure("newuidmap", errno.ENOENT, "newuidmap, newgidmap"),
        "newuidmap is not installed",
        "sudo apt install uidmap",
    ),
    condition(
        host(map_programs={"newuidmap": NEWUIDMAP._replace(is_privileged=False)}),
        "map_programs",
        Failure("newuidmap", errno.EPERM),
        "neither set-user-id root",
        "sudo chmod u+s /usr/bin/newuidmap",
    ),
    condition(
        host(map_programs={"newuidmap": NEWUIDMAP._replace(on_nosuid=True)}),
        "map_programs",
        Failure("newuidmap", errno.EPERM),
        "mounted nosuid",
        "--ids single",
    ),
    condition(
        host(uid_map=(Line(0, 500000, 65536),)),
        "map_programs",
        Failure("newuidmap", errno.EPERM),
        "not mapped in the user namespace around",
        "below 65536",
    ),
    condition(
        host(uid_map=(Line(0, 0, 165535), Line(165535, 900000, 10))),
        "map_programs",
        Failure("newuidmap", errno.EPERM),
        "not mapped in the user namespace around",
        "below 65536",
    ),
    condition(
        host(failure=Failure("newuidmap", errno.EPERM)),
        "map_programs",
        Failure("newuidmap", errno.EPERM),
        "did not write the maps",
        "compare /etc/subuid and /etc/subgid",
    ),
    condition(
        host(status={"NoNewPrivs": "1", "Seccomp": "0"}),
        "no_new_privs",
        Failure("newuidmap", errno.EPERM),
        "no_new_privs is set on the daemon",
        "NoNewPrivileges=",
    ),
    condition(
        host(mounts=(*MOUNTS, mount("/proc/kcore", "devtmpfs", root="/null"))),
        "proc",
        Failure("proc", errno.EPERM, "mount proc on /proc/proc"),
        "parts of /proc are masked",
        "umount /proc/kcore",
    ),
    condition(
        host(mounts=(ROOT, mount("/proc", "proc", "ro"), CGROUP2)),
        "proc",
        Failure("proc", errno.EPERM),
        "parts of /proc are masked",
        "systempaths=unconfined",
    ),
    condition(
        host(mounts=(ROOT, CGROUP2)),
        "proc_mounted",
        Failure("proc", errno.EPERM),
        "no /proc is in sight",
        "mount -t proc proc /proc",
    ),
    condition(
        host(failure=Failure("proc", errno.EACCES)),
        "proc",
        Failure("proc", errno.EACCES),
        "may not mount a /proc",
        "dmesg",
    ),
    condition(
        host(failure=Failure("tmpfs", errno.EACCES)),
        "tmpfs",
        Failure("tmpfs", errno.EACCES),
        "mount a tmpfs",
        "audit log",
    ),
    condition(
        host(sysctl={"kernel__seccomp__actions_avail": "errno allow"}),
        "seccomp",
        Failure("seccomp", errno.EINVAL),
        "cannot answer kill_process",
        "CONFIG_SECCOMP_FILTER=y",
    ),
    condition(
        host(libseccomp=None, failure=Failure("import", 0)),
        "libseccomp",
        Failure("import", 0, "No module named 'pyseccomp'"),
        "libseccomp is not installed",
        "sudo apt install libseccomp2",
    ),
]
"""No job runs under these: the facts, the check that fails, the step that does, the words."""


WEAK = [
    condition(
        host(identity=SINGLE, subordinate=()),
        "ids",
        None,
        "give it no range",
        "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann",
    ),
    condition(
        host(identity=SINGLE, subordinate=(Subordinate("subuid", "bob", Range(100000, 65536)),)),
        "ids",
        None,
        "give it no range",
        "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 ann",
    ),
    condition(
        host(identity=SINGLE, subordinate=(), uid_map=(Line(0, 1, 1), Line(1000, 2, 1))),
        "ids",
        None,
        "nesting ends here",
        "outside of this sandbox",
    ),
    condition(
        host(identity=SINGLE, forced_ids=IdMode.SINGLE), "ids", None, "asks", "without --ids single"
    ),
    condition(
        host(subordinate=(Subordinate("subuid", "bob", Range(165535, 10)),)),
        "id_ranges",
        None,
        "overlaps that of bob",
        "such as 165545:65536, in /etc/subuid",
    ),
    condition(
        host(tree=V1, mounts=HYBRID), "cgroup_rung", None, "cgroup v1", "unified_cgroup_hierarchy"
    ),
    condition(host(tree=BARE), "cgroup_rung", None, "only counts and kills", "Delegate=yes"),
    condition(host(tree=NONE), "cgroup_rung", None, "as a whole", "Delegate=yes"),
    condition(
        host(tree=NONE, own_cgroup="/user.slice", own_cgroup_uid=0),
        "memory_bytes",
        None,
        "cgroup /user.slice belongs to uid 0: a watchdog",
        "systemd-run --user --scope -p Delegate=yes",
    ),
    condition(
        host(tree=NONE, mounts=HYBRID, v2_controllers=frozenset()),
        "memory_bytes",
        None,
        "on cgroup v1",
        "sudo sandboxd setup",
    ),
    condition(
        host(tree=NONE, mounts=(ROOT, PROC, mount("/sys/fs/cgroup", "cgroup2", "ro"))),
        "process_count",
        None,
        "mounted read-only",
        "writable-cgroups=true",
    ),
    condition(
        host(tree=NONE, mounts=(*MOUNTS, mount("/sys/fs/cgroup", "tmpfs"))),
        "cpu_time",
        None,
        "no cgroup file system is in sight",
        "mount -t cgroup2",
    ),
    condition(
        host(tree=BARE, v2_controllers=frozenset({"cpu"})),
        "memory_bytes",
        None,
        "cgroup2 does not have it here",
        "cgroup.subtree_control",
    ),
    condition(
        host(tree=V2_PIDLESS), "process_count", None, "passes fewer on", "Delegate=cpu cpuset io"
    ),
    condition(
        host(tree=V2_CPULESS), "cpu_count", None, "passes fewer on", "Delegate=cpu cpuset io"
    ),
    condition(
        host(tree=BARE, v2_controllers=frozenset({"memory"})),
        "cpu_count",
        None,
        "whole processors where they ask for a fraction",
        "cgroup.subtree_control",
    ),
    condition(
        host(tree=NONE, forced_rung=Rung.NONE),
        "memory_bytes",
        None,
        "asks",
        "without --cgroup none",
    ),
    condition(host(landlock_abi=0), "landlock", None, "no Landlock", "Linux 5.13"),
    condition(
        host(open_files=100), "open_files", None, "need 128 descriptors", "LimitNOFILE=524288"
    ),
    condition(host(processes=100), "processes", None, "256 processes", "LimitNPROC=infinity"),
    condition(
        host(sysctl={"kernel__pid_max": "1000"}), "pid_max", None, "1280", "kernel.pid_max=32768"
    ),
    condition(
        host(sysctl={"kernel__threads-max": "1000"}),
        "threads_max",
        None,
        "1280",
        "kernel.threads-max=32768",
    ),
    condition(
        host(sysctl={"user__max_ipc_namespaces": "5"}),
        "namespaces",
        None,
        "more ipc namespaces",
        "user.max_ipc_namespaces=65536",
    ),
    condition(
        host(slot_count=4, supplies=(Supply("kernel.keys.maxkeys", 16, 4),)),
        "sandboxes",
        None,
        "4 jobs at once leave no room",
        "sudo sysctl -w kernel.keys.maxkeys=32",
    ),
    condition(host(tree=V1, swaps=("/dev/vdb",)), "swap", None, "swapped out", "sudo swapoff -a"),
    condition(host(smt="on"), "smt", None, "two threads of one core", "echo off"),
    condition(
        host(governors=frozenset({"powersave", "performance"})),
        "governor",
        None,
        "clock follows the load",
        "cpupower frequency-set",
    ),
    condition(host(huge_pages="always"), "huge_pages", None, "2 MiB", "echo madvise"),
    condition(host(compiled=False), "compiled", None, "some milliseconds more", "libc6-dev"),
    condition(
        host(sysctl={"kernel__core_pattern": "|/usr/share/apport/apport %p"}),
        "core_pattern",
        None,
        "each crash of a job",
        "kernel.core_pattern=core",
    ),
]
"""Jobs run under these, and something is weaker or measured less well."""
