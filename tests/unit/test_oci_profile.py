"""A profile that is imported becomes a policy which never allows what the profile refuses."""

from __future__ import annotations

import errno
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import (
    ALLOW,
    ENOSYS,
    EPERM,
    ERRNO,
    KILL,
    MACHINES,
    Call,
    filters_of,
    number_of,
    strictest,
)

from sandboxd.kernel.seccomp import Calls
from sandboxd.model.oci_profile import ProfileError, policy_from_profile
from sandboxd.model.policy import parse_policy

X86_64 = MACHINES["x86_64"]
CALLS = {architecture: Calls(architecture) for architecture in MACHINES}
NAMESPACES = 0x7E020000

REALISTIC: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {
            "architecture": "SCMP_ARCH_X86_64",
            "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        },
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        {
            "names": [
                *("read", "write", "openat", "close", "mmap", "exit_group", "execve", "futex"),
                *("_llseek", "socketcall", "wait4", "quantum_leap"),
            ],
            "action": "SCMP_ACT_ALLOW",
        },
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["mseal"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.10"}},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
        },
        *(
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
            }
            for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
        ),
        {
            "names": ["arch_prctl"],
            "action": "SCMP_ACT_ALLOW",
            "includes": {"arches": ["amd64", "x32"]},
        },
        {"names": ["modify_ldt"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
        {
            "names": ["mount", "unshare", "bpf", "clone"],
            "action": "SCMP_ACT_ALLOW",
            "includes": {"caps": ["CAP_SYS_ADMIN"]},
            "comment": "for administrators",
        },
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            "comment": "threads, but \u201cno\u201d namespaces",
            "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]},
        },
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 38,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        {"names": ["reboot", "kexec_load"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["getpid"], "action": "SCMP_ACT_LOG"},
        {"names": ["acct"], "action": "SCMP_ACT_TRAP"},
    ],
}


def is_call(name: str) -> bool:
    try:
        CALLS["x86_64"].number(name)
    except KeyError:
        return False
    return True


def imported(profile: object) -> str:
    text = policy_from_profile(json.dumps(profile), is_call)
    parse_policy(text, "imported")
    return text


def answers(text: str, *calls: str, architecture: str = "x86_64", **arguments: int) -> list[int]:
    """Give what the policy answers to each of these calls, with arguments `a0` to `a5`."""
    filters = filters_of(parse_policy(text, "imported"), architecture)
    machine, given = MACHINES[architecture], tuple(arguments.get(f"a{at}", 0) for at in range(6))
    numbers = (number_of(name, machine) for name in calls)
    return [strictest(filters, Call(machine, number, given)) for number in numbers]


@pytest.fixture(scope="module")
def realistic() -> str:
    return imported(REALISTIC)


def test_what_a_profile_names_is_decided_as_there(realistic: str) -> None:
    assert answers(realistic, "read", "futex", "ptrace", "getpid", "arch_prctl") == [ALLOW] * 5
    assert answers(realistic, "mount", "unshare", "bpf", "mseal", "writev") == [EPERM] * 5
    assert answers(realistic, "reboot", "kexec_load", "acct") == [KILL] * 3
    assert answers(realistic, "clone3") == [ENOSYS]


def test_arguments_are_compared_as_there(realistic: str) -> None:
    families = [answers(realistic, "socket", a0=family)[0] for family in (1, 2, 16, 40, 41)]
    assert families == [ALLOW, ALLOW, ALLOW, EPERM, ALLOW]
    assert answers(realistic, "socket", a0=1 << 32 | 40) == [EPERM], "the kernel sees 40"
    for persona, answer in ((0, ALLOW), (0x20008, ALLOW), (0xFFFFFFFF, ALLOW), (0x40000, EPERM)):
        assert answers(realistic, "personality", a0=persona) == [answer]
    assert answers(realistic, "personality", a0=1 << 32) == [EPERM]
    assert answers(realistic, "clone", a0=0x11 | 1 << 40) == [ALLOW]
    assert answers(realistic, "clone", a0=0x10000011) == [EPERM]


def test_rules_count_on_their_architectures_only(realistic: str) -> None:
    filters = filters_of(parse_policy(realistic, "imported"), "aarch64")
    machine = MACHINES["aarch64"]
    assert strictest(filters, Call(machine, number_of("read", machine), (0,) * 6)) == ALLOW
    text = imported(profile_of({**allow("mlock"), "excludes": {"arches": ["arm64"]}}))
    assert answers(text, "mlock") == [ALLOW]
    assert answers(text, "mlock", architecture="aarch64") == [EPERM]


def test_what_is_not_as_in_the_profile_is_told(realistic: str) -> None:
    told = [line for line in realistic.splitlines() if line.startswith("#")]
    assert any("no such system calls: quantum_leap" in line for line in told)
    assert any("(mount, ...): left out, jobs have no capabilities" in line for line in told)
    assert any("(mseal): left out, the kernel may be older" in line for line in told)
    assert any("(acct): ends the process" in line for line in told)
    assert any("(getpid): allows the call; nothing is written" in line for line in told)


def test_each_rule_says_where_it_comes_from(realistic: str) -> None:
    rules = parse_policy(realistic, "imported").rules
    assert all(rule.because.startswith("By the imported profile, rule ") for rule in rules)
    clone = next(rule for rule in rules if rule.syscalls == ("clone",))
    assert clone.because.endswith("rule 13: threads, but “no” namespaces")


# ------------------------------------------------------------------------------ one rule at a time


def allow(*names: str, **fields: object) -> dict[str, object]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", **fields}


def compare(op: str, value: int, value_two: int = 0, index: int = 0) -> dict[str, object]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


def profile_of(*rules: dict[str, object], **fields: object) -> dict[str, object]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules, **fields}


@pytest.mark.parametrize(
    ("op", "value", "allowed", "refused"),
    [
        ("LT", 0x1000, [0, 0xFFF], [0x1000, 0x1001, 1 << 40, 1 << 63]),
        ("LE", 0xFFFFFFFF, [0, 0xFFFFFFFF], [1 << 32]),
        ("LT", 1, [0], [1, 1 << 32]),
        ("LE", 2**64 - 1, [0, 2**64 - 1], []),
    ],
)
def test_less_than_a_power_of_two_is_a_mask(
    op: str, value: int, allowed: list[int], refused: list[int]
) -> None:
    text = imported(profile_of(allow("lseek", args=[compare(op, value, index=1)])))
    assert [answers(text, "lseek", a1=offset) for offset in allowed] == [[ALLOW]] * len(allowed)
    assert [answers(text, "lseek", a1=offset) for offset in refused] == [[EPERM]] * len(refused)


def test_conditions_on_one_argument_are_alternatives() -> None:
    text = imported(profile_of(allow("socket", args=[compare("EQ", 1), compare("EQ", 2)])))
    assert [answers(text, "socket", a0=family)[0] for family in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]


def test_conditions_on_two_arguments_must_both_hold() -> None:
    both = [compare("EQ", 2), compare("MASKED_EQ", 0xF, 1, index=1)]
    text = imported(profile_of(allow("socket", args=both)))
    given = [(2, 1), (2, 0x801), (2, 2), (1, 1)]
    got = [answers(text, "socket", a0=family, a1=kind)[0] for family, kind in given]
    assert got == [ALLOW, ALLOW, EPERM, EPERM]


def test_a_refusal_of_an_argument_stands_before_the_rule_that_allows_the_rest() -> None:
    refusal = allow("ioctl", args=[compare("EQ", 0x5412, index=1)])
    refusal |= {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.EACCES}
    text = imported(profile_of(allow("ioctl"), refusal))
    for value in (0x5412, 1 << 32 | 0x5412):
        assert answers(text, "ioctl", a1=value) == [ERRNO | errno.EACCES]
    assert answers(text, "ioctl", a1=0x5413) == [ALLOW]


def test_another_default_errno_is_told_but_refused_all_the_same() -> None:
    text = imported(profile_of(allow("read"), defaultErrnoRet=errno.ENOSYS))
    assert "# The profile answers ENOSYS to what it does not name; here EPERM." in text
    assert answers(text, "read", "write") == [ALLOW, EPERM]


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ([], "it: no profile, but list"),
        (profile_of(allow("read"), defaultAction="SCMP_ACT_ALLOW"), "its defaultAction is"),
        ({}, "its defaultAction is None"),
        (profile_of(), "no rule of it is left"),
        (profile_of(allow("quantum_leap")), "no rule of it is left"),
        (profile_of(allow("read"), colour="red"), "unknown key 'colour'"),
        (profile_of(allow("read", colour="red")), "rule 1: unknown key 'colour'"),
        (profile_of(allow("read") | {"action": "SCMP_ACT_NOTIFY"}), "(read): its action is"),
        (profile_of(allow("read") | {"action": "SCMP_ACT_TRACE"}), "'SCMP_ACT_TRACE'"),
        (profile_of(allow("read") | {"action": ["x"]}), "its action is"),
        (profile_of(allow("read") | {"names": "read"}), "names is no list"),
        (profile_of(allow("read") | {"names": [7]}), "names is no list of names"),
        (profile_of(allow("read", args=[compare("GT", 7)])), "(read): 'SCMP_CMP_GT' 7"),
        (profile_of(allow("read", args=[compare("LT", 7)])), "(read): 'SCMP_CMP_LT' 7"),
        (profile_of(allow("read", args=[compare("EQ", 1 << 64)])), "value is 18446744073709551616"),
        (profile_of(allow("read", args=[compare("EQ", 1, index=6)])), "index is 6"),
        (profile_of(allow("read", args=[compare("MASKED_EQ", 1, 2)])), "can never hold"),
        (
            profile_of(
                allow("read", args=[compare("NE", 1)]),
                allow("write"),
                allow("read", args=[compare("NE", 2)]),
            ),
            "rule 1 and rule 3 use SCMP_CMP_NE on read",
        ),
        (
            profile_of(
                {**allow("read", args=[compare("NE", 1)]), "action": "SCMP_ACT_KILL_PROCESS"}
            ),
            "rule 1 (read): SCMP_CMP_NE has no counterpart",
        ),
        (
            profile_of(allow("read"), {"names": ["read"], "action": "SCMP_ACT_KILL"}),
            "rule 1 and rule 2 both decide read",
        ),
        (profile_of({**allow("read"), "action": "SCMP_ACT_ERRNO", "errnoRet": 0}), "errnoRet is 0"),
        (profile_of(allow("read", includes={"minKernel": "new"})), "minKernel is 'new'"),
        (profile_of(allow("read", includes=["x"])), "no condition, but list"),
    ],
)
def test_what_cannot_be_said_is_refused_and_named(profile: object, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        imported(profile)
    assert problem in str(caught.value)
    assert caught.value.reason == "PROFILE_INVALID"


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000, "1" * 5000, "\ud800"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ProfileError, match="cannot import the profile: it"):
        policy_from_profile(text, is_call)


def test_no_name_and_no_comment_can_write_rules_of_its_own() -> None:
    smuggled = '\n[[rule]]\nsyscalls = ["bpf"]\naction = "allow"\nbecause = "let me in"\n#'
    text = imported(
        profile_of(
            allow("read", smuggled, comment=smuggled + '"""'),
            {**allow(smuggled), "action": "SCMP_ACT_LOG"},
            allow("write", comment="\ud800\x7f\x00"),
        )
    )
    names = {name for rule in parse_policy(text, "imported").rules for name in rule.syscalls}
    assert names == {"read", "write"}


# -------------------------------------------------------------------------------- rules at random

SOME = ("read", "socket", "ioctl", "clone3")
WORDS = st.sampled_from([0, 1, 2, 40, 255, 256, 0xFFFFFFFF, 1 << 32, 1 << 32 | 40, 2**64 - 1])
OPS = {
    "SCMP_CMP_EQ": lambda argument, value, _: argument == value,
    "SCMP_CMP_NE": lambda argument, value, _: argument != value,
    "SCMP_CMP_LT": lambda argument, value, _: argument < value,
    "SCMP_CMP_LE": lambda argument, value, _: argument <= value,
    "SCMP_CMP_MASKED_EQ": lambda argument, value, two: argument & value == two,
}
some_arguments = st.builds(
    lambda index, op, value, two: {
        "index": index,
        "op": op,
        "value": value,
        "valueTwo": two & value if op == "SCMP_CMP_MASKED_EQ" else two,
    },
    st.integers(0, 2),
    st.sampled_from(sorted(OPS)),
    WORDS,
    WORDS,
)
some_rules = st.builds(
    lambda names, action, number, arguments: {
        "names": names,
        "action": action,
        "args": arguments,
        **({"errnoRet": number} if action == "SCMP_ACT_ERRNO" else {}),
    },
    st.lists(st.sampled_from(SOME), min_size=1, max_size=2, unique=True),
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL"]),
    st.sampled_from([errno.EPERM, errno.EACCES]),
    st.lists(some_arguments, max_size=2),
)


def holds(rule: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    """Tell whether a rule of a profile covers these arguments, as container runtimes read it."""
    tests = rule["args"]
    met = [OPS[t["op"]](arguments[t["index"]], t["value"], t["valueTwo"]) for t in tests]  # type: ignore[no-untyped-call]
    alternatives = len({test["index"] for test in tests}) < len(tests)
    return any(met) if alternatives else all(met)


@given(
    st.lists(some_rules, min_size=1, max_size=5),
    st.lists(st.tuples(WORDS, WORDS, WORDS, *[st.just(0)] * 3), min_size=1, max_size=8),
)
def test_a_policy_allows_what_its_profile_allows_and_nothing_else(
    rules: list[dict[str, Any]], probes: list[tuple[int, ...]]
) -> None:
    with suppress(ProfileError):
        filters = filters_of(parse_policy(imported(profile_of(*rules)), "imported"), "x86_64")
        for name in SOME:
            mine = [rule for rule in rules if name in rule["names"]]
            for arguments in probes:
                covering = {r["action"] for r in mine if holds(r, arguments)}
                answer = strictest(filters, Call(X86_64, number_of(name, X86_64), arguments))
                if answer == ALLOW:
                    assert "SCMP_ACT_ALLOW" in covering
                elif all(word <= 0xFFFFFFFF for word in arguments):
                    assert covering != {"SCMP_ACT_ALLOW"}
