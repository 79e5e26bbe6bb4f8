"""Seccomp: policies to classic BPF, installing it, and answering what a filter asks.

Decides the whole filter as bytes, once per policy, in the daemon. Does two things in the program's
process: install those bytes, and hand over the listener of a filter that asks. That process is a
clone which should stay small, so this module loads pyseccomp, tomllib and the like only where the
deciding half needs them.

A policy that notifies has two filters. The first only asks (USER_NOTIF) at the calls named; the
second is the policy itself, which says ALLOW there. Of two filters' answers the kernel takes the
stricter, and a refusal is stricter than a question (seccomp(2)). So the listener can be handed over
in between, by calls that the policy itself may well refuse.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from functools import cache
from itertools import takewhile
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel import bpf
from sandboxd.kernel.syscalls import seccomp_set_filter
from sandboxd.model.tape import Operation, Verb, descriptor
from sandboxd.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandboxd.model.policy import Policy, PolicyError, Rule

# linux/seccomp.h: what a filter may return, in the order of their precedence.
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
USER_NOTIF = 0x7FC00000
ALLOW = 0x7FFF0000

NEW_LISTENER = 1 << 3
"""Flag of seccomp(2): give a descriptor that reads and answers what the filter asks."""

EPERM, ENOSYS = errno.EPERM, errno.ENOSYS

CLONE3 = 435
"""Its flags lie behind a pointer, where no filter looks; told ENOSYS, every libc uses clone."""
HIGHEST_NUMBER = 1023
"""Beyond every table of system calls there is."""

X32_BIT = 0x40000000
"""x86-64 numbers with this bit belong to the x32 ABI, whose calls differ; no libc here uses it."""
NEGATIVE = 0x80000000
"""Numbers from here on are negative: -1 is what a tracer writes to skip a call."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""linux/audit.h: machine, 64-bit and little-endian. Seen by the filter with each call."""

NEWER_CALLS = {
    "memfd_secret": 447,
    "process_mrelease": 448,
    "futex_waitv": 449,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}
"""Calls that some libseccomp does not know. From 424 on all architectures agree on the numbers."""
NEWER_CALLS_X86 = {"uretprobe": 335}
"""The same, on x86-64 alone."""


# ---------------------------------------------------------------------------------- decide: files


def policies_directory() -> Path:
    """Give the directory of the shipped policies."""
    return shipped("policies", in_checkout="policies")


def load_policies(directories: Iterable[str | Path], wanted: str = "") -> dict[str, Policy]:
    """Read every `*.toml` of these directories; give the policies by name.

    With `wanted`, only that one is parsed, if it is there.

    Raises:
        HostError: a directory is not there.
        PolicyError: a file is wrong, or two have the same name (a silently replaced `default`
            would be a trap). Nothing is loaded then.

    """
    from pathlib import Path  # noqa: PLC0415 - see the module's first lines

    from sandboxd.model.policy import PolicyError, parse_policy  # noqa: PLC0415

    paths: dict[str, Path] = {}
    texts: dict[str, str] = {}
    for path in (path for place in directories for path in _policy_files(Path(place))):
        name = path.stem
        if name in paths:
            problem = f"{paths[name]} has the same name"
            raise PolicyError(name, problem, "rename one of them", path=str(path))
        try:
            paths[name], texts[name] = path, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(name, f"it is unreadable: {error}", path=str(path)) from error
    try:
        names = [wanted] if wanted in texts else list(texts)
        return {name: parse_policy(texts[name], name, texts.__getitem__) for name in names}
    except PolicyError as error:
        raise error.lying_at(str(paths[error.policy])) from None


def _policy_files(place: Path) -> list[Path]:
    if not place.is_dir():
        from sandboxd.errors import HostError  # noqa: PLC0415 - see the module's first lines

        message = f"cannot read policies in {place}: it is not a directory"
        raise HostError("POLICY_INVALID", message, "create it, or do not name it")
    return sorted(place.glob("*.toml"))


# ------------------------------------------------------------------------------- decide: programs


class _Reading(NamedTuple):
    """What a filter returns: for each action of a rule, and where there is no rule."""

    actions: Mapping[str, int]
    refused: int
    unknown: int
    foreign: int


_POLICY = _Reading(
    {"allow": ALLOW, "errno": ERRNO, "kill": KILL_PROCESS, "notify": ALLOW},
    refused=ERRNO | EPERM,
    unknown=ERRNO | ENOSYS,
    foreign=KILL_PROCESS,
)
_NOTICES = _Reading(
    {"allow": ALLOW, "errno": ALLOW, "kill": ALLOW, "notify": USER_NOTIF},
    refused=ALLOW,
    unknown=ALLOW,
    foreign=ALLOW,
)


def compile_policy(policy: Policy, architecture: str = "") -> bytes:
    """Give the filter as BPF bytes, for this machine or for the architecture named.

    Known calls that no rule allows are refused with EPERM; unknown ones with ENOSYS, so that a
    libc newer than us falls back; `clone3` too, unless a rule names it. Calls of a foreign
    architecture or of x32 kill the process.

    Raises:
        PolicyError: a call's name is unknown, the architecture is not on offer, or the program
            would be longer than the kernel takes.

    """
    return _compile(policy, architecture, _POLICY)


def compile_notices(policy: Policy, architecture: str = "") -> bytes:
    """Give the filter that asks at the calls which the policy notifies of; empty if at none.

    Raises:
        PolicyError: as `compile_policy`; or it would ask at the call that hands over its listener.

    """
    if not policy.notifies:
        return b""
    notified = {
        name for rule in policy.rules if rule.action.value == "notify" for name in rule.syscalls
    }
    if HANDING_OVER in notified:
        problem = f"cannot notify of {HANDING_OVER}: the listener itself is handed over by it"
        raise _refusal(policy, problem, "use action 'errno', and notify of `socket`")
    return _compile(policy, architecture, _NOTICES)


HANDING_OVER = "sendmsg"
EXECUTION = frozenset({"execve", "execveat"})
"""How a program starts: its own first one of these is ours to let pass."""


def _compile(policy: Policy, architecture: str, reading: _Reading) -> bytes:
    architecture = architecture or os.uname().machine
    if architecture not in AUDIT_ARCH:
        problem = f"no filter can be made for {architecture}"
        raise _refusal(policy, problem, f"known are {', '.join(AUDIT_ARCH)}")
    blocks = _Blocks(reading)
    program = blocks.program
    ranges = _ranges(_outcomes(policy, architecture, reading), reading, architecture)
    root = program.search([(first, blocks.label(*outcome)) for first, outcome in ranges])
    root = program.load(bpf.NR, root)
    foreign = program.give(reading.foreign)
    root = program.branch(bpf.JEQ, AUDIT_ARCH[architecture], root, foreign)
    program.load(bpf.ARCH, root)
    if len(program) > bpf.MAX_INSTRUCTIONS:
        problem = f"needs {len(program)} instructions, the kernel takes {bpf.MAX_INSTRUCTIONS}"
        raise _refusal(policy, problem, "compare fewer arguments")
    return program.assemble()


Outcome = tuple[tuple["Rule", ...], int]
"""The rules that decide a call by its arguments, and what is returned if none of them holds."""


def _outcomes(policy: Policy, architecture: str, reading: _Reading) -> dict[int, Outcome]:
    """Give the outcome for every number that is known there."""
    calls = Calls(architecture)
    rules: dict[int, list[Rule]] = {}
    for rule in policy.rules:
        numbers = [_number(policy, calls, name) for name in rule.syscalls]
        if architecture in rule.architectures:
            for number in (number for number in numbers if number is not None):
                rules.setdefault(number, []).append(rule)
    outcomes: dict[int, Outcome] = dict.fromkeys(calls.known(), ((), reading.refused))
    outcomes[CLONE3] = ((), reading.unknown)
    for number, ordered in rules.items():
        conditional = tuple(takewhile(lambda rule: rule.arguments, ordered))
        final = ordered[len(conditional) :]
        otherwise = _returned(final[0], reading) if final else outcomes[number][1]
        outcomes[number] = conditional, otherwise
    return outcomes


def _ranges(
    outcomes: Mapping[int, Outcome], reading: _Reading, architecture: str
) -> list[tuple[int, Outcome]]:
    """Cut all numbers into ranges of one outcome; give the first number of each."""
    unknown: Outcome = ((), reading.unknown)
    ranges: list[tuple[int, Outcome]] = []
    for number in range(max(outcomes) + 2):
        outcome = outcomes.get(number, unknown)
        if not ranges or ranges[-1][1] != outcome:
            ranges.append((number, outcome))
    if architecture == "x86_64":
        ranges += [(X32_BIT, ((), reading.foreign)), (NEGATIVE, unknown)]
    return ranges


def _returned(rule: Rule, reading: _Reading) -> int:
    action = reading.actions[rule.action.value]
    return action | rule.errno if action == ERRNO else action


def _number(policy: Policy, calls: Calls, name: str) -> int | None:
    try:
        return calls.number(name)
    except KeyError:
        raise _refusal(policy, f"there is no system call {name!r}", "mend its spelling") from None


def _refusal(policy: Policy, problem: str, remedy: str) -> PolicyError:
    from sandboxd.model.policy import PolicyError  # noqa: PLC0415 - see the module's first lines

    return PolicyError(policy.name, problem, remedy)


def refusal_of(name: str, rule: Rule | None) -> int:
    """Give the errno with which a call fails that this rule decides, or none does."""
    if rule is not None and rule.errno:
        return rule.errno
    return ENOSYS if name == "clone3" else EPERM


class _Blocks:
    """A program's blocks, one for all calls that are decided by the same rules."""

    def __init__(self, reading: _Reading) -> None:
        self.program = bpf.Program()
        self._reading = reading
        self._labels: dict[Outcome, int] = {}

    def label(self, rules: tuple[Rule, ...], otherwise: int) -> int:
        """Try the rules in their order, then end with `otherwise`."""
        if not rules:
            return self.program.give(otherwise)
        if (rules, otherwise) not in self._labels:
            label = self.program.give(otherwise)
            for rule in reversed(rules):
                label = self._rule(rule, label)
            self._labels[rules, otherwise] = label
        return self._labels[rules, otherwise]

    def _rule(self, rule: Rule, otherwise: int) -> int:
        label = self.program.give(_returned(rule, self._reading))
        for test in reversed(rule.arguments):
            label = self.program.compare_argument(
                test.index, test.mask, test.values, label, otherwise
            )
        return label


class Calls:
    """The system calls of one architecture, by libseccomp's table and ours."""

    def __init__(self, architecture: str = "") -> None:
        """Take the architecture; empty: this machine's."""
        import pyseccomp  # noqa: PLC0415 - see the module's first lines

        architecture = architecture or os.uname().machine
        self._resolve = pyseccomp.resolve_syscall
        self._token = AUDIT_ARCH[architecture]
        self._newer = NEWER_CALLS | (NEWER_CALLS_X86 if architecture == "x86_64" else {})

    def known(self) -> dict[int, str]:
        """Give the name of every number."""
        known = {number: name for name, number in self._newer.items()}
        for number in range(HIGHEST_NUMBER + 1):
            try:
                name = self._resolve(self._token, number)
            except ValueError:
                continue
            known[number] = name.decode()
        return known

    def number(self, name: str) -> int | None:
        """Give a call's number, None where only other architectures have it.

        Raises:
            KeyError: no architecture has it.

        """
        number: int = self._newer.get(name) or self._resolve(self._token, name)
        if number == -1 and name not in NEWER_CALLS_X86:
            raise KeyError(name)
        return number if number >= 0 else None


def notices_installed(size: int, notices_size: int) -> tuple[Operation, ...]:
    """Put the program under the filter that asks, if there is one, which lies behind the other."""
    if not notices_size:
        return ()
    notices = (descriptor("policy"), size, notices_size, descriptor("notices"))
    return (Operation("seccomp_notices", "install_notices", notices),)


def filter_installed(size: int) -> Operation:
    """Put the program under the filter that comes first in the descriptor ``policy``."""
    return Operation("seccomp", "install_filter", (descriptor("policy"), 0, size))


# --------------------------------------------------------------------------------------------- do


def install_filter(fd: int, offset: int, size: int) -> None:
    """Install a filter that a descriptor holds; a short one is an error, not a weak filter."""
    install(_program(fd, offset, size))


def install_notices(fd: int, offset: int, size: int, notices_fd: int) -> None:
    """Install a filter that asks, and hand its listener over; whoever holds it answers.

    Between the two nobody answers yet, so nothing may be asked: one call, made ready before.
    """
    program = _program(fd, offset, size)
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, notices_fd)
    listener = array.array("i", [seccomp_set_filter(program, NEW_LISTENER)])
    notices.sendmsg([b"listener"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, listener)])
    notices.detach()
    os.close(listener[0])


def install(filter_bytes: bytes) -> None:
    """Put this process under the filter for good; it must have no_new_privs (seccomp(2)).

    Raises:
        OSError: EACCES without no_new_privs, EINVAL if the kernel refuses the program.

    """
    seccomp_set_filter(filter_bytes, 0)


def _program(fd: int, offset: int, size: int) -> bytes:
    program = os.pread(fd, size, offset)
    if len(program) != size:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "filter of another size")
    return program


def call_name(number: int) -> str:
    """Name one of this machine's system calls; by its number where it has no name."""
    return _names().get(number, f"syscall {number}")


@cache
def _names() -> dict[int, str]:
    return Calls().known()


class Notice(NamedTuple):
    """What a filter asks: whether this call may be made."""

    id: int
    number: int
    arguments: tuple[int, ...]


_NOTICE = Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags; then seccomp_data: nr, arch, instruction_pointer, args."""
_ANSWER = Struct("=QqiI")
"""struct seccomp_notif_resp: id, val, error, flags."""
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV and _SEND, of linux/seccomp.h."""
_CONTINUE = 1


def receive_notice(listener_fd: int) -> Notice | None:
    """Take one question off a listener that is readable; None if who asked is gone already."""
    buffer = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener_fd, _RECEIVE, buffer)
    except FileNotFoundError:
        return None
    id_, _, _, number, _, _, *arguments = _NOTICE.unpack(buffer)
    return Notice(id_, number, tuple(arguments))


def answer_notice(listener_fd: int, notice: Notice, refusal: int) -> None:
    """Let the call be made (0), or have it fail with an errno.

    Letting it be made is safe only where the question was of number and arguments: what a pointer
    leads to may have changed since (seccomp_unotify(2)).
    """
    flags = 0 if refusal else _CONTINUE
    try:
        fcntl.ioctl(listener_fd, _SEND, _ANSWER.pack(notice.id, 0, -refusal, flags))
    except FileNotFoundError:
        return  # killed meanwhile


VERBS = {
    "install_filter": Verb(install_filter, "install the seccomp filter, {2} bytes"),
    "install_notices": Verb(
        install_notices, "install the seccomp filter that asks, {2} bytes, its listener by {3}"
    ),
}
