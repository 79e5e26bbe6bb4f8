"""Landlock: a second fence that repeats what the mounts say, for the day a mount says it wrong.

Decides rights by the kernel's ABI level. Does the restricting. Needs no_new_privs.
"""

from __future__ import annotations

import os
import struct

from sandboxd.kernel import syscalls
from sandboxd.model.tape import Operation, Verb

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_MAKE_ANY = ((1 << 13) - 1) & ~0b1111  # remove and make, bits 4 to 12
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1, 2

_READ = _EXECUTE | _READ_FILE | _READ_DIR


def restriction(
    abi: int, writable: tuple[str, ...], *, network: bool, is_shared: bool = False
) -> tuple[Operation, ...]:
    """Allow reading and executing everywhere, writing only below `writable` and in devices.

    From ABI 4 no TCP without a network; from ABI 6 no signal and no abstract socket leaves the
    sandbox: unless that is shared by several programs, each in a domain of its own, which could not
    reach one another then. Nothing where the kernel has no Landlock.
    """
    if abi < 1:
        return ()
    handled = _READ | _WRITE_FILE | _MAKE_ANY
    handled |= _REFER if abi >= 2 else 0
    # A kernel that knows truncation as a right of its own must grant it with writing.
    truncate = _TRUNCATE if abi >= 3 else 0
    device = _IOCTL_DEVICE if abi >= 5 else 0
    handled |= truncate | device
    tcp = _BIND_TCP | _CONNECT_TCP if abi >= 4 and not network else 0
    scopes = _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL if abi >= 6 and not is_shared else 0
    places = [["/", _READ], ["/dev", _READ | _WRITE_FILE | truncate | device]]
    places += [[place, handled & ~_MAKE_DEVICES] for place in writable]
    return (Operation("landlock", "restrict", (abi, handled, tcp, scopes, places)),)


def scopes_only(abi: int) -> tuple[Operation, ...]:
    """Let no signal and no abstract socket leave the sandbox; say nothing of files and TCP.

    A ruleset that handles any right on files forbids every mount(2), which a nested sandbox needs;
    its networks are its own. Nothing before ABI 6.
    """
    if abi < 6:
        return ()
    scopes = _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL
    return (Operation("landlock", "restrict", (abi, 0, 0, scopes, [])),)


def held(abi: int, *, files: bool, network: bool, is_shared: bool = False) -> str:
    """Say in words what `restriction` (or, without files, `scopes_only`) holds; empty: nothing."""
    parts = {
        "files": files and abi >= 1,
        "TCP": files and abi >= 4 and not network,
        "signals": abi >= 6 and not is_shared,
        "abstract sockets": abi >= 6 and not is_shared,
    }
    return ", ".join(name for name, is_held in parts.items() if is_held)


# --- do -------------------------------------------------------------------------------------------


def restrict(abi: int, handled: int, tcp: int, scopes: int, places: list[list[str | int]]) -> None:
    """Grant each (path, rights) pair and refuse the rest of `handled`."""
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset_fd = syscalls.landlock_create_ruleset(struct.pack("=3Q", handled, tcp, scopes)[:size])
    for path, rights in places:
        fd = os.open(str(path), os.O_PATH | os.O_CLOEXEC)
        syscalls.landlock_allow_path(ruleset_fd, int(rights), fd)
        os.close(fd)
    syscalls.landlock_restrict_self(ruleset_fd)
    os.close(ruleset_fd)


VERBS = {"restrict": Verb(restrict, "restrict by Landlock (ABI {0}) to {4}")}
