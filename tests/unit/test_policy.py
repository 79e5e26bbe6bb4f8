"""A policy is read whole or not at all, and its digest stands for what is enforced."""

from __future__ import annotations

import errno
import json
import socket
import stat
import subprocess
import termios
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import HostError
from sandboxd.model.policy import (
    ARCHITECTURES,
    CONSTANTS,
    Action,
    ArgumentTest,
    PolicyError,
    ProcMode,
    Rule,
    parse_policy,
)

HEAD = 'description = "A trial."\n'
READ = """
[[rule]]
syscalls = ["read"]
action = "allow"
because = "programs read files"
"""
SOCKET = """
[[rule]]
syscalls = ["socket"]
action = "errno"
errno = "EACCES"
arguments = [{ index = 0, op = "eq", value = "AF_UNIX" }]
because = "only for a trial"
"""


def read_with(line: str) -> str:
    return HEAD + READ + line


def with_argument(test: str) -> str:
    return read_with(f"arguments = [{{ {test} }}]")


def arguments_of(test: str) -> tuple[ArgumentTest, ...]:
    return parse_policy(with_argument(test), "trial").rules[0].arguments


def test_a_policy_carries_what_its_file_says() -> None:
    policy = parse_policy(f'proc = "compat"\n{HEAD}{SOCKET}{READ}', "trial")
    assert (policy.name, policy.description, policy.proc) == ("trial", "A trial.", ProcMode.COMPAT)
    assert policy.rules == (
        Rule(
            ("socket",),
            Action.ERRNO,
            "only for a trial",
            errno.EACCES,
            (ArgumentTest(0, 0xFFFFFFFF, (socket.AF_UNIX,)),),
        ),
        Rule(("read",), Action.ALLOW, "programs read files", architectures=ARCHITECTURES),
    )


def test_proc_is_the_subset_unless_the_policy_says_otherwise() -> None:
    assert parse_policy(HEAD + READ, "trial").proc is ProcMode.SUBSET


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('index = 0, op = "eq", value = 7', ArgumentTest(0, 2**32 - 1, (7,))),
        ('index = 5, op = "eq", value = 7, width = 64', ArgumentTest(5, 2**64 - 1, (7,))),
        ('index = 1, op = "eq", value = [1, "AF_INET"]', ArgumentTest(1, 2**32 - 1, (1, 2))),
        (
            'index = 0, op = "masked_eq", value = 0, mask = "CLONE_NEWUSER | CLONE_NEWNET"',
            ArgumentTest(0, 0x50000000, (0,)),
        ),
        (
            'index = 0, op = "masked_eq", value = 0, mask = 0x8000000000, width = 64',
            ArgumentTest(0, 1 << 39, (0,)),
        ),
    ],
)
def test_an_argument_is_compared_in_its_own_width(written: str, meant: ArgumentTest) -> None:
    """The kernel drops the high half of an int; comparing it would let aliases through."""
    assert arguments_of(written) == (meant,)


NOTHING: dict[str, str] = {}
MISTAKES = [
    pytest.param("", "`description` is missing", 0, id="nothing at all"),
    pytest.param(HEAD, "no [[rule]]", 0, id="no rule"),
    pytest.param("description = ", "it is not TOML", 0, id="not TOML"),
    pytest.param(f'\ncolour = "red"\n{HEAD}{READ}', "unknown key 'colour'", 2, id="unknown key"),
    pytest.param(HEAD + 'proc = "all"\n' + READ, "unknown proc 'all'", 2, id="unknown proc"),
    pytest.param(HEAD + "rule = 7\n", "`rule` is not an array", 2, id="rule is no table"),
    pytest.param(HEAD + READ + SOCKET + "errno_ = 1", "unknown key 'errno_'", 8, id="key in rule"),
    pytest.param(
        HEAD + '[[rule]]\nbecause = "none of it"', "unknown action None", 2, id="no action"
    ),
    pytest.param(HEAD + READ.replace("allow", "log"), "unknown action 'log'", 3, id="bad action"),
    pytest.param(
        HEAD + READ.replace("programs read files", "needed"), "no real `because`", 3, id="reason"
    ),
    pytest.param(HEAD + READ.split("because", maxsplit=1)[0], "no real `because`", 3, id="none"),
    pytest.param(HEAD + READ.replace('["read"]', '"read"'), "not a list of names", 3, id="text"),
    pytest.param(HEAD + READ.replace('["read"]', "[]"), "not a list of names", 3, id="no calls"),
    pytest.param(HEAD + READ.replace("read", "Read"), "not a list of names", 3, id="no name"),
    pytest.param(
        HEAD + READ.replace('["read"]', '["read", "read"]'), "names read twice", 3, id="twice"
    ),
    pytest.param(read_with('errno = "EPERM"'), "`errno` with action 'allow'", 3, id="errno"),
    pytest.param(
        HEAD + SOCKET.replace("EACCES", "EOOPS"), "unknown errno 'EOOPS'", 3, id="bad errno"
    ),
    pytest.param(
        HEAD + SOCKET.replace('errno = "EACCES"', ""), "unknown errno None", 3, id="no errno"
    ),
    pytest.param(
        read_with('architectures = ["vax"]'), "unknown architecture 'vax'", 3, id="architecture"
    ),
    pytest.param(read_with("arguments = 3"), "`arguments` is not a list", 3, id="arguments"),
    pytest.param(HEAD + READ + READ, "read is decided already by the rule in line 3", 8, id="dead"),
    pytest.param(
        HEAD + SOCKET + SOCKET.replace("EACCES", "EPERM"), "decided already", 10, id="conflict"
    ),
    pytest.param(
        HEAD + READ.replace("read", "socket") + SOCKET, "decided already", 8, id="never reached"
    ),
    pytest.param(HEAD + 'extends = "ghost"\n', "'ghost', which is not there", 2, id="no base"),
    pytest.param(HEAD + "extends = 3\n", "not the name of a policy", 2, id="bad base"),
]


@pytest.mark.parametrize(("text", "problem", "line"), MISTAKES)
def test_a_mistake_is_refused_with_its_line_and_its_cause(
    text: str, problem: str, line: int
) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, "trial", NOTHING.__getitem__)
    error = caught.value
    assert str(error).startswith("cannot use policy trial (trial.toml")
    assert problem in error.problem
    assert (error.reason, error.line) == ("POLICY_INVALID", line)
    assert isinstance(error, HostError)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('op = "eq", value = 7', "argument `index` is None"),
        ('index = 6, op = "eq", value = 7', "argument `index` is 6"),
        ('index = true, op = "eq", value = 7', "argument `index` is True"),
        ('index = 0, op = "lt", value = 7', "unknown comparison 'lt'"),
        ('index = 0, op = "gt", value = 7', "unknown comparison 'gt'"),
        ('index = 0, op = ["eq"], value = 7', "unknown comparison"),
        ('index = 0, op = "eq", value = 7, width = 16', "argument `width` is 16"),
        ('index = 0, op = "eq", value = 7, mask = 7', "`mask` belongs to masked_eq"),
        ('index = 0, op = "masked_eq", value = 7', "`mask` belongs to masked_eq"),
        ('index = 0, op = "masked_eq", value = 8, mask = 7', "could never hold"),
        ('index = 0, op = "masked_eq", value = 0, mask = 0', "could never hold"),
        ('index = 0, op = "eq", value = []', "could never hold"),
        ('index = 0, op = "eq"', "argument value None"),
        ('index = 0, op = "eq", value = true', "argument value True"),
        ('index = 0, op = "eq", value = -1', "does not fit"),
        ('index = 0, op = "eq", value = 0x100000000', "does not fit"),
        ('index = 0, op = "eq", value = "AF_UNIX|AF_ODD"', "unknown constant 'AF_ODD'"),
        ('index = 0, op = "eq", value = 7, sign = 1', "unknown key 'sign'"),
    ],
)
def test_a_senseless_argument_is_refused(written: str, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        arguments_of(written)
    assert problem in caught.value.problem


def test_rules_of_one_call_may_follow_each_other_while_arguments_differ() -> None:
    rules = parse_policy(HEAD + SOCKET + READ.replace("read", "socket"), "trial").rules
    assert [rule.action for rule in rules] == [Action.ERRNO, Action.ALLOW]


def test_rules_of_different_architectures_do_not_conflict() -> None:
    texts = (READ + f'architectures = ["{name}"]\n' for name in ARCHITECTURES)
    assert len(parse_policy(HEAD + "".join(texts), "trial").rules) == len(ARCHITECTURES)


# ---------------------------------------------------------------------------------------- extends


def test_an_extending_policys_own_rules_come_first() -> None:
    base = f'proc = "compat"\n{HEAD}{READ}'
    own = 'description = "Mine."\nextends = "base"\n' + READ.replace('"allow"', '"kill"')
    policy = parse_policy(own, "mine", {"base": base}.__getitem__)
    assert [rule.action for rule in policy.rules] == [Action.KILL, Action.ALLOW]
    assert (policy.name, policy.description, policy.proc) == ("mine", "Mine.", ProcMode.COMPAT)


def test_an_extending_policy_may_change_proc() -> None:
    own = 'description = "Mine."\nextends = "base"\nproc = "nested"\n'
    policy = parse_policy(own, "mine", {"base": HEAD + READ}.__getitem__)
    assert policy.proc is ProcMode.NESTED


def test_policies_that_extend_each_other_are_refused() -> None:
    texts = {name: f'{HEAD}extends = "{base}"\n' for name, base in ("ab", "bc", "ca")}
    with pytest.raises(PolicyError, match="in a circle: a -> b -> c -> a"):
        parse_policy(texts["a"], "a", texts.__getitem__)


def test_a_mistake_in_an_extended_policy_is_blamed_on_it() -> None:
    with pytest.raises(PolicyError, match=r"cannot use policy base \(base.toml\)"):
        parse_policy(HEAD + 'extends = "base"\n', "mine", {"base": HEAD}.__getitem__)


# ----------------------------------------------------------------------------------------- digest


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "# a remark\n" + READ,
        HEAD.replace("trial", "test") + READ,
        HEAD + READ.replace("files", "all day"),
        'proc = "subset"\n' + HEAD + READ,
        read_with('architectures = ["aarch64", "x86_64"]'),
    ],
)
def test_prose_and_comments_leave_the_digest_alone(text: str) -> None:
    assert parse_policy(text, "other").digest == parse_policy(HEAD + READ, "trial").digest


def test_whatever_is_enforced_changes_the_digest() -> None:
    texts = [
        HEAD + READ,
        HEAD + READ + SOCKET,
        HEAD + SOCKET + READ,
        'proc = "compat"\n' + HEAD + READ,
        HEAD + READ.replace("read", "write"),
        HEAD + READ.replace("allow", "kill"),
        HEAD + READ + 'architectures = ["x86_64"]',
        HEAD + SOCKET,
        HEAD + SOCKET.replace("EACCES", "EPERM"),
        HEAD + SOCKET.replace("AF_UNIX", "AF_INET"),
        HEAD + SOCKET.replace("index = 0", "index = 1"),
        HEAD + SOCKET.replace("value =", "width = 64, value ="),
    ]
    digests = {parse_policy(text, "trial").digest for text in texts}
    assert len(digests) == len(texts)
    assert {len(digest) for digest in digests} == {64}


# -------------------------------------------------------------------------- constants and nonsense


def test_the_constants_are_the_systems() -> None:
    for module in (socket, stat, termios):
        for name in CONSTANTS.keys() & vars(module).keys():
            value = CONSTANTS[name]
            assert value == (stat.S_IFMT(0xFFFF) if name == "S_IFMT" else getattr(module, name))


HEADERS = (
    *("asm/ioctls.h", "linux/fcntl.h", "linux/keyctl.h", "linux/personality.h", "linux/prctl.h"),
    *("linux/sched.h", "linux/seccomp.h", "netinet/in.h", "sys/socket.h", "sys/stat.h"),
)
OURS = {"SOCK_TYPE_MASK", "PER_QUERY"}
"""Names that no header has: the kernel's own use of socket's type, and what personality(2) says."""


def test_the_constants_are_the_kernels() -> None:
    lines = ["#define _GNU_SOURCE", *(f"#include <{header}>" for header in HEADERS)]
    lines += [
        f'_Static_assert((unsigned int) {name} == {value}u, "{name}");'
        for name, value in CONSTANTS.items()
        if name not in OURS
    ]
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-x", "c", "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text('aA_| \n"é', max_size=8)
)
VALUES = SCALARS | st.sampled_from(["allow", "errno", "EPERM", "eq", "AF_UNIX", "read", "a b c"])
KEYS = ("syscalls", "action", "errno", "arguments", "architectures", "because")
FIELDS = ("index", "op", "value", "mask", "width")


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f") if value is not None else "1.5"


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        VALUES
        | st.lists(VALUES, max_size=3)
        | st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES | st.lists(VALUES)), max_size=2),
    )
)
def test_nonsense_is_refused_and_never_breaks(rule: dict[str, Any]) -> None:
    lines = "\n".join(f"{key} = {as_toml(value)}" for key, value in rule.items())
    with suppress(PolicyError):
        policy = parse_policy(f"{HEAD}[[rule]]\n{lines}\n", "trial")
        assert policy.rules[0].syscalls


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text, "trial")
