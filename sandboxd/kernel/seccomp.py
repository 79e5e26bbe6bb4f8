"""Seccomp: policies to classic BPF, and installing it.

Decides the whole filter as bytes, once per policy, in the daemon. Does one thing in the program's
process: install those bytes. That process is a clone which should stay small, so this module loads
pyseccomp, tomllib and the like only where the deciding half needs them.
"""

from __future__ import annotations

import os
from itertools import takewhile
from struct import Struct
from typing import TYPE_CHECKING

from sandboxd.kernel.syscalls import seccomp_set_filter
from sandboxd.model.tape import Operation, Verb, descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sandboxd.model.policy import ArgumentTest, Policy, PolicyError, Rule

MAX_INSTRUCTIONS = 4096
"""The kernel's BPF_MAXINSNS."""

# linux/seccomp.h: what a filter may return, in the order of their precedence.
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000

EPERM, EIO, ENOSYS = 1, 5, 38

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

# linux/bpf_common.h: load a word of seccomp_data, mask it, compare it, jump, return.
_LD_ABS, _AND, _JA, _JEQ, _JGE, _RET = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_INSTRUCTION = Struct("=HBBI")
# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6].
_NR, _ARCH, _ARGS = 0, 4, 16
_WORD = 0xFFFFFFFF
"""Classic BPF computes with 32 bits: an argument is compared in two halves."""
_REACH = 255
"""How far a conditional jump goes: its offsets are bytes. Only forward, says the kernel."""

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
    """Give the directory of the shipped policies: in the package, or beside it in a checkout."""
    from pathlib import Path  # noqa: PLC0415 - see the module's first lines

    package = Path(__file__).resolve().parent.parent
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def load_policies(directories: Iterable[str | Path]) -> dict[str, Policy]:
    """Read every `*.toml` of these directories; give the policies by name.

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
        return {name: parse_policy(text, name, texts.__getitem__) for name, text in texts.items()}
    except PolicyError as error:
        raise error.lying_at(str(paths[error.policy])) from None


def _policy_files(place: Path) -> list[Path]:
    if not place.is_dir():
        from sandboxd.errors import HostError  # noqa: PLC0415 - see the module's first lines

        message = f"cannot read policies in {place}: it is not a directory"
        raise HostError("POLICY_INVALID", message, "create it, or do not name it")
    return sorted(place.glob("*.toml"))


# ------------------------------------------------------------------------------- decide: programs


def compile_policy(policy: Policy, architecture: str = "") -> bytes:
    """Give the filter as BPF bytes, for this machine or for the architecture named.

    Known calls that no rule allows are refused with EPERM; unknown ones with ENOSYS, so that a
    libc newer than us falls back; `clone3` too, unless a rule names it. Calls of a foreign
    architecture or of x32 kill the process.

    Raises:
        PolicyError: a call's name is unknown, an action or the architecture is not on offer, or
            the program would be longer than the kernel takes.

    """
    architecture = architecture or os.uname().machine
    if architecture not in AUDIT_ARCH:
        problem = f"no filter can be made for {architecture}"
        raise _refusal(policy, problem, f"known are {', '.join(AUDIT_ARCH)}")
    program = _Program()
    ranges = _ranges(_outcomes(policy, architecture), x32=architecture == "x86_64")
    root = program.search([(first, program.outcome(*outcome)) for first, outcome in ranges])
    root = program.load(_NR, root)
    root = program.branch(_JEQ, AUDIT_ARCH[architecture], root, program.give(KILL_PROCESS))
    program.load(_ARCH, root)
    if len(program) > MAX_INSTRUCTIONS:
        problem = f"needs {len(program)} instructions, the kernel takes {MAX_INSTRUCTIONS}"
        raise _refusal(policy, problem, "compare fewer arguments")
    return program.assemble()


Outcome = tuple[tuple["Rule", ...], int]
"""The rules that decide a call by its arguments, and what is returned if none of them holds."""
UNKNOWN: Outcome = ((), ERRNO | ENOSYS)


def _outcomes(policy: Policy, architecture: str) -> dict[int, Outcome]:
    """Give the outcome for every number that is known there."""
    calls = _Calls(policy, architecture)
    rules: dict[int, list[Rule]] = {}
    for rule in policy.rules:
        if rule.action.value not in _ACTIONS:
            problem = f"action {rule.action.value!r} on {rule.syscalls[0]} is not on offer yet"
            raise _refusal(policy, problem, f"use one of {', '.join(_ACTIONS)}")
        numbers = [calls.number(name) for name in rule.syscalls]
        if architecture in rule.architectures:
            for number in (number for number in numbers if number is not None):
                rules.setdefault(number, []).append(rule)
    outcomes: dict[int, Outcome] = dict.fromkeys(calls.known(), ((), ERRNO | EPERM))
    outcomes[CLONE3] = UNKNOWN
    for number, ordered in rules.items():
        conditional = tuple(takewhile(lambda rule: rule.arguments, ordered))
        final = ordered[len(conditional) :]
        otherwise = _action(final[0]) if final else outcomes[number][1]
        outcomes[number] = conditional, otherwise
    return outcomes


def _ranges(outcomes: Mapping[int, Outcome], *, x32: bool) -> list[tuple[int, Outcome]]:
    """Cut all numbers into ranges of one outcome; give the first number of each."""
    ranges: list[tuple[int, Outcome]] = []
    for number in range(max(outcomes) + 2):
        outcome = outcomes.get(number, UNKNOWN)
        if not ranges or ranges[-1][1] != outcome:
            ranges.append((number, outcome))
    if x32:
        ranges += [(X32_BIT, ((), KILL_PROCESS)), (NEGATIVE, UNKNOWN)]
    return ranges


_ACTIONS = {"allow": ALLOW, "errno": ERRNO, "kill": KILL_PROCESS}


def _action(rule: Rule) -> int:
    action = _ACTIONS[rule.action.value]
    return action | rule.errno if action == ERRNO else action


def _refusal(policy: Policy, problem: str, remedy: str) -> PolicyError:
    from sandboxd.model.policy import PolicyError  # noqa: PLC0415 - see the module's first lines

    return PolicyError(policy.name, problem, remedy)


class _Calls:
    """The system calls of one architecture, by libseccomp's table and ours."""

    def __init__(self, policy: Policy, architecture: str) -> None:
        import pyseccomp  # noqa: PLC0415 - see the module's first lines

        self._resolve = pyseccomp.resolve_syscall
        self._token = AUDIT_ARCH[architecture]
        self._newer = NEWER_CALLS | (NEWER_CALLS_X86 if architecture == "x86_64" else {})
        self._policy = policy

    def known(self) -> set[int]:
        known = set(self._newer.values())
        for number in range(HIGHEST_NUMBER + 1):
            try:
                self._resolve(self._token, number)
            except ValueError:
                continue
            known.add(number)
        return known

    def number(self, name: str) -> int | None:
        """Give a call's number, None where only other architectures have it."""
        number: int = self._newer.get(name) or self._resolve(self._token, name)
        if number == -1 and name not in NEWER_CALLS_X86:
            raise _refusal(self._policy, f"there is no system call {name!r}", "mend its spelling")
        return number if number >= 0 else None


class _Program:
    """A BPF program, written from its end to its beginning: jumps only lead forward.

    A label is an instruction's distance from the end. Each method puts instructions in front of
    those that are there and gives the label at which they begin.
    """

    def __init__(self) -> None:
        self._backward: list[tuple[int, int, int, int]] = []
        self._ends: dict[int, int] = {}
        self._blocks: dict[Outcome, int] = {}

    def __len__(self) -> int:
        return len(self._backward)

    def assemble(self) -> bytes:
        return b"".join(_INSTRUCTION.pack(*words) for words in reversed(self._backward))

    def search(self, ranges: Sequence[tuple[int, int]]) -> int:
        """Find the loaded number's range by halving: a chain would cost each installation."""
        if len(ranges) == 1:
            return ranges[0][1]
        middle = len(ranges) // 2
        upper = self.search(ranges[middle:])
        lower = self.search(ranges[:middle])
        return self.branch(_JGE, ranges[middle][0], upper, lower)

    def outcome(self, rules: tuple[Rule, ...], otherwise: int) -> int:
        """Try the rules in their order; calls with the same rules share the block."""
        if not rules:
            return self.give(otherwise)
        if (rules, otherwise) not in self._blocks:
            label = self.give(otherwise)
            for rule in reversed(rules):
                label = self._rule(rule, label)
            self._blocks[rules, otherwise] = label
        return self._blocks[rules, otherwise]

    def _rule(self, rule: Rule, otherwise: int) -> int:
        label = self.give(_action(rule))
        for test in reversed(rule.arguments):
            label = self._test(test, label, otherwise)
        return label

    def _test(self, test: ArgumentTest, holds: int, fails: int) -> int:
        """Compare the low half, then the high half where the mask reaches it (little-endian)."""
        low_half, high_half = _ARGS + 8 * test.index, _ARGS + 8 * test.index + 4
        if test.mask <= _WORD:
            return self._word(low_half, test.mask, test.values, holds, fails)
        for value in reversed(test.values):
            low = self._word(low_half, test.mask & _WORD, [value & _WORD], holds, fails)
            fails = self._word(high_half, test.mask >> 32, [value >> 32], low, fails)
        return fails

    def _word(self, offset: int, mask: int, values: Sequence[int], holds: int, fails: int) -> int:
        for value in reversed(values):
            fails = self.branch(_JEQ, value, holds, fails)
        if mask != _WORD:
            self._follow(fails)
            fails = self._put(_AND, mask)
        return self.load(offset, fails)

    def load(self, offset: int, then: int) -> int:
        self._follow(then)
        return self._put(_LD_ABS, offset)

    def give(self, value: int) -> int:
        """End with this value; an end that is already there is used again."""
        label = self._ends.get(value, -_REACH)
        if len(self) - label > _REACH // 2:
            label = self._ends[value] = self._put(_RET, value)
        return label

    def branch(self, compare: int, value: int, holds: int, fails: int) -> int:
        holds, fails = self._near(holds), self._near(fails)
        here = len(self)
        return self._put(compare, value, here - holds - 1, here - fails - 1)

    def _near(self, label: int) -> int:
        """Bring a label within reach of a conditional jump; one more instruction may follow."""
        return label if len(self) - label < _REACH - 1 else self._jump(label)

    def _follow(self, label: int) -> None:
        """Make sure that what is put next runs on into `label`."""
        if label != len(self) - 1:
            self._jump(label)

    def _jump(self, label: int) -> int:
        return self._put(_JA, len(self) - label - 1)

    def _put(self, code: int, value: int, holds: int = 0, fails: int = 0) -> int:
        self._backward.append((code, holds, fails, value))
        return len(self) - 1


def filter_installed(size: int) -> Operation:
    """Put the program under the filter that travels as the descriptor ``policy``."""
    return Operation("seccomp", "install_filter", (descriptor("policy"), size))


# --------------------------------------------------------------------------------------------- do


def install_filter(fd: int, size: int) -> None:
    """Install the filter that a descriptor holds; a short one is an error, not a weak filter."""
    program = os.pread(fd, size + 1, 0)
    if len(program) != size:
        raise OSError(EIO, os.strerror(EIO), "filter of another size")
    install(program)


def install(filter_bytes: bytes) -> None:
    """Put this process under the filter for good; it must have no_new_privs (seccomp(2)).

    Raises:
        OSError: EACCES without no_new_privs, EINVAL if the kernel refuses the program.

    """
    seccomp_set_filter(filter_bytes, 0)


VERBS = {"install_filter": Verb(install_filter, "install the seccomp filter, {1} bytes")}
