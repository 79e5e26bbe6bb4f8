"""The ground: thin wrappers over system calls that Python does not offer.

Does one call each and raises `OSError` with the errno and what was attempted; decides nothing.
The only importer of ctypes and prctl. Everything is resolved at import, so that a process cloned
later touches no loader and few pages.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING

import prctl

if TYPE_CHECKING:
    from collections.abc import Callable

# PyDLL, not CDLL: it keeps the interpreter's lock across the call, which clone3 needs (the child
# must not wait for a lock that nobody will release) and which saves two lock operations elsewhere.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

_NUMBERS = {
    "x86_64": {
        "pivot_root": 155,
        "capget": 125,
        "capset": 126,
        "keyctl": 250,
        "seccomp": 317,
        "rt_sigaction": 13,
    },
    "aarch64": {
        "pivot_root": 41,
        "capget": 90,
        "capset": 91,
        "keyctl": 219,
        "seccomp": 277,
        "rt_sigaction": 134,
    },
}.get(os.uname().machine, {})
_NR_PIVOT_ROOT = _NUMBERS.get("pivot_root", -1)
_NR_CAPGET = _NUMBERS.get("capget", -1)
_NR_CAPSET = _NUMBERS.get("capset", -1)
_NR_KEYCTL = _NUMBERS.get("keyctl", -1)
_NR_SECCOMP = _NUMBERS.get("seccomp", -1)
_NR_RT_SIGACTION = _NUMBERS.get("rt_sigaction", -1)
# From 424 on the numbers are the same on every architecture.
_NR_CLONE3 = 435
_NR_CLOSE_RANGE = 436
_NR_OPENAT2 = 437
_NR_MOUNT_SETATTR = 442
_NR_LANDLOCK_CREATE_RULESET = 444
_NR_LANDLOCK_ADD_RULE = 445
_NR_LANDLOCK_RESTRICT_SELF = 446

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x00001000
CLONE_VFORK = 0x00004000
CLONE_INTO_CGROUP = 0x200000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 4096, 8192, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

AT_FDCWD = -100
AT_RECURSIVE = 0x8000

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08

CLOSE_RANGE_CLOEXEC = 4
SFD_CLOEXEC = 0o2000000
SIG_BLOCK, SIG_SETMASK = 0, 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL_SETPERM = 5
KEY_SPEC_SESSION_KEYRING = -3
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_ARGS = struct.Struct("=11Q")
_OPEN_HOW = struct.Struct("=3Q")
_MOUNT_ATTR = struct.Struct("=4Q")
_CAP_HEADER = struct.Struct("=Ii")
_CAP_DATA = struct.Struct("=6I")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def write_file(path: str, text: str) -> None:
    """Write a small file of the kernel's, whole and at once; an error names the path.

    The kernel takes such a value whole or not at all, so an error has changed nothing.
    """
    content = text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        written = os.write(fd, content)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)
    if written != len(content):
        raise OSError(errno.EIO, "short write", path)


def clone3(flags: int, cgroup_fd: int | None = None) -> tuple[int, int]:
    """Clone this process; give (pid, pidfd) to the parent and (0, -1) to the child.

    The child continues in the same interpreter, as after fork(2); it must end in `os._exit` or
    exec. The parent is told of its end by SIGCHLD. Needs a process without other threads.
    """
    pidfd = ctypes.c_int(-1)
    if cgroup_fd is not None:
        flags |= CLONE_INTO_CGROUP
    arguments = _CLONE_ARGS.pack(
        flags | CLONE_PIDFD, ctypes.addressof(pidfd), 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd or 0
    )
    pid = _syscall(_NR_CLONE3, arguments, ctypes.c_size_t(len(arguments)))
    _check(pid, "clone3")
    return pid, pidfd.value if pid else -1


_SIGCHLD = 17


def unshare(flags: int) -> None:
    """Give this process namespaces of its own."""
    _check(_libc.unshare(flags), "unshare")


def setns(namespace_fd: int, kind: int) -> None:
    """Enter the namespace that a descriptor names."""
    _check(_libc.setns(namespace_fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Attach or change a file system at `target`; empty texts are passed as they are."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(kind),
            ctypes.c_ulong(flags),
            os.fsencode(options),
        ),
        f"mount {kind or source} on {target}",
    )


def unmount(target: str, flags: int) -> None:
    """Unmount, as umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Swap the root for `new_root`, and put the old one at `put_old`."""
    _check(
        _syscall(_NR_PIVOT_ROOT, os.fsencode(new_root), os.fsencode(put_old)),
        f"pivot_root {new_root}",
    )


def set_mount_attributes(target: str, attributes: int) -> None:
    """Set attributes on a mount and on everything below it (Linux 5.12)."""
    value = _MOUNT_ATTR.pack(attributes, 0, 0, 0)
    _check(
        _syscall(
            _NR_MOUNT_SETATTR,
            AT_FDCWD,
            os.fsencode(target),
            ctypes.c_uint(AT_RECURSIVE),
            value,
            ctypes.c_size_t(len(value)),
        ),
        f"mount_setattr {target}",
    )


def open_beneath(directory_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path that never leaves `directory_fd` and never passes through any link."""
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return _check(
        _syscall(_NR_OPENAT2, directory_fd, os.fsencode(path), how, ctypes.c_size_t(len(how))),
        f"openat2 {path}",
    )


def close_from(first_fd: int, *, on_exec: bool = False) -> None:
    """Close every descriptor from `first_fd` on, now or at exec."""
    flags = CLOSE_RANGE_CLOEXEC if on_exec else 0
    _check(
        _syscall(_NR_CLOSE_RANGE, ctypes.c_uint(first_fd), ctypes.c_uint(0xFFFFFFFF), flags),
        "close_range",
    )


def set_host_name(name: str) -> None:
    """Set the host name of this uts namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")


def set_domain_name(name: str) -> None:
    """Set the domain name of this uts namespace."""
    encoded = name.encode()
    _check(_libc.setdomainname(encoded, ctypes.c_size_t(len(encoded))), "setdomainname")


def join_new_session_keyring() -> None:
    """Leave the inherited session keyring for an empty one of our own.

    keyrings(7): a session keyring survives fork and exec, so a job would find the last one's keys.
    """
    _check(_syscall(_NR_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None), "keyctl join_session")


def close_session_keyring() -> None:
    """Take every permission off this process's session keyring."""
    _check(
        _syscall(_NR_KEYCTL, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, ctypes.c_uint(0)),
        "keyctl setperm",
    )


def get_capabilities() -> tuple[int, int, int]:
    """Give this process's effective, permitted and inheritable capabilities as bit masks."""
    data = ctypes.create_string_buffer(_CAP_DATA.size)
    header = _CAP_HEADER.pack(_CAPABILITY_VERSION_3, 0)
    _check(_syscall(_NR_CAPGET, header, data), "capget")
    low = _CAP_DATA.unpack(data.raw)
    return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32


def set_no_capabilities() -> None:
    """Empty the effective, permitted and inheritable capability sets."""
    header = _CAP_HEADER.pack(_CAPABILITY_VERSION_3, 0)
    _check(_syscall(_NR_CAPSET, header, bytes(_CAP_DATA.size)), "capset")


def drop_bounding_capabilities() -> None:
    """Empty the bounding and ambient sets, so that no exec can ever bring a capability back.

    Needs CAP_SETPCAP, so it must come before the ids change. The kernel's highest capability may
    be newer than any table of ours: count until it answers EINVAL.
    """
    number = 0
    while True:
        result = _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        if result < 0:
            if ctypes.get_errno() == errno.EINVAL and number > _LEAST_LAST_CAPABILITY:
                break
            _check(result, f"prctl PR_CAPBSET_DROP {number}")
        number += 1
    _check(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl PR_CAP_AMBIENT")


_PR_CAPBSET_DROP = 24
_LEAST_LAST_CAPABILITY = 37  # CAP_AUDIT_READ, the last one of Linux 5.7


def has_bounding_capability(number: int) -> bool:
    """Tell whether one capability is still in the bounding set; False beyond the last one."""
    return bool(_libc.prctl(23, number, 0, 0, 0) == 1)


set_no_new_privileges: Callable[[int], None] = prctl.set_no_new_privs
set_parent_death_signal: Callable[[int], None] = prctl.set_pdeathsig
set_dumpable: Callable[[int], None] = prctl.set_dumpable
set_name: Callable[[str], None] = prctl.set_name


def seccomp_set_filter(program: bytes, flags: int) -> int:
    """Install a classic BPF program, given as bytes, on this thread; it can never be removed.

    Gives the listener's descriptor where the flags ask for one.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return _check(_syscall(_NR_SECCOMP, 1, ctypes.c_uint(flags), fprog), "seccomp set_mode_filter")


def landlock_abi() -> int:
    """Give the kernel's Landlock ABI level, 0 where there is none."""
    level = _syscall(_NR_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return int(max(0, level))


def landlock_create_ruleset(attributes: bytes) -> int:
    """Make a ruleset from `struct landlock_ruleset_attr`; give its descriptor."""
    return _check(
        _syscall(_NR_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0),
        "landlock_create_ruleset",
    )


def landlock_allow_path(ruleset_fd: int, access: int, parent_fd: int) -> None:
    """Grant access rights below one directory or file."""
    attribute = struct.pack("=Qi", access, parent_fd)
    _check(_syscall(_NR_LANDLOCK_ADD_RULE, ruleset_fd, 1, attribute, 0), "landlock_add_rule")


def landlock_restrict_self(ruleset_fd: int) -> None:
    """Restrict this thread and what it starts by a ruleset, for ever."""
    _check(_syscall(_NR_LANDLOCK_RESTRICT_SELF, ruleset_fd, 0), "landlock_restrict_self")


_sigset = ctypes.c_uint64 * 16  # sigset_t is 1024 bits in glibc and musl


def signal_descriptor(*signals: int) -> int:
    """Block signals and give a non-blocking, close-on-exec descriptor that reads them."""
    mask = _sigset()
    for number in signals:
        mask[0] |= 1 << (number - 1)
    _check(_libc.sigprocmask(SIG_BLOCK, mask, None), "sigprocmask")
    return _check(_libc.signalfd(-1, mask, SFD_CLOEXEC | os.O_NONBLOCK), "signalfd")


def unblock_all_signals() -> None:
    """Empty the signal mask, which exec would otherwise hand on."""
    _check(_libc.sigprocmask(SIG_SETMASK, _sigset(), None), "sigprocmask")


def reset_all_signals() -> None:
    """Give every signal its default disposition.

    By the raw call: libc keeps two signals (32, 33) for itself and refuses to touch them, yet they
    are inherited like all others, and some programs (GNU make) leave them ignored.
    """
    for number in range(1, _SIGNAL_COUNT + 1):
        if number not in _UNCHANGEABLE:
            _check(
                _syscall(
                    _NR_RT_SIGACTION, number, bytes(_SIGACTION_BYTES), None, ctypes.c_size_t(8)
                ),
                f"rt_sigaction {number}",
            )


_SIGNAL_COUNT = 64
_UNCHANGEABLE = {9, 19}  # SIGKILL, SIGSTOP
_SIGACTION_BYTES = 32  # struct sigaction of the kernel: handler, flags, restorer, mask
