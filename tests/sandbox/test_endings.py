"""Every way in which a program can end, and in which it can fail to start, has its own answer."""

from __future__ import annotations

import os
import signal

import pytest
from house import House, seconds

from sandboxd.model.job import InputFile
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled

EATER = "import sys; x = b'x' * (200 << 20); sys.exit(0)"


def not_started(house: House, *argv: str, **fields: object) -> str:
    ending = house.run(*argv, **fields).ending
    assert isinstance(ending, NotStarted), ending
    return ending.errno


@pytest.mark.parametrize("code", [0, 1, 42, 124, 126, 127, 128, 137, 139, 255])
def test_an_exit_code_comes_back_as_it_is(house: House, code: int) -> None:
    assert house.shell(f"exit {code}").ending == Exited(code)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "ABRT", "USR1", "SYS", "XCPU"])
def test_a_signal_is_named_and_is_no_exit(house: House, name: str) -> None:
    assert house.shell(f"kill -{name} $$").ending == Signaled(name)


def test_a_real_time_signal_is_named_from_rtmin(house: House) -> None:
    number = signal.SIGRTMIN + 3
    code = f"import os; os.kill(os.getpid(), {number:d})"
    assert house.python(code).ending == Signaled("RTMIN+3")


def test_a_signal_that_ends_a_child_is_the_parents_business(house: House) -> None:
    assert house.shell("sh -c 'kill -9 $$'; exit 3").ending == Exited(3)


def test_a_missing_program_is_not_started(house: House) -> None:
    assert not_started(house, "no-such-program") == "ENOENT"
    assert not_started(house, "/no/such/program") == "ENOENT"
    assert not_started(house, "./missing") == "ENOENT"


def test_a_file_that_is_not_executable_is_not_started(house: House) -> None:
    assert not_started(house, "./plain", files=(InputFile("plain", b"#!/bin/sh\n"),)) == "EACCES"


def test_a_directory_is_not_started(house: House) -> None:
    assert not_started(house, "/usr") == "EACCES"


def test_a_path_below_a_file_is_not_started(house: House) -> None:
    assert not_started(house, "/etc/passwd/program") in {"ENOTDIR", "ENOENT"}


def test_a_script_with_a_missing_interpreter_is_not_started(house: House) -> None:
    script = InputFile("script", b"#!/no/such/interpreter\n", executable=True)
    assert not_started(house, "./script", files=(script,)) == "ENOENT"


@pytest.mark.parametrize("content", [b"\x00\x01garbage", b"", b"echo no shell reads this\n"])
def test_a_file_of_no_known_format_is_not_started(house: House, content: bytes) -> None:
    garbage = InputFile("garbage", content, executable=True)
    assert not_started(house, "./garbage", files=(garbage,)) == "ENOEXEC"


def test_arguments_that_do_not_fit_the_stack_are_not_started(house: House) -> None:
    arguments = ["x" * 120_000] * 4
    limits = Limits(stack_bytes=1 * MIB)
    assert not_started(house, "/bin/true", *arguments, limits=limits) == "E2BIG"


def test_a_missing_working_directory_is_not_started(house: House) -> None:
    assert not_started(house, "/bin/true", working_directory="/usr/missing") == "ENOENT"
    assert not_started(house, "/bin/true", working_directory="/etc/passwd") == "ENOTDIR"


def test_a_working_directory_below_a_writable_place_is_made(house: House) -> None:
    assert house.output("pwd", working_directory="/tmp/a/b") == "/tmp/a/b\n"


def test_a_name_is_found_on_the_jobs_own_path(house: House) -> None:
    tool = InputFile("/tmp/tools/mine", b"#!/bin/sh\necho mine\n", executable=True)
    env = {"PATH": "/nowhere:/etc/passwd:/tmp/tools"}
    assert house.output("mine", files=(tool,), env=env) == "mine\n"
    assert not_started(house, "true", env={"PATH": "/nowhere"}) == "ENOENT"


def test_what_did_not_start_used_no_time_and_wrote_nothing(house: House) -> None:
    result = house.run("no-such-program")
    assert result.usage.wall_time == seconds(0)
    assert (result.stdout.total_bytes, result.stderr.total_bytes) == (0, 0)
    assert "no-such-program" in result.ending.message


def test_the_kernels_oom_kill_is_named_after_its_limit(house: House) -> None:
    result = house.python(EATER, limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")


def test_an_oom_killed_child_counts_even_when_the_parent_exits_with_0(house: House) -> None:
    if not house.host.tree.limits_by("memory"):
        pytest.skip("no memory controller counts OOM kills here")
    script = f'python3 -c "{EATER}"; exit 0'
    result = house.shell(script, limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.usage.oom_kill_count >= 1


def test_a_program_that_kills_itself_with_9_has_no_oom_kill(house: House) -> None:
    result = house.shell("kill -9 $$")
    assert result.usage.oom_kill_count == 0


def test_killing_everything_in_sight_ends_only_the_program(house: House) -> None:
    result = house.python("import os; os.kill(-1, 9)")
    assert result.ending in {Signaled("KILL"), Exited(0), Exited(1)}
    assert house.run("/bin/true").ending == Exited(0)


def test_usage_is_told(house: House) -> None:
    code = "import time; e = time.process_time() + 0.2\nwhile time.process_time() < e: pass"
    usage = house.python(code).usage
    assert usage.cpu_time >= seconds(0.2)
    assert usage.wall_time >= seconds(0.19)
    assert usage.user_time > seconds(0)
    assert usage.peak_memory_bytes > 2 * MIB
    assert usage.setup_time > seconds(0)
    assert os.sysconf("SC_PAGE_SIZE") <= usage.peak_memory_bytes < 64 * MIB


def test_peak_memory_follows_what_was_touched(house: House) -> None:
    if not house.host.tree.limits_by("memory"):
        pytest.skip("sampled, not counted, here")
    base = house.python("pass").usage.peak_memory_bytes
    more = house.python("x = b'x' * (64 << 20)").usage.peak_memory_bytes
    assert 62 * MIB < more - base < 66 * MIB
