"""The program's process: session, limits, processors, signals, descriptors, directory, exec.

Decides the operations between fork and exec that no other room owns. Does them, one short function
a verb.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import signal
from typing import TYPE_CHECKING, Any

from sandboxd.kernel import syscalls
from sandboxd.model.tape import Operation, Verb, descriptor

if TYPE_CHECKING:
    from sandboxd.model.limits import Limits

UMASK = 0o022
MAX_QUEUED_SIGNALS = 1024
"""Queued signals and timers of one sandbox: the kernel counts those of all sandboxes, too, against
the one limit that the daemon has."""
_RLIMIT_SIGPENDING = 11
"""linux/resource.h; the module `resource` has no name for it."""
ABOUT_TO_EXEC = b"E"
"""The last-stage record: end of file on the report pipe means "started" only after it."""

_RLIMITS = {
    "file_size_bytes": resource.RLIMIT_FSIZE,
    "open_file_count": resource.RLIMIT_NOFILE,
    "stack_bytes": resource.RLIMIT_STACK,
    "memlock_bytes": resource.RLIMIT_MEMLOCK,
    "msgqueue_bytes": resource.RLIMIT_MSGQUEUE,
    "address_space_bytes": resource.RLIMIT_AS,
}


def rlimits_for(limits: Limits, process_rlimit: int | None) -> list[list[int]]:
    """Give the [resource, value] pairs, soft and hard alike, that limits ask for.

    RLIMIT_CPU is a backstop above the real deadline: it counts one process, in whole seconds.
    RLIMIT_NPROC counts this sandbox's own uid; it stands in where there is no `pids.max`, which
    counts its refusals, too. No core is asked for by 1, not by 0: only 1 also keeps the kernel from
    piping a crash to the host's core handler.
    """
    pairs: list[tuple[int, int | None]] = []
    pairs += [(number, getattr(limits, name)) for name, number in _RLIMITS.items()]
    pairs.append((resource.RLIMIT_CORE, limits.core_bytes or 1))
    pairs.append((_RLIMIT_SIGPENDING, MAX_QUEUED_SIGNALS))
    if limits.cpu_time is not None:
        pairs.append((resource.RLIMIT_CPU, math.ceil(limits.cpu_time.total_seconds()) + 1))
    pairs.append((resource.RLIMIT_NPROC, process_rlimit))
    pairs += [(resource.RLIMIT_NICE, 0), (resource.RLIMIT_RTPRIO, 0)]
    return [[number, value] for number, value in pairs if value is not None]


def init_signals() -> Operation:
    """Let init see its children end: the zygote ignores SIGCHLD, and clones inherit that."""
    return Operation("init_signals", "reset_signals")


def session() -> tuple[Operation, ...]:
    """Give the program a cgroup namespace and a session of its own."""
    return (
        Operation("cgroup_namespace", "unshare", (syscalls.CLONE_NEWCGROUP,)),
        Operation("session", "set_session"),
    )


def affinity(processors: tuple[int, ...]) -> Operation:
    """Give the program its processors."""
    return Operation("affinity", "set_affinity", (list(processors),))


def rlimits(limits: Limits, process_rlimit: int | None) -> Operation:
    """Give the program the limits that the kernel holds by process."""
    return Operation("rlimits", "set_rlimits", (rlimits_for(limits, process_rlimit),))


def state(descriptors: tuple[str, ...], working_directory: str) -> tuple[Operation, ...]:
    """Leave the program nothing of ours: signals, umask, descriptors, working directory."""
    return (
        Operation("signals", "reset_signals"),
        Operation("umask", "set_umask", (UMASK,)),
        Operation("descriptors", "set_descriptors", tuple(descriptor(n) for n in descriptors)),
        Operation("working_directory", "enter_directory", (working_directory,)),
        Operation("no_new_privileges", "no_new_privileges"),
    )


def execution(argv: tuple[str, ...], env: dict[str, str]) -> Operation:
    """Become the program, at last."""
    return Operation("exec", "execute", (list(argv), env_pairs(env), descriptor("report")))


def env_pairs(env: dict[str, str]) -> list[Any]:
    """Give an environment as a list of [name, value]: in a tape a mapping is a descriptor."""
    return [[name, value] for name, value in env.items()]


# --- do -------------------------------------------------------------------------------------------


def set_rlimits(pairs: list[list[int]]) -> None:
    """Set soft and hard limits alike, so that none can be raised again; a lower one stays."""
    for number, value in pairs:
        hard = resource.getrlimit(number)[1]
        held = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (held, held))


def set_affinity(processors: list[int]) -> None:
    """Run on these processors only."""
    os.sched_setaffinity(0, processors)


def reset_signals() -> None:
    """Give every signal that this process ignores or handles its default, and block none.

    exec keeps "ignored": Python ignores SIGPIPE and SIGXFSZ, the zygote SIGCHLD.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    syscalls.unblock_all_signals()


def set_umask(mask: int) -> None:
    """Set the file mode creation mask."""
    os.umask(mask)


def above(least: int, fd: int) -> int:
    """Give a second descriptor of the same, whose number is not below `least`."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)


def set_descriptors(*fds: int) -> None:
    """Make `fds` the descriptors 0, 1, 2 ... and close everything else at exec.

    At exec rather than now: the report pipe must live until then.
    """
    # Above the targets first, so that no dup2 closes a descriptor that is still to be placed.
    high = [above(len(fds), fd) if fd < len(fds) else fd for fd in fds]
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=True)
    syscalls.close_from(len(fds), on_exec=True)


def enter_directory(path: str) -> None:
    """Change into a directory and make sure that it lies inside this root.

    A directory outside shows as "(unreachable)" (Linux getcwd(2)): the trick of CVE-2024-21626.
    """
    os.chdir(path)
    if not os.getcwd().startswith("/"):
        raise PermissionError(1, "the working directory is outside the root", path)


def no_new_privileges() -> None:
    """Make every set-user-id bit and file capability inert from here on."""
    syscalls.set_no_new_privileges(1)


def execute(argv: list[str], pairs: list[list[str]], report_fd: int) -> None:
    """Execute argv[0], found on its own PATH like execvp(3), without its detour over a shell.

    The last-stage record is written first. A candidate that is not there is passed over; one that
    may not be executed is remembered, as the answer if nothing better comes. Executes once at most:
    a policy may end the job at a second time.
    """
    env = dict(pairs)
    os.write(report_fd, ABOUT_TO_EXEC)
    program = argv[0]
    candidates = [program]
    if "/" not in program:
        candidates = [f"{place or '.'}/{program}" for place in env.get("PATH", "").split(":")]
    answer = errno.ENOENT
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            try:
                os.execve(candidate, argv, env)  # noqa: S606 - that is what we are for
            except OSError as error:
                raise OSError(error.errno, error.strerror, candidate) from None
        if os.access(candidate, os.F_OK):
            answer = errno.EACCES
    raise OSError(answer, os.strerror(answer), program)


VERBS = {
    "set_session": Verb(os.setsid, "lead a new session without a terminal"),
    "set_rlimits": Verb(set_rlimits, "set rlimits (number, value): {0}"),
    "set_affinity": Verb(set_affinity, "run on processors {0} only"),
    "reset_signals": Verb(reset_signals, "give signals their defaults and block none"),
    "set_umask": Verb(set_umask, "set the umask to {0}"),
    "set_descriptors": Verb(set_descriptors, "make {0}, {1}, {2} ... the only descriptors"),
    "enter_directory": Verb(enter_directory, "enter {0} and verify that it is inside"),
    "no_new_privileges": Verb(no_new_privileges, "set no_new_privs"),
    "execute": Verb(execute, "write the last-stage record and execute {0}"),
}
