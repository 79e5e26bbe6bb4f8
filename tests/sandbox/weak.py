"""Make one condition of a weak host around this process, then execute a command in it.

``python weak.py CONDITION COMMAND...``: whatever it changes lies in namespaces of its own, where
this user keeps their own id, and is gone with the command.
"""

from __future__ import annotations

import errno
import os
import sys

import pyseccomp

from sandboxd.kernel import idmap, syscalls

PRIVATE = syscalls.MS_REC | syscalls.MS_PRIVATE
TREE = syscalls.MS_BIND | syscalls.MS_REC
NEW_NAMESPACES = (0x10000000, 0x00020000, 0x20000000, 0x40000000)
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET."""


def enter_own_namespaces() -> None:
    """Be able to mount, for as long as this program lasts: exec takes the capabilities away."""
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1")):
        syscalls.write_file(f"/proc/self/{name}", text)
    syscalls.write_file("/proc/self/gid_map", f"{gid} {gid} 1")
    syscalls.mount("", "/", "", PRIVATE)


def no_subordinate_ids() -> None:
    """Hide what /etc/subuid and /etc/subgid say."""
    enter_own_namespaces()
    for path in ("/etc/subuid", "/etc/subgid"):
        syscalls.mount("/dev/null", path, "", syscalls.MS_BIND)


def no_cgroups() -> None:
    """Cover every cgroup file system."""
    enter_own_namespaces()
    syscalls.mount("empty", "/sys/fs/cgroup", "tmpfs", 0)


def no_user_namespaces() -> None:
    """Set the sysctl that some hardened distributions set."""
    enter_own_namespaces()
    syscalls.write_file("/proc/sys/user/max_user_namespaces", "0")


def no_network_namespaces() -> None:
    """Allow every namespace but one kind."""
    enter_own_namespaces()
    syscalls.write_file("/proc/sys/user/max_net_namespaces", "0")


def no_proc() -> None:
    """Cover /proc as a whole."""
    enter_own_namespaces()
    syscalls.mount("empty", "/proc", "tmpfs", 0)


def root_of_one_id() -> None:
    """Be root where nobody else is, as `unshare --map-root-user` does."""
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    idmap.write_own_map(os.getpid(), uid, gid)


def no_new_privs() -> None:
    """Do as systemd's NoNewPrivileges= and Kubernetes' allowPrivilegeEscalation: false do."""
    syscalls.set_no_new_privileges(1)


def masked_proc() -> None:
    """Cover a file of /proc, as container runtimes do."""
    enter_own_namespaces()
    syscalls.mount("/dev/null", "/proc/timer_list", "", syscalls.MS_BIND)


def runtime_filter() -> None:
    """Forbid new namespaces as a container runtime's default profile does."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EPERM)
    for flag in NEW_NAMESPACES:
        for call in ("clone", "unshare"):
            rules.add_rule(refused, call, pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


def hidden_clone3() -> None:
    """Hide clone3 alone, as a profile that was loosened for unshare still does."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


def chroot() -> None:
    """Enter a chroot that shows the whole host."""
    enter_own_namespaces()
    syscalls.mount("new-root", "/mnt", "tmpfs", 0)
    place = "/mnt/root"
    os.makedirs(f"{place}/mnt")
    for entry in os.scandir("/"):
        inside = f"{place}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), inside)
        elif entry.is_dir() and entry.name != "mnt":
            os.mkdir(inside)
            syscalls.mount(entry.path, inside, "", TREE)
    os.chroot(place)
    os.chdir("/")


def chroot_on_mount() -> None:
    """Enter a chroot that is a mount point, which no file of /proc tells from a root."""
    enter_own_namespaces()
    syscalls.mount("/", "/mnt", "", TREE)
    os.chroot("/mnt")
    os.chdir("/")


CONDITIONS = {
    condition.__name__: condition
    for condition in (
        no_subordinate_ids,
        no_cgroups,
        no_user_namespaces,
        no_network_namespaces,
        no_proc,
        root_of_one_id,
        no_new_privs,
        masked_proc,
        runtime_filter,
        hidden_clone3,
        chroot,
        chroot_on_mount,
    )
}

if __name__ == "__main__":
    CONDITIONS[sys.argv[1]]()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the caller's
