"""The oracle: what a policy's text says about a call, read a second time and decided the slow way.

It shares nothing with the compiler but the names of constants and the tables of system calls, which
other tests compare with the kernel's own headers.
"""

from __future__ import annotations

import errno
import itertools
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyseccomp
from bpf import Program, compared_with, disassemble, run

from sandboxd.kernel import seccomp
from sandboxd.model.policy import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sandboxd.model.policy import Policy

RuleTable = dict[str, Any]
Arguments = tuple[int, ...]

# linux/seccomp.h
ALLOW, KILL, ERRNO, NOTIFY = 0x7FFF0000, 0x80000000, 0x00050000, 0x7FC00000
STRICTNESS = (KILL, ERRNO, NOTIFY, ALLOW)
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
# linux/audit.h
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386, ARM, X86_64_BIG_ENDIAN = 0x40000003, 0x40000028, 0x8000003E
X32, NEGATIVE, BEYOND = 0x40000000, 0x80000000, 1 << 32
NOWHERE = -1
"""The number of a call that an architecture does not have; libseccomp has others below it."""

LOW, ALL = 2**32 - 1, 2**64 - 1
ZEROS, ONES = (0,) * 6, (ALL,) * 6
ALIASES = (0, 1 << 32, 1 << 63, LOW << 32)
"""What an `int` does not see: the kernel drops these bits, a filter must not look at them."""


class Call(NamedTuple):
    """One system call, as a filter sees it."""

    machine: int
    number: int
    arguments: Arguments


class Disagreement(NamedTuple):
    """A call for which the filter and the policy's text differ."""

    call: Call
    filter_gave: int
    policy_says: int


def rules_of(text: str, load: Callable[[str], str] | None = None) -> list[RuleTable]:
    """Read the rules of a policy, those that it extends behind its own."""
    table = tomllib.loads(text)
    rules: list[RuleTable] = table.get("rule", [])
    if "extends" not in table:
        return rules
    assert load is not None
    return rules + rules_of(load(table["extends"]), load)


def shipped_text(name: str) -> str:
    return (seccomp.policies_directory() / f"{name}.toml").read_text(encoding="utf-8")


def filters_of(policy: Policy, architecture: str) -> tuple[Program, ...]:
    """Compile a policy: its own filter, and the one that asks, if there is one."""
    rules = seccomp.compile_policy(policy, architecture)
    notices = seccomp.compile_notices(policy, architecture)
    return tuple(disassemble(program) for program in (rules, notices) if program)


@cache
def number_of(name: str, machine: int) -> int:
    number: int = pyseccomp.resolve_syscall(machine, name)
    newer = seccomp.NEWER_CALLS
    if machine == MACHINES["x86_64"]:
        newer = newer | seccomp.NEWER_CALLS_X86
    return number if number != -1 else newer.get(name, NOWHERE)


@cache
def is_known(number: int, machine: int) -> bool:
    try:
        return bool(pyseccomp.resolve_syscall(machine, number))
    except ValueError:
        x86_only = seccomp.NEWER_CALLS_X86 if machine == MACHINES["x86_64"] else {}
        return number in {*seccomp.NEWER_CALLS.values(), *x86_only.values()}


def strictest(programs: Sequence[Program], call: Call) -> int:
    """Give what the kernel makes of several filters' answers (seccomp(2))."""
    answers = [run(program, *call) for program in programs]
    return min(answers, key=lambda answer: STRICTNESS.index(answer & 0xFFFF0000))


class Oracle:
    """One policy on one architecture."""

    def __init__(self, rules: Iterable[RuleTable], architecture: str) -> None:
        self.machine = MACHINES[architecture]
        self.rules: dict[int, list[RuleTable]] = {}
        here = [rule for rule in rules if architecture in rule.get("architectures", MACHINES)]
        for rule in here:
            for number in {number_of(name, self.machine) for name in rule["syscalls"]}:
                if number > NOWHERE:
                    self.rules.setdefault(number, []).append(rule)
        self._holding = {tuple(_one_that_holds(rule)) for rule in here}

    def says(self, call: Call) -> int:
        """Give what a filter has to return."""
        if call.machine != self.machine:
            return KILL
        if self.machine == MACHINES["x86_64"] and X32 <= call.number < NEGATIVE:
            return KILL
        for rule in self.rules.get(call.number, ()):
            if all(_holds(test, call.arguments) for test in rule.get("arguments", ())):
                return _answer(rule)
        known = call.number < NEGATIVE and is_known(call.number, self.machine)
        return EPERM if known and call.number != seccomp.CLONE3 else ENOSYS

    def rules_on(self, number: int) -> list[RuleTable]:
        """Give the rules that decide a call here, in their order."""
        return self.rules.get(number, [])

    def disagreements(self, *programs: Program) -> Iterator[Disagreement]:
        """Compare filters with the policy for each call that could make a difference."""
        for call in self.calls(*programs):
            gave, says = strictest(programs, call), self.says(call)
            if gave != says:
                yield Disagreement(call, gave, says)

    def calls(self, *programs: Program) -> Iterator[Call]:
        """Give every number with every argument that policy or filters speak of, and its aliases.

        The filters' own constants are among them, so that nothing hides between ours.
        """
        compared = [compared_with(program) for program in programs]
        numbers = {value for one, _ in compared for value in one}
        arguments = {value for _, one in compared for value in one}
        near = {value + step for value in numbers for step in (-1, 0, 1)}
        low = sorted({*range(1024), *(number for number in near if 0 <= number < X32)})
        edges = {1 << bit for bit in range(32)} | {(1 << bit) - 1 for bit in range(33)} | near
        far = {*(X32 | n for n in range(1024)), *(BEYOND - 1 - n for n in range(1024)), *edges}
        for number in low:
            for given in self._arguments(number, arguments):
                yield Call(self.machine, number, given)
        for number in sorted(number for number in far if 0 <= number < BEYOND):
            yield Call(self.machine, number, ZEROS)
            yield Call(self.machine, number, ONES)
        for machine in sorted(self._foreign(numbers)):
            for number in (*range(1024), X32, BEYOND - 1):
                yield Call(machine, number, ZEROS)

    def _foreign(self, compared: set[int]) -> set[int]:
        bits = {self.machine ^ 1 << bit for bit in range(32)}
        near = {self.machine - 1, self.machine + 1} | {v for v in compared if v >= X32}
        named = {0, I386, ARM, X86_64_BIG_ENDIAN, *MACHINES.values(), BEYOND - 1}
        return (bits | near | named) - {self.machine}

    def _arguments(self, number: int, constants: set[int]) -> Iterator[Arguments]:
        rules = self.rules.get(number, [])
        yield from (ZEROS, ONES, *self._holding, *_lattice(rules))
        for value in constants:
            yield (value,) * 6
        for rule in (rule for rule in rules if "arguments" in rule):
            holding = _one_that_holds(rule)
            for at in range(6):
                others = constants | {holding[at] ^ 1 << bit for bit in range(64)}
                yield from ((*holding[:at], value, *holding[at + 1 :]) for value in others)


def _answer(rule: RuleTable) -> int:
    refusal: int = ERRNO | getattr(errno, rule.get("errno", "EPERM"))
    return {"allow": ALLOW, "errno": refusal, "kill": KILL, "notify": NOTIFY}[rule["action"]]


def _holds(test: dict[str, Any], arguments: Arguments) -> bool:
    return arguments[test["index"]] & _mask(test) in _values(test)


def _number(value: int | str) -> int:
    names = value.split("|") if isinstance(value, str) else []
    return sum({CONSTANTS[name.strip()] for name in names}) if names else int(value)


def _values(test: dict[str, Any]) -> list[int]:
    value = test["value"]
    return [_number(each) for each in (value if isinstance(value, list) else [value])]


def _mask(test: dict[str, Any]) -> int:
    return _number(test.get("mask", 2 ** test.get("width", 32) - 1))


def _one_that_holds(rule: RuleTable) -> list[int]:
    chosen = [0] * 6
    for test in rule.get("arguments", ()):
        chosen[test["index"]] |= _values(test)[0]
    return chosen


def _lattice(rules: list[RuleTable]) -> Iterator[Arguments]:
    """Give every value that a rule speaks of, its neighbours, and aliases in the bits above 32."""
    points: dict[int, set[int]] = {}
    for test in (test for rule in rules for test in rule.get("arguments", ())):
        mask, here = _mask(test), points.setdefault(test["index"], {0, 3, LOW})
        bits = {1 << bit for bit in range(64) if mask >> bit & 1 and mask not in {LOW, ALL}}
        here.update(v ^ change for v in _values(test) for change in {0, 1, mask, *bits})
    axes = [sorted({v ^ alias for v in here for alias in ALIASES}) for here in points.values()]
    for chosen in itertools.product(*axes):
        arguments = dict(zip(points, chosen, strict=True))
        yield tuple(arguments.get(index, ALL) for index in range(6))
