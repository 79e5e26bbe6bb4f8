"""The oracle finds every mistake that is planted for it, in a policy or in a compiled filter."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from bpf import (
    AND,
    CONDITIONAL,
    IF_EQUAL,
    IF_GREATER_OR_EQUAL,
    JUMP,
    LOAD,
    RETURN,
    Instruction,
    NotOursError,
    Program,
    check,
    run,
)
from oracle import (
    ALLOW,
    ENOSYS,
    EPERM,
    I386,
    KILL,
    MACHINES,
    NEGATIVE,
    NOTIFY,
    X32,
    Call,
    Oracle,
    filters_of,
    rules_of,
    strictest,
)

from sandboxd.model.policy import ARCHITECTURES, Policy, PolicyError, parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIAL = """
description = "One rule of each kind."

[[rule]]
syscalls = ["clone"]
action = "allow"
arguments = [{ index = 0, op = "masked_eq", value = 0, mask = "CLONE_NEWUSER|CLONE_NEWNET" }]
because = "threads but no namespaces"

[[rule]]
syscalls = ["ioctl"]
action = "errno"
errno = "EPERM"
arguments = [{ index = 1, op = "eq", value = ["TIOCSTI", "TIOCLINUX"] }]
because = "an int is compared in its low half"

[[rule]]
syscalls = ["ioctl", "read", "write"]
action = "allow"
because = "what is left of it"

[[rule]]
syscalls = ["lseek"]
action = "allow"
arguments = [{ index = 1, op = "eq", value = 0x100000005, width = 64 }]
because = "an offset has all its bits"

[[rule]]
syscalls = ["socket"]
action = "allow"
arguments = [
  { index = 0, op = "eq", value = "AF_INET" },
  { index = 1, op = "masked_eq", value = ["SOCK_STREAM", "SOCK_DGRAM"], mask = "SOCK_TYPE_MASK" },
]
because = "two arguments at once"

[[rule]]
syscalls = ["socket"]
action = "errno"
errno = "EAFNOSUPPORT"
because = "all the other families"

[[rule]]
syscalls = ["reboot"]
action = "kill"
because = "only an attack does that"

[[rule]]
syscalls = ["cachestat"]
action = "errno"
errno = "ENOSYS"
because = "libraries fall back on that"

[[rule]]
syscalls = ["ptrace"]
action = "notify"
because = "somebody has to be told"

[[rule]]
syscalls = ["shutdown"]
action = "notify"
arguments = [{ index = 1, op = "eq", value = 1 }]
because = "told of one argument only"

[[rule]]
syscalls = ["shutdown"]
action = "errno"
errno = "ENOTCONN"
because = "the other arguments are refused"

[[rule]]
syscalls = ["mmap"]
action = "allow"
architectures = ["x86_64"]
because = "on one architecture only"
"""
BPF_TRIAL = '\n[[rule]]\nsyscalls = ["bpf"]\naction = "allow"\nbecause = "a rule too much"\n'


def oracle(architecture: str = "x86_64") -> Oracle:
    return Oracle(rules_of(TRIAL), architecture)


def honest(architecture: str = "x86_64") -> tuple[Program, ...]:
    return filters_of(parse_policy(TRIAL, "trial"), architecture)


def is_noticed(*programs: Program) -> bool:
    try:
        for program in programs:
            check(program)
    except NotOursError:
        return True
    return next(oracle().disagreements(*programs), None) is not None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_honest_filter_passes(architecture: str) -> None:
    assert next(oracle(architecture).disagreements(*honest(architecture)), None) is None


# ---------------------------------------------------------------------------- mistakes in policies


def rewritten(old: str, new: str, count: int = 1) -> Callable[[], Policy]:
    def plant() -> Policy:
        assert TRIAL.count(old) == count, old
        return parse_policy(TRIAL.replace(old, new), "trial")

    return plant


def reordered(call: str) -> Policy:
    """Swap the rules of one call, past the parser, which refuses that by itself."""
    policy = parse_policy(TRIAL, "trial")
    first, second = (at for at, rule in enumerate(policy.rules) if call in rule.syscalls)
    rules = list(policy.rules)
    rules[first], rules[second] = rules[second], rules[first]
    return replace(policy, rules=tuple(rules))


IN_POLICIES = {
    "an int compared in 64 bits": rewritten('"TIOCLINUX"] }', '"TIOCLINUX"], width = 64 }'),
    "an offset compared in 32 bits": rewritten("0x100000005, width = 64", "5"),
    "another offset": rewritten("0x100000005", "0x200000005"),
    "a mask missing": rewritten(
        'op = "masked_eq", value = 0, mask = "CLONE_NEWUSER|CLONE_NEWNET"', 'op = "eq", value = 0'
    ),
    "a flag missing in a mask": rewritten("CLONE_NEWUSER|", ""),
    "a mask too wide": rewritten('"SOCK_TYPE_MASK"', "0xFFFFFFFF"),
    "a value missing": rewritten('["TIOCSTI", "TIOCLINUX"]', '"TIOCSTI"'),
    "a value too much": rewritten('"AF_INET"', '["AF_INET", "AF_NETLINK"]'),
    "another argument": rewritten(
        'index = 1, op = "eq", value = ["TIOC', 'index = 2, op = "eq", value = ["TIOC'
    ),
    "one of two arguments missing": rewritten(
        '  { index = 0, op = "eq", value = "AF_INET" },\n', ""
    ),
    "all arguments missing": rewritten(
        'arguments = [{ index = 1, op = "eq", value = 0x100000005, width = 64 }]', ""
    ),
    "ENOSYS for EPERM": rewritten('"EPERM"', '"ENOSYS"'),
    "EPERM for ENOSYS": rewritten('"ENOSYS"', '"EPERM"'),
    "another errno": rewritten("EAFNOSUPPORT", "EPROTONOSUPPORT"),
    "allow for errno": rewritten('action = "errno"\nerrno = "EAFNOSUPPORT"', 'action = "allow"'),
    "kill for errno": rewritten('action = "errno"\nerrno = "EAFNOSUPPORT"', 'action = "kill"'),
    "errno for kill": rewritten('action = "kill"', 'action = "errno"\nerrno = "EPERM"'),
    "errno for allow": rewritten(
        'action = "allow"\nbecause = "what', 'action = "errno"\nerrno = "EIO"\nbecause = "what'
    ),
    "another call": rewritten('"write"', '"writev"'),
    "a call missing": rewritten(', "write"', ""),
    "a rule too much": rewritten(TRIAL[-20:], TRIAL[-20:] + BPF_TRIAL),
    "another architecture": rewritten('["x86_64"]', '["aarch64"]'),
    "an order swapped": lambda: reordered("ioctl"),
    "another order swapped": lambda: reordered("socket"),
}


@pytest.mark.parametrize("plant", IN_POLICIES.values(), ids=IN_POLICIES)
def test_a_mistake_in_a_policy_is_noticed(plant: Callable[[], Policy]) -> None:
    assert is_noticed(*filters_of(plant(), "x86_64"))


def test_an_order_in_which_a_refusal_is_dead_does_not_even_parse() -> None:
    rules = TRIAL.split("\n\n")
    swapped = "\n\n".join([*rules[:2], rules[3], rules[2], *rules[4:]])
    with pytest.raises(PolicyError, match="ioctl is decided already"):
        parse_policy(swapped, "trial")


# --------------------------------------------------------------------- mistakes in compiled filters


def patched(
    code: int, value: int | None, change: Callable[[Instruction], Instruction]
) -> Callable[[Program], Program]:
    """Change every instruction of this code, with this value unless it is None."""

    def plant(program: Program) -> Program:
        hit = [i[0] == code and value in {None, i[3]} for i in program]
        assert any(hit), (code, value)
        pairs = zip(program, hit, strict=True)
        return tuple(change(instruction) if hit else instruction for instruction, hit in pairs)

    return plant


def valued(value: int) -> Callable[[Instruction], Instruction]:
    return lambda i: (*i[:3], value)


def coded(code: int) -> Callable[[Instruction], Instruction]:
    return lambda i: (code, *i[1:])


def crossed(instruction: Instruction) -> Instruction:
    code, if_true, if_false, value = instruction
    return code, if_false, if_true, value


def shifted(step: int) -> Callable[[Instruction], Instruction]:
    return lambda i: (*i[:3], i[3] + step)


X86_64 = MACHINES["x86_64"]
IF_GREATER, IF_BITS = 0x25, 0x45
IN_FILTERS = {
    "another architecture": patched(IF_EQUAL, X86_64, valued(MACHINES["aarch64"])),
    "i386": patched(IF_EQUAL, X86_64, valued(I386)),
    "no architecture": patched(IF_EQUAL, X86_64, lambda i: (*i[:2], i[1], i[3])),
    "foreign architectures refused, not killed": patched(RETURN, KILL, valued(EPERM)),
    "x32 not killed": patched(IF_GREATER_OR_EQUAL, X32, valued(NEGATIVE - 1)),
    "x32 from the second number on": patched(IF_GREATER_OR_EQUAL, X32, shifted(1)),
    "cancelled calls killed": patched(IF_GREATER_OR_EQUAL, NEGATIVE, valued(2**32 - 1)),
    "unnamed calls allowed": patched(RETURN, EPERM, valued(ALLOW)),
    "unknown calls allowed": patched(RETURN, ENOSYS, valued(ALLOW)),
    "ENOSYS for EPERM": patched(RETURN, EPERM, valued(ENOSYS)),
    "EPERM for ENOSYS": patched(RETURN, ENOSYS, valued(EPERM)),
    "greater for greater or equal": patched(IF_GREATER_OR_EQUAL, None, coded(IF_GREATER)),
    "greater for equal": patched(IF_EQUAL, 0x5412, coded(IF_GREATER)),
    "greater or equal for equal": patched(IF_EQUAL, 0x5412, coded(IF_GREATER_OR_EQUAL)),
    "any bit for equal": patched(IF_EQUAL, 0x5412, coded(IF_BITS)),
    "a mask missing": patched(AND, 0xF, valued(2**32 - 1)),
    "a mask with a bit less": patched(AND, 0x50000000, valued(0x10000000)),
    "a mask with a bit more": patched(AND, 0x50000000, valued(0x50000001)),
    "the high half not compared": patched(LOAD, 28, valued(24)),
    "the low half not compared": patched(LOAD, 24, valued(28)),
    "another argument": patched(LOAD, 16, valued(32)),
    "the architecture taken for the number": patched(LOAD, 0, valued(4)),
    "the instruction pointer taken for an argument": patched(LOAD, 24, valued(8)),
    "branches crossed": patched(IF_EQUAL, 2, crossed),
    "a load beyond the call": patched(LOAD, 16, valued(64)),
    "a load between words": patched(LOAD, 16, valued(17)),
    "no end": lambda program: (*program[:-1], (JUMP, 0, 0, 0)),
    "a jump out of the program": patched(IF_EQUAL, 2, lambda i: (i[0], 255, i[2], i[3])),
    "nothing at all": lambda _: (),
    "only allow": lambda _: ((RETURN, 0, 0, ALLOW),),
    "a back door": lambda p: (
        (LOAD, 0, 0, 56),
        (IF_EQUAL, 0, 1, 0xBEEF),
        (RETURN, 0, 0, ALLOW),
        *p,
    ),
}


@pytest.mark.parametrize("plant", IN_FILTERS.values(), ids=IN_FILTERS)
def test_a_mistake_in_a_filter_is_noticed(plant: Callable[[Program], Program]) -> None:
    rules, notices = honest()
    assert is_noticed(plant(rules), notices)


IN_NOTICES = {
    "asks at nothing": patched(RETURN, NOTIFY, valued(ALLOW)),
    "asks at everything": patched(RETURN, ALLOW, valued(NOTIFY)),
    "kills": patched(RETURN, ALLOW, valued(KILL)),
    "asks at another call": patched(IF_GREATER_OR_EQUAL, 101, shifted(1)),
    "asks at another argument": patched(LOAD, 24, valued(16)),
    "asks at another value": patched(IF_EQUAL, 1, shifted(1)),
    "is missing": lambda _: ((RETURN, 0, 0, ALLOW),),
}


@pytest.mark.parametrize("plant", IN_NOTICES.values(), ids=IN_NOTICES)
def test_a_mistake_in_the_filter_that_asks_is_noticed(plant: Callable[[Program], Program]) -> None:
    rules, notices = honest()
    assert is_noticed(rules, plant(notices))


def mutants(instruction: Instruction) -> Iterator[Instruction]:
    """Give each small mistake that one instruction can be."""
    code, if_true, if_false, value = instruction
    if code == RETURN:
        yield from ((code, 0, 0, other) for other in (ALLOW, KILL, EPERM, ENOSYS))
        yield code, 0, 0, value ^ 1
    elif code == LOAD:
        yield from ((code, 0, 0, offset) for offset in range(0, 64, 4) if offset not in {8, 12})
    elif code in CONDITIONAL:
        yield crossed(instruction)
        yield from ((code, if_true, if_false, v & 2**32 - 1) for v in (value - 1, value + 1))
        yield from ((code, if_true, if_false, value ^ 1 << bit) for bit in range(32))
        yield code, if_true, if_true, value
        yield code, if_false, if_false, value
    elif code == AND:
        yield from ((code, 0, 0, value ^ 1 << bit) for bit in range(32))


def test_a_mistake_in_any_single_instruction_is_noticed() -> None:
    """Only calls that come by an instruction can notice it, so only those are asked again."""
    (program, notices), judge = honest(), oracle()
    passing: dict[int, list[tuple[Call, int]]] = {at: [] for at in range(len(program))}
    for call in judge.calls(program, notices):
        trace: set[int] = set()
        run(program, *call, trace)
        for at in trace:
            passing[at].append((call, judge.says(call)))
    for at, instruction in enumerate(program):
        for mutant in set(mutants(instruction)) - {instruction}:
            wrong = (*program[:at], mutant, *program[at + 1 :])
            with suppress(NotOursError):
                check(wrong)
                both = (wrong, notices)
                assert any(strictest(both, c) != right for c, right in passing[at]), (at, mutant)
