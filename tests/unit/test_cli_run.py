"""`sandboxd run`, as a script would call it: exit codes, streams, files, no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli import ROOT, clean_environment, require_sandboxing, sandboxd
from google.protobuf.json_format import Parse

from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

EVERY_BYTE = bytes(range(256))


@pytest.fixture(scope="module", autouse=True)
def sandboxing() -> None:
    """See to it that jobs can run here at all."""
    require_sandboxing()


# --- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["true"], 0, b""),
        (["--exclusive-cpus", "true"], 0, b""),
        (["--", "sh", "-c", "exit 7"], 7, b""),
        (["--", "sh", "-c", "exit 137"], 137, b""),
        (["--", "sh", "-c", "kill -9 $$"], 128 + signal.SIGKILL, b"KILL"),
        (["--", "sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM, b"TERM"),
        (["--", "sh", "-c", "kill -36 $$"], 128 + 36, b"RTMIN+2"),
        (["--wall-time", "100ms", "sleep", "60"], 124, b"wall_time"),
        (["--cpu-time", "100ms", "--", "sh", "-c", "while :; do :; done"], 124, b"cpu_time"),
        (["--output", "10", "--stop-on-output", "yes"], 124, b"output_bytes"),
        (["/etc/os-release"], 126, b"/etc/os-release"),
        (["no-such-program"], 127, b"no-such-program"),
        (["./no-such-program"], 127, b"no-such-program"),
        (["--policy", "no-such", "true"], 125, b"no-such"),
        (["--require", "no-such", "true"], 125, b"no-such"),
        (["--memory", "0", "true"], 125, b"limits.memory_bytes"),
        (["--cpus", "nan", "true"], 125, b"limits.cpu_count"),
        (["--address", "unix:/nonexistent/s.sock", "true"], 125, b"sandboxd serve"),
    ],
)
def test_the_exit_code_tells_the_ending_and_one_line_says_why(
    arguments: list[str], code: int, why: bytes
) -> None:
    done = sandboxd("run", *arguments)
    assert done.returncode == code, done
    if not why:
        assert done.stderr == b""
        return
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"sandboxd: ")
    assert why in line


def test_memory_ends_it_with_124() -> None:
    done = sandboxd("run", "--memory", "32MiB", "--", "python3", "-c", "x = b'x' * (200 << 20)")
    assert (done.returncode, done.stderr) == (124, b"sandboxd: limit exceeded: memory_bytes\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--policy", "no-such", "true"],
        ["--memory", "0", "true"],
        ["--memory", "some", "true"],
        ["--cpu-time", "-1s", "true"],
        ["--env", "no-value", "true"],
        ["--file", "a=/no/such/file", "true"],
        ["--file", "../a=/etc/os-release", "true"],
        ["--file", "/etc/a=/etc/os-release", "true"],
        ["--stdin", "/no/such/file", "true"],
        ["--cgroup", "v9", "true"],
        ["--config", "/no/such/file", "true"],
        ["--address", "unix:/nonexistent/s.sock", "true"],
    ],
)
def test_the_fault_code_is_for_all_that_is_no_answer_of_the_program(arguments: list[str]) -> None:
    assert sandboxd("run", *arguments).returncode == 125
    done = sandboxd("run", *arguments[:-1], "--fault-code", "99", arguments[-1])
    assert done.returncode == 99
    assert done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], b"PROGRAM"),
        (["--no-such-option", "true"], b"--no-such-option"),
        (["--cpus"], b"--cpus"),
    ],
)
def test_a_wrong_call_is_125_and_says_what_is_wrong(arguments: list[str], named: bytes) -> None:
    done = sandboxd("run", *arguments)
    assert (done.returncode, done.stdout) == (125, b"")
    assert named in done.stderr


def test_an_option_behind_the_program_is_the_programs() -> None:
    done = sandboxd("run", "echo", "--json", "--memory", "1")
    assert done.stdout == b"--json --memory 1\n"


# --- streams --------------------------------------------------------------------------------------


def test_each_stream_comes_out_as_it_is() -> None:
    done = sandboxd("run", "--", "sh", "-c", "cat; echo err >&2", stdin=b"never read")
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"err\n", 0)


def test_stdin_dash_reads_ours_to_its_end() -> None:
    done = sandboxd("run", "--stdin", "-", "cat", stdin=EVERY_BYTE * 1000)
    assert (done.stdout, done.stderr) == (EVERY_BYTE * 1000, b"")


def test_stdin_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(EVERY_BYTE)
    assert sandboxd("run", "--stdin", tmp_path / "input", "cat").stdout == EVERY_BYTE


def test_merged_stderr_keeps_the_order() -> None:
    done = sandboxd("run", "--merge-stderr", "--", "sh", "-c", "echo a; echo b >&2; echo c")
    assert (done.stdout, done.stderr) == (b"a\nb\nc\n", b"")


def test_a_closed_stdout_does_not_hang_it() -> None:
    command = [sys.executable, "-m", "sandboxd", "run", "--", "sh", "-c", "yes | head -c 1000000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0


def test_the_environment_is_the_defaults_and_what_is_given() -> None:
    done = sandboxd("run", "--env", "A=b=c", "--env", "HOME=/tmp", "env", env={"LEAK": "secret"})
    assert sorted(done.stdout.decode().splitlines()) == [
        "A=b=c",
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "TMPDIR=/tmp",
    ]


# --- json -----------------------------------------------------------------------------------------


def parsed(done: subprocess.CompletedProcess[bytes]) -> pb.RunResponse:
    return Parse(done.stdout, pb.RunResponse())


def test_json_prints_the_answer_and_nothing_else() -> None:
    done = sandboxd("run", "--json", "--", "sh", "-c", "printf 'a\\377'; echo b >&2; exit 3")
    answer = parsed(done)
    assert (done.returncode, done.stderr) == (3, b"")
    assert answer.outcome.exited.exit_code == 3
    assert (answer.stdout.data, answer.stderr.data) == (b"a\xff", b"b\n")
    assert answer.outcome.usage.wall_time.ToMicroseconds() > 0


def test_json_of_a_limit_names_it_as_the_proto_does() -> None:
    done = sandboxd("run", "--json", "--wall-time", "100ms", "sleep", "60")
    assert parsed(done).outcome.limit_exceeded.limit == "wall_time"
    assert b'"limitExceeded"' in done.stdout
    assert (done.returncode, done.stderr) == (124, b"")


def test_json_of_a_missing_program_is_not_started() -> None:
    done = sandboxd("run", "--json", "no-such-program")
    assert parsed(done).outcome.not_started.errno == "ENOENT"
    assert (done.returncode, done.stderr) == (127, b"")


def test_json_of_a_failure_of_ours_prints_no_json() -> None:
    done = sandboxd("run", "--json", "--policy", "no-such", "true")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"no-such" in done.stderr


# --- files ----------------------------------------------------------------------------------------


def test_files_go_in_with_their_mode_and_come_out_below_keep_to(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nmkdir d; cp data d/copy; cp tool d/tool\n")
    tool.chmod(0o755)
    (tmp_path / "data").write_bytes(EVERY_BYTE)
    kept = tmp_path / "kept"
    done = sandboxd(
        *("run", "--file", f"tool={tool}", "--file", f"data={tmp_path}/data"),
        *("--keep", "d/*", "--keep-to", kept, "./tool"),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (kept / "d/copy").read_bytes() == EVERY_BYTE
    assert not os.access(kept / "d/copy", os.X_OK)
    assert os.access(kept / "d/tool", os.X_OK)


def test_kept_files_go_to_the_current_directory_unless_told(tmp_path: Path) -> None:
    done = sandboxd("run", "--keep", "f", "--", "sh", "-c", "echo x > f", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "f").read_text() == "x\n"


def test_a_file_that_cannot_be_kept_is_named_and_changes_no_exit_code(tmp_path: Path) -> None:
    script = "ln -s /etc/passwd link; exit 4"
    done = sandboxd(
        *("run", "--keep", "link", "--keep", "absent", "--keep-to", tmp_path),
        *("--", "sh", "-c", script),
    )
    assert done.returncode == 4
    assert b"'link': link" in done.stderr
    assert b"'absent': missing" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_keep_to_is_never_followed(tmp_path: Path) -> None:
    outside, kept = tmp_path / "outside", tmp_path / "kept"
    outside.mkdir()
    kept.mkdir()
    (outside / "precious").write_text("content")
    (kept / "d").symlink_to(outside)
    (kept / "f").symlink_to(outside / "precious")
    keep = ("run", "--keep-to", kept, "--fault-code", "99")
    done = sandboxd(*keep, "--keep", "d/new", "--", "sh", "-c", "mkdir d; echo x > d/new")
    assert done.returncode == 99, done
    assert b"cannot keep" in done.stderr
    assert b"Traceback" not in done.stderr
    done = sandboxd(*keep, "--keep", "f", "--", "sh", "-c", "echo x > f")
    assert done.returncode == 0, done
    assert (kept / "f").read_text() == "x\n"
    assert not (kept / "f").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "content"


def test_a_keep_to_that_cannot_be_written_is_a_fault_in_one_line() -> None:
    done = sandboxd("run", "--keep", "f", "--keep-to", "/proc/x", "--", "sh", "-c", "echo > f")
    assert done.returncode == 125
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"sandboxd: cannot keep 'f'")


# --- explain, signals, imports --------------------------------------------------------------------


def test_explain_lists_the_stages_in_order_and_runs_nothing(tmp_path: Path) -> None:
    done = sandboxd(
        "run", "--explain", "--keep", "f", "--", "sh", "-c", "echo ran > f", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    tapes = ["root tape", "sandbox tape", "job tape", "program tape"]
    places = [text.index(tape) for tape in tapes]
    assert places == sorted(places)
    documented = (ROOT / "docs/stages.md").read_text(encoding="utf-8")
    stages = {line.split()[0] for line in text[places[0] :].splitlines() if line.startswith("  ")}
    assert {"pivot", "proc", "scratch"} <= stages
    assert all(f"`{stage}`" in documented for stage in stages), stages
    assert list(tmp_path.iterdir()) == []


def test_sigterm_kills_the_job_and_leaves_nothing() -> None:
    command = [sys.executable, "-m", "sandboxd", "run", "--", "sh", "-c", "echo on; sleep 600"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"on\n"
        process.terminate()
        assert process.wait(60) == 130
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("option", ["--json", "--merge-stderr"])
def test_run_imports_no_grpc(option: str) -> None:
    code = f"""
import sys
from sandboxd.cli import call
sys.argv = ["sandboxd", "run", {option!r}, "true"]
assert call() == 0
found = sorted(n for n in sys.modules if n.split(".")[0] in {{"grpc", "grpc_status", "rich"}})
sys.exit(f"imported: {{found}}" if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        timeout=60,
        env=clean_environment(),
    )
    assert (done.returncode, done.stderr) == (0, b"")
