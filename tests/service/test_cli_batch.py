"""`sandboxd batch`, against a server of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from post import daemon, eventually, marker, sleepers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from post import Daemon

pytestmark = pytest.mark.usefixtures("sandboxing_host")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Daemon]:
    with daemon(tmp_path) as server:
        yield server


def batch(server: Daemon, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandboxd", "batch", "--address", server.unix, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def begun(server: Daemon, *argv: str) -> subprocess.Popen[bytes]:
    """Begin a batch of fifty cases."""
    command = [sys.executable, "-m", "sandboxd", "batch", "--address", server.unix, "--cases", "-"]
    process = subprocess.Popen([*command, "--", *argv], stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(b"{}\n" * 50)
    return process


def test_each_file_is_a_case_and_its_output_one_too(server: Daemon, tmp_path: Path) -> None:
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    for name in ("a", "b", "c"):
        (inputs / name).write_text(f"{name}\n" * 3)
    ran = batch(
        server, "--stdin-dir", str(inputs), "--stdout-dir", str(outputs), "--", "uniq", "-c"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {path.name: path.read_text().split() for path in outputs.iterdir()} == {
        name: ["3", name] for name in ("a", "b", "c")
    }
    assert "3 cases: 3 exit code 0" in ran.stdout


def test_json_tells_each_case_as_it_ends(server: Daemon) -> None:
    lines = '{"name": "good", "stdin": "x"}\n{"argv": ["sh", "-c", "exit 4"]}\n{}\n'
    ran = batch(
        server, "--json", "--cases", "-", "--rule", "stop", "--parallel", "1", "--", "cat",
        stdin=lines,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (1, "")
    good, bad, skipped = (json.loads(line) for line in ran.stdout.splitlines())
    assert (good["index"], good["name"]) == (0, "good")
    assert base64.b64decode(good["response"]["stdout"]["data"]) == b"x"
    assert bad["response"]["outcome"]["exited"] == {"exitCode": 4}
    assert skipped == {"index": 2, "name": "3", "skipped": {"cause": "SKIP_CAUSE_RULE"}}


def test_the_table_names_every_kind_of_end(server: Daemon) -> None:
    unknown = "sha256:" + "0" * 64
    lines = [
        {"argv": ["sh", "-c", "kill -9 $$"]},
        {"argv": ["sleep", "9"], "limits": {"wall_time": "100ms"}},
        {"argv": ["no-such-program"]},
        {"stdin_from": unknown},
    ]
    ran = batch(server, "--cases", "-", "--", "true", stdin="\n".join(map(json.dumps, lines)))
    assert ran.returncode == 1
    for told in ("by signal KILL", "exceeded: wall_time", "no-such-program", "fault: BLOBS_OFF"):
        assert told in ran.stdout


def test_what_is_refused_is_one_line(server: Daemon) -> None:
    line = json.dumps({"limits": {"cpu_time": "9h"}})
    ran = batch(server, "--cases", "-", "--", "true", stdin=line)
    assert (ran.returncode, ran.stdout) == (125, "")
    assert ran.stderr.startswith("sandboxd: cases[0].limits.cpu_time: must be at most")
    for arguments in (("--", "true"), ("--cases", "-", "--batch-time", "soon", "--", "true")):
        wrong = batch(server, *arguments)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (125, False)


async def test_who_interrupts_it_kills_its_jobs(server: Daemon) -> None:
    seconds = marker()
    process = begun(server, "sleep", seconds)
    try:
        await eventually(lambda: sleepers(seconds))
        os.kill(process.pid, signal.SIGINT)
        await eventually(lambda: process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == 130
    await eventually(lambda: not sleepers(seconds))
