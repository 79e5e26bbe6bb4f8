"""Policies at work: what `strict` and `build` let run, what ends a job and is named, learning."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from house import SPIN, House, eventually, fewer, seconds

from sandboxd.host import Settings
from sandboxd.kernel import seccomp
from sandboxd.model.job import Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, SyscallDenied
from sandboxd.model.policy import parse_policy
from sandboxd.runtime.learning import Learner, draft

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDING = """
#include <stdio.h>
int main(void) {
    long number, total = 0;
    while (scanf("%ld", &number) == 1) total += number;
    printf("%ld\\n", total);
}
"""
THREADS = """
#include <thread>
#include <vector>
#include <iostream>
int main() {
    long parts[4] = {}, number, total = 0;
    std::vector<long> all;
    while (std::cin >> number) all.push_back(number);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            for (size_t i = t; i < all.size(); i += 4) parts[t] += all[i];
        });
    for (auto &thread : threads) thread.join();
    for (long part : parts) total += part;
    std::cout << total << std::endl;
}
"""
RUSTC = shutil.which("rustc") or ""
RUST = """
use std::io::Read;
fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let sum = move || text.lines().map(|line| line.parse::<i64>().unwrap()).sum::<i64>();
    println!("{}", std::thread::spawn(sum).join().unwrap());
}
"""
NUMBERS = "".join(f"{number}\n" for number in range(1000)).encode()
TOTAL = b"499500\n"
ASKING = """
description = "Ends a job that asks for its parent."
extends = "default"
[[rule]]
syscalls = ["getppid"]
action = "notify"
because = "Only a test asks for it."
"""


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a supervisor with a policy that ends a job at getppid."""
    place = tmp_path_factory.mktemp("policies")
    (place / "asking.toml").write_text(ASKING)
    with House(Settings(policy_directories=(str(place),))) as house:
        yield house


# --- strict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("compiler", "source"), [("gcc", ADDING), ("g++", THREADS)])
def test_strict_runs_a_contest_program(house: House, compiler: str, source: str) -> None:
    result = house.run_built(house.build(compiler, source), policy="strict", stdin=NUMBERS)
    assert (result.ending, result.stdout.data) == (Exited(0), TOTAL)


if RUSTC:  # not for every user of every machine

    def test_strict_runs_a_rust_program(house: House, tmp_path: Path) -> None:
        (tmp_path / "main.rs").write_text(RUST)
        subprocess.run([RUSTC, "-O", "main.rs"], cwd=tmp_path, check=True)
        binary = (tmp_path / "main").read_bytes()
        result = house.run_built(binary, policy="strict", stdin=NUMBERS)
        assert (result.ending, result.stdout.data) == (Exited(0), TOTAL)


def test_strict_runs_a_python_program_with_its_usual_library(house: House) -> None:
    code = """
import bisect, collections, decimal, fractions, functools, heapq, itertools, json, math, random, re
import sys, threading, tempfile, concurrent.futures
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(int, sys.stdin))
with tempfile.TemporaryFile() as file:
    file.write(b'x')
print(total)
"""
    result = house.python(code, policy="strict", stdin=NUMBERS)
    assert (result.ending, result.stdout.data) == (Exited(0), TOTAL), result


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("import os; os.fork()", "clone"),
        ("import os; os.system('true')", "clone"),
        ("import os; os.execv('/bin/true', ['true'])", "execve"),
        ("import ctypes; ctypes.CDLL(None).syscall(322, -1, 0, 0, 0, 0)", "execveat"),
        ("import socket; socket.socket(socket.AF_INET)", "socket"),
        ("import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)", "ptrace"),
    ],
)
def test_strict_ends_a_cheat_and_names_its_call(house: House, code: str, call: str) -> None:
    result = house.python(f"print('before', flush=True); {code}; print('after')", policy="strict")
    assert result.ending == SyscallDenied(call), result
    assert result.stdout.data == b"before\n"


def test_strict_tells_a_missing_program_and_one_without_permission(house: House) -> None:
    for path, errno in (("missing", "ENOENT"), ("/etc/passwd", "EACCES"), ("/usr", "EACCES")):
        ending = house.run(path, policy="strict").ending
        assert isinstance(ending, NotStarted)
        assert ending.errno == errno


def test_a_signal_to_oneself_still_works_in_strict(house: House) -> None:
    assert house.python("import os; os.abort()", policy="strict").ending.signal == "ABRT"  # type: ignore[union-attr]


# --- build ----------------------------------------------------------------------------------------


def test_build_shows_the_machine_and_lets_a_debugger_work(house: House) -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert 'MemTotal' in open('/proc/meminfo').read()
assert libc.personality(0x40000) >= 0, ctypes.get_errno()
data = ctypes.create_string_buffer(b'inside')
class Vector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
mine = ctypes.create_string_buffer(6)
here, there = Vector(ctypes.addressof(mine), 6), Vector(ctypes.addressof(data), 6)
waits, ends = os.pipe()
child = os.fork()
if not child:
    os.close(ends)
    os.read(waits, 1)
    os._exit(0)
got = libc.process_vm_readv(child, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
print(got, mine.raw.decode())
"""
    assert house.evaluate(code, policy="build") == "6 inside\n"


# --- notification ---------------------------------------------------------------------------------


def test_many_processes_that_ask_at_once_end_one_job_and_no_other(asking: House) -> None:
    flood = """
import os
for _ in range(30):
    if os.fork() == 0:
        while True:
            os.getppid()
os.wait()
"""
    running = [asking.start("/usr/bin/python3", "-c", flood, policy="asking") for _ in range(4)]
    beside = [asking.start("/bin/echo", "fine") for _ in range(8)]
    assert [job.result().stdout.data for job in beside] == [b"fine\n"] * 8
    assert [job.result().ending for job in running] == [SyscallDenied("getppid")] * 4
    eventually(lambda: not asking.sandboxed())


def test_a_policy_that_asks_leaves_limits_and_cancelling_alone(asking: House) -> None:
    limits = Limits(cpu_time=seconds(0.2))
    ending = asking.python(SPIN, policy="asking", limits=limits).ending
    assert ending == LimitExceeded("cpu_time")
    sleeping = "import time; print(flush=True); time.sleep(60)"
    running = asking.start("/usr/bin/python3", "-c", sleeping, policy="asking")
    running.wait_for()
    running.cancel()
    eventually(lambda: not asking.sandboxed())


def test_notices_leave_no_descriptor(asking: House) -> None:
    asking.python("import os; os.getppid()", policy="asking")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(fewer(20)):
        asking.python("import os; os.getppid()", policy="asking")
        asking.python("pass", policy="asking")
    assert len(os.listdir("/proc/self/fd")) == before


# --- learning -------------------------------------------------------------------------------------


def learn(house: House, code: str, policy: str = "default") -> Learner:
    learner = Learner(house.host.policies[policy])
    job = Job(argv=("/usr/bin/python3", "-I", "-c", code), policy=policy)
    result = house.do(house.supervisor.run(job, learner=learner))
    assert result.ending == Exited(0), result
    return learner


def test_a_learned_draft_runs_its_program_and_refuses_what_it_did_not_use(
    house: House, tmp_path: Path
) -> None:
    code = "import threading; t = threading.Thread(target=print, args=(42,)); t.start(); t.join()"
    text = draft(learn(house, code), "the program")
    policy = parse_policy(text, "learned")
    assert len(seccomp.compile_policy(policy)) > 0
    (tmp_path / "learned.toml").write_text(text)
    with House(Settings(policy_directories=(str(tmp_path),))) as other:
        assert other.evaluate(code, policy="learned") == "42\n"
        refused = other.python("import os; os.getppid(); os.mkfifo('/tmp/x')", policy="learned")
        assert refused.ending == Exited(1), refused
        assert b"PermissionError" in refused.stderr.data


def test_learning_refuses_what_the_policy_refuses_and_says_so(house: House) -> None:
    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(250, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 1, ctypes.get_errno()
assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == 1
assert libc.syscall(600) == -1 and ctypes.get_errno() == 38
"""
    learner = learn(house, code)
    assert {name for name, _ in learner.refused} >= {"keyctl", "unshare"}
    text = draft(learner, "it")
    assert "#   keyctl (1 times)" in text
    assert not {"keyctl", "unshare"} & {
        name for rule in parse_policy(text, "learned").rules for name in rule.syscalls
    }
