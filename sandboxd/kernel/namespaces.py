"""Namespaces: which ones a sandbox gets, its names, its keyring, and how many below it.

Decides flags and operations. Does them, one short function a verb.
"""

from __future__ import annotations

import signal

from sandboxd.kernel import syscalls
from sandboxd.model.tape import Operation, Verb

SANDBOX_FLAGS = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
"""Six of the seven; the program enters the cgroup namespace itself, once it is in its cgroup."""

MAX_NESTED = {"user": 128, "net": 128, "mnt": 256}
"""How many namespaces a nested job may have: a sandboxd inside needs one of each a sandbox, and a
few for itself."""

MAX_WATCHES = {"inotify_instances": 16, "inotify_watches": 8192}
"""How much of what one user may watch a sandbox may take; usual are 128, and some 100 000."""

HOST_NAME = "sandbox"
DOMAIN_NAME = "sandbox.invalid"
OOM_SCORE = 1000
"""When the whole host runs out of memory, a job goes first."""


def init_process() -> tuple[Operation, ...]:
    """Make init safe from what it will start; before its own sandbox is furnished.

    The kernel gives /proc/self/oom_score_adj to root while a process is not dumpable, and changing
    ids made it so: hence dumpable for one write, then never again (no ptrace, no /proc/1 reading).
    """
    return (
        Operation("init_dumpable", "set_dumpable", (1,)),
        Operation("init_oom_score", "write_file", ("/proc/self/oom_score_adj", str(OOM_SCORE))),
        Operation("init_undumpable", "set_dumpable", (0,)),
        Operation("init_death_signal", "die_with_parent"),
        Operation("session_keyring", "new_keyring"),
    )


def nesting_closed() -> Operation:
    """Forbid user namespaces below this one, and so all others to a process without capability."""
    return Operation("nesting", "write_file", ("/proc/sys/user/max_user_namespaces", "0"))


def watches_bounded() -> tuple[Operation, ...]:
    """Leave others their file watches: the kernel counts all sandboxes' as the daemon's, too."""
    return tuple(
        Operation("watches", "write_file", (f"/proc/sys/user/max_{kind}", str(count)))
        for kind, count in MAX_WATCHES.items()
    )


def nesting_bounded() -> tuple[Operation, ...]:
    """Let the program make namespaces below this one, but not so many that the host notices.

    The kernel counts each one in all user namespaces above it, too, so these counts hold for
    whatever is nested. It frees a network namespace only some time after its end.
    """
    return tuple(
        Operation("nesting", "write_file", (f"/proc/sys/user/max_{kind}_namespaces", str(count)))
        for kind, count in MAX_NESTED.items()
    )


def names() -> Operation:
    """Give the sandbox a host name and a domain name of its own."""
    return Operation("names", "set_names", (HOST_NAME, DOMAIN_NAME))


# --- do -------------------------------------------------------------------------------------------


def die_with_parent() -> None:
    """Ask to be killed when the zygote dies, and make sure that it has not died already.

    Must follow the change of ids, which clears it. The zygote lives in an outer pid namespace, so
    a living one is seen as 0 and so is a dead one: what tells is the socket's end of file, which
    init reads next. This is the second fence.
    """
    syscalls.set_parent_death_signal(signal.SIGKILL)


def new_keyring() -> None:
    """Join a session keyring of this sandbox's own and take every permission off it."""
    syscalls.join_new_session_keyring()
    syscalls.close_session_keyring()


def set_names(host_name: str, domain_name: str) -> None:
    """Name this uts namespace."""
    syscalls.set_host_name(host_name)
    syscalls.set_domain_name(domain_name)


VERBS = {
    "write_file": Verb(syscalls.write_file, "write {1} to {0}"),
    "set_dumpable": Verb(syscalls.set_dumpable, "set dumpable to {0}"),
    "die_with_parent": Verb(die_with_parent, "die when the zygote dies"),
    "new_keyring": Verb(new_keyring, "join a new session keyring that nobody may use"),
    "set_names": Verb(set_names, "set the host name to {0}, the domain name to {1}"),
    "unshare": Verb(syscalls.unshare, "enter a new namespace of kind {0}"),
}
