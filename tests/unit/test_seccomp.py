"""Filters do what their policies say: compared by interpreting them, and once by the kernel."""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pyseccomp
import pytest
from bpf import Program, disassemble, run
from hypothesis import given
from hypothesis import strategies as st
from oracle import (
    ENOSYS,
    EPERM,
    ZEROS,
    Oracle,
    filters_of,
    number_of,
    rules_of,
    shipped_text,
)

from sandboxd.errors import HostError
from sandboxd.kernel import seccomp
from sandboxd.kernel.seccomp import ALLOW, AUDIT_ARCH, ERRNO, KILL_PROCESS, compile_policy
from sandboxd.model.policy import (
    Action,
    ArgumentTest,
    Policy,
    PolicyError,
    Rule,
    parse_policy,
)

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = seccomp.policies_directory()
SHIPPED = sorted(path.stem for path in DIRECTORY.glob("*.toml"))
every_policy = pytest.mark.parametrize("name", SHIPPED)
every_architecture = pytest.mark.parametrize("architecture", sorted(AUDIT_ARCH))


# ------------------------------------------------------------------------- every shipped policy


def filter_of(name: str, architecture: str = "x86_64") -> Program:
    policy = seccomp.load_policies([DIRECTORY])[name]
    return disassemble(compile_policy(policy, architecture))


@every_architecture
@every_policy
def test_a_filter_does_what_its_policy_says_for_every_number_and_argument(
    name: str, architecture: str
) -> None:
    """Numbers of x32, of foreign architectures and of cancelled calls among them."""
    oracle = Oracle(rules_of(shipped_text(name), shipped_text), architecture)
    policy = seccomp.load_policies([DIRECTORY])[name]
    filters = filters_of(policy, architecture)
    assert next(oracle.disagreements(*filters), None) is None


@every_policy
@every_architecture
def test_a_filter_is_small(name: str, architecture: str) -> None:
    """The kernel walks it for each number when it is installed, that is for each job."""
    assert len(filter_of(name, architecture)) <= 256


# asm-generic/unistd.h, as the kernel's asm/unistd.h for aarch64 includes it
WANTED = ("RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "TIME32_SYSCALLS", "SYS_CLONE3", "MEMFD_SECRET")
HEADERS = {
    "x86_64": "#include <asm/unistd_64.h>",
    "aarch64": "\n".join(
        [*(f"#define __ARCH_WANT_{name}" for name in WANTED), "#include <asm-generic/unistd.h>"]
    ),
}
NO_CALLS = {"syscalls", "arch_specific_syscall"}


def numbers_in_header(architecture: str) -> dict[str, int]:
    """Give the kernel's own table, as old as this machine's headers are."""
    done = subprocess.run(
        ["gcc", "-E", "-dM", "-"],
        input=HEADERS[architecture],
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(re.findall(r"#define __(NR(?:3264)?_\w+) (\w+)", done.stdout))
    values = {name: found.get(value.removeprefix("__"), value) for name, value in found.items()}
    calls = {name[3:]: value for name, value in values.items() if name.startswith("NR_")}
    return {name: int(value) for name, value in calls.items() if name not in NO_CALLS}


@every_architecture
def test_every_calls_number_is_the_kernels_own(architecture: str) -> None:
    if architecture == "x86_64" != os.uname().machine:
        pytest.skip("this machine has no header for x86-64")
    calls, numbers = seccomp.Calls(architecture), numbers_in_header(architecture)
    ours: dict[str, int | None] = {}
    for name in numbers:
        with suppress(KeyError):  # newer than we are
            ours[name] = calls.number(name)
    assert len(ours) > 300
    assert ours == {name: numbers[name] for name in ours}


@every_architecture
def test_our_table_of_newer_calls_agrees_with_libseccomps_and_has_no_gap(architecture: str) -> None:
    known = {
        name: pyseccomp.resolve_syscall(AUDIT_ARCH[architecture], name)
        for name in seccomp.NEWER_CALLS
    }
    assert {n: v for n, v in known.items() if v != -1}.items() <= seccomp.NEWER_CALLS.items()
    numbers = list(seccomp.NEWER_CALLS.values())
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


# ---------------------------------------------------------------- any policy, not only the shipped


SOME_CALLS = ("read", "ioctl", "socket", "getpid", "mseal", "clone3")
BITS = st.sampled_from([1 << 31, 1 << 32, 1 << 63, 0xFFFFFFFF, 0xFFFFFFFF << 32, 1, 2, 0x28])


@st.composite
def argument_tests(draw: st.DrawFn) -> ArgumentTest:
    mask = draw(st.sampled_from([2**32 - 1, 2**64 - 1, 1 << 63, 0xFF, 0xFF << 28]))
    values = draw(st.lists(BITS | st.just(0), max_size=4))
    return ArgumentTest(draw(st.integers(0, 2)), mask, tuple(value & mask for value in values))


RULES = st.builds(
    Rule,
    syscalls=st.lists(st.sampled_from(SOME_CALLS), min_size=1, max_size=3).map(tuple),
    action=st.sampled_from([Action.ALLOW, Action.ERRNO, Action.KILL]),
    because=st.just("only a trial"),
    errno=st.sampled_from([errno.EPERM, errno.EACCES]),
    arguments=st.lists(argument_tests(), max_size=3).map(tuple),
)


def meaning(policy: Policy, call: str, arguments: tuple[int, ...]) -> int:
    for rule in (rule for rule in policy.rules if call in rule.syscalls):
        if all(arguments[test.index] & test.mask in test.values for test in rule.arguments):
            refusal = ERRNO | rule.errno
            return {"allow": ALLOW, "errno": refusal, "kill": KILL_PROCESS}[rule.action.value]
    return ENOSYS if call == "clone3" else EPERM


@given(
    st.lists(RULES, max_size=60).map(tuple),
    st.lists(st.tuples(*[BITS | st.just(0) | st.integers(0, 2**64 - 1)] * 6), min_size=1),
)
def test_any_rules_mean_the_same_when_compiled(
    rules: tuple[Rule, ...], probes: list[tuple[int, ...]]
) -> None:
    policy, machine = Policy("trial", "A trial.", rules), AUDIT_ARCH["x86_64"]
    program = disassemble(compile_policy(policy, "x86_64"))
    for call, arguments in itertools.product(SOME_CALLS, probes):
        got = run(program, machine, number_of(call, machine), arguments)
        assert got == meaning(policy, call, arguments)


def test_blocks_farther_apart_than_a_conditional_jump_reaches_are_found() -> None:
    machine, values = AUDIT_ARCH["x86_64"], tuple(value << 31 | 5 for value in range(50))
    rules = tuple(
        Rule((call,), Action.ALLOW, "a long one", arguments=(ArgumentTest(at, 2**64 - 1, values),))
        for at, call in enumerate(SOME_CALLS[:5])
    )
    program = disassemble(compile_policy(Policy("long", "Long.", rules), "x86_64"))
    assert len(program) > 1000
    for at, call in enumerate(SOME_CALLS[:5]):
        for probe in (change ^ value for value in values for change in (0, 1, 1 << 63)):
            arguments = tuple(probe if index == at else 0 for index in range(6))
            expected = ALLOW if probe in values else EPERM
            assert run(program, machine, number_of(call, machine), arguments) == expected


def policy_of(rule: str) -> Policy:
    head = 'description = "A trial."\n[[rule]]\nbecause = "only a trial"\n'
    return parse_policy(head + rule, "trial")


@every_architecture
def test_a_call_of_another_architecture_is_passed_over(architecture: str) -> None:
    policy = policy_of('syscalls = ["open", "openat", "socketcall", "uretprobe"]\naction = "allow"')
    program, machine = disassemble(compile_policy(policy, architecture)), AUDIT_ARCH[architecture]
    allowed = [number for number in range(1024) if run(program, machine, number, ZEROS) == ALLOW]
    assert allowed == {"x86_64": [2, 257, 335], "aarch64": [56]}[architecture]


def test_a_rule_for_one_architecture_is_silent_on_the_other() -> None:
    policy = policy_of('syscalls = ["read"]\naction = "allow"\narchitectures = ["aarch64"]')
    arm, intel = (compile_policy(policy, architecture) for architecture in sorted(AUDIT_ARCH))
    assert run(disassemble(arm), AUDIT_ARCH["aarch64"], 63, ZEROS) == ALLOW
    assert run(disassemble(intel), AUDIT_ARCH["x86_64"], 0, ZEROS) == EPERM


@pytest.mark.parametrize(
    ("rule", "architecture", "problem"),
    [
        ('syscalls = ["reed"]\naction = "allow"', "x86_64", "there is no system call 'reed'"),
        ('syscalls = ["read"]\naction = "allow"', "sparc", "no filter can be made for sparc"),
    ],
)
def test_what_cannot_be_enforced_is_refused(rule: str, architecture: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        compile_policy(policy_of(rule), architecture)


def test_what_hands_over_the_listener_cannot_be_notified_of() -> None:
    with pytest.raises(PolicyError, match="cannot notify of sendmsg"):
        seccomp.compile_notices(policy_of('syscalls = ["sendmsg"]\naction = "notify"'))


def test_a_policy_that_notifies_of_nothing_has_one_filter() -> None:
    assert not seccomp.compile_notices(policy_of('syscalls = ["read"]\naction = "allow"'))


def test_a_program_longer_than_the_kernel_takes_is_refused() -> None:
    test = ArgumentTest(0, 2**64 - 1, tuple(range(2000)))
    rule = Rule(("read",), Action.ALLOW, "far too much", arguments=(test,))
    with pytest.raises(PolicyError, match="the kernel takes 4096"):
        compile_policy(Policy("long", "Long.", (rule,)), "x86_64")


# ------------------------------------------------------------------------------------------ files


def test_two_policies_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text((DIRECTORY / "default.toml").read_text())
    with pytest.raises(PolicyError, match="has the same name"):
        seccomp.load_policies([DIRECTORY, tmp_path])


def test_an_error_names_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('description = "Mine."\n\n[[rule]]\nsyscalls = ["read"]\n')
    with pytest.raises(PolicyError) as caught:
        seccomp.load_policies([tmp_path])
    assert str(caught.value).startswith(
        f"cannot use policy mine ({tmp_path / 'mine.toml'}, line 3)"
    )


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not a directory"):
        seccomp.load_policies([tmp_path / "nowhere"])


def test_one_policy_is_loaded_alone_with_what_it_extends() -> None:
    everything = seccomp.load_policies([DIRECTORY])
    assert seccomp.load_policies([DIRECTORY], "build") == {"build": everything["build"]}


def test_a_wanted_policy_that_is_not_there_hides_none_of_those_that_are() -> None:
    assert seccomp.load_policies([DIRECTORY], "no-such") == seccomp.load_policies([DIRECTORY])


def test_a_policy_may_extend_one_of_another_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('description = "Mine."\nextends = "default"\n')
    policies = seccomp.load_policies([tmp_path, DIRECTORY])
    assert policies["mine"].rules == policies["default"].rules


def test_the_installing_half_loads_nothing_heavy() -> None:
    """Programs' processes are clones of one that imported this module."""
    check = (
        "import sys, sandboxd.kernel.syscalls; before = set(sys.modules)\n"
        "import sandboxd.kernel.seccomp; print(*set(sys.modules) - before)"
    )
    loaded = set(run_python(check).stdout.split())
    assert "sandboxd.kernel.seccomp" in loaded
    heavy = {"pyseccomp", "tomllib", "re", "json", "hashlib", "pathlib", "dataclasses"}
    assert not loaded & (heavy | {"sandboxd.model.policy"})


# -------------------------------------------------------------- live: what the kernel makes of it

PREAMBLE = """
import ctypes, mmap, os, sys, threading
from pathlib import Path
import prctl
from sandboxd.kernel import seccomp
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    result = libc.syscall(*[ctypes.c_ulong(word) for word in words])
    return result if result >= 0 else -ctypes.get_errno()
program = seccomp.compile_policy(seccomp.load_policies([seccomp.policies_directory()])["default"])
prctl.set_no_new_privs(1)
seccomp.install(program)
"""

on_x86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86-64's")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def filtered(code: str) -> subprocess.CompletedProcess[str]:
    return run_python(PREAMBLE + code)


@on_x86
@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        pytest.param("41, 1 << 32 | 40, 1, 0", errno.EAFNOSUPPORT, id="vsock with bit 32"),
        pytest.param("41, 16, 3, 0", errno.EAFNOSUPPORT, id="netlink"),
        pytest.param("41, 2, 5, 132", errno.EPROTONOSUPPORT, id="sctp"),
        pytest.param("16, 0, 0x5412, 0", errno.EPERM, id="TIOCSTI"),
        pytest.param("16, 0, 1 << 32 | 0x5412, 0", errno.EPERM, id="TIOCSTI with bit 32"),
        pytest.param("16, 0, 1 << 63 | 0x541C, 0", errno.EPERM, id="TIOCLINUX with bit 63"),
        pytest.param("56, 0x10000000 | 17, 0, 0, 0, 0", errno.EPERM, id="clone NEWUSER"),
        pytest.param("272, 0x10000000", errno.EPERM, id="unshare NEWUSER"),
        pytest.param("135, 0x40000", errno.EPERM, id="personality ADDR_NO_RANDOMIZE"),
        pytest.param("302, 1, 7, 0, 0", errno.EPERM, id="prlimit of pid 1"),
        pytest.param("317, 1, 8, 0", errno.EPERM, id="seccomp NEW_LISTENER"),
        pytest.param("425, 1, 0", errno.EPERM, id="io_uring_setup"),
        pytest.param("435, 0, 0", errno.ENOSYS, id="clone3"),
        pytest.param("600", errno.ENOSYS, id="an unknown number"),
        pytest.param("400", errno.ENOSYS, id="a hole in the table"),
    ],
)
def test_the_kernel_refuses(words: str, refusal: int) -> None:
    assert filtered(f"print(call({words}))").stdout == f"{-refusal}\n"


@on_x86
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("call(0x40000000 | 39)", id="x32 getpid"),
        pytest.param(
            "memory = mmap.mmap(-1, 4096, prot=7)\n"
            "memory.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20; int 0x80; ret\n"
            "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()",
            id="int 0x80",
        ),
    ],
)
def test_the_kernel_kills(code: str) -> None:
    assert filtered(code).returncode == -signal.SIGSYS


def test_the_kernel_lets_a_program_do_its_work() -> None:
    work = """
thread = threading.Thread(target=print, args=("a thread",)); thread.start(); thread.join()
import resource, socket, subprocess
sys.stdout.flush()
subprocess.run(["sh", "-c", "echo a child | cat"], check=True)
left, right = socket.socketpair(); left.send(b"a socket"); print(right.recv(9).decode())
soft, hard = resource.prlimit(0, resource.RLIMIT_NOFILE); print("a limit")
"""
    done = filtered(work)
    assert done.stdout.splitlines() == ["a thread", "a child", "a socket", "a limit"], done.stderr
