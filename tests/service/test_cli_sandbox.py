"""`sandboxd sandbox ...`, against a server of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from post import PATIENCE, daemon, eventually, marker, sleepers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from post import Daemon

    Cli = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("sandboxing_host")

GONE = "0" * 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Daemon]:
    with daemon(tmp_path) as server:
        yield server


@pytest.fixture
def cli(server: Daemon) -> Cli:
    """Give what runs `sandboxd sandbox` with some arguments."""

    def run(verb: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command(server, verb), *arguments],
            capture_output=True,
            check=False,
            text=True,
            input=said,
            timeout=PATIENCE,
        )

    return run


def command(server: Daemon, verb: str) -> list[str]:
    start = [sys.executable, "-W", "error", "-m", "sandboxd", "sandbox", verb]
    return [*start, "--address", server.unix]


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def sandbox(cli: Cli) -> str:
    return succeeded(cli("create", "--label", "of=test", "--memory", "128MiB")).strip()


def test_state_stays_between_programs(cli: Cli, sandbox: str) -> None:
    assert succeeded(cli("exec", sandbox, "--", "sh", "-c", "cat > kept", said="typed")) == ""
    assert succeeded(cli("exec", sandbox, "cat", "kept")) == "typed"
    script = "echo $A; pwd; echo wrong >&2; cat; exit 3"
    options = ("--env", "A=1", "--workdir", "/tmp", "--no-stdin")
    done = cli("exec", *options, sandbox, "sh", "-c", script, said="unread")
    assert (done.returncode, done.stdout, done.stderr) == (3, "1\n/tmp\n", "wrong\n")


def test_a_repl_is_talked_to(cli: Cli, sandbox: str) -> None:
    done = cli("exec", sandbox, "python3", "-i", "-q", said="x = 6\nprint(x * 7)\n")
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_endings_are_exit_codes(cli: Cli, sandbox: str) -> None:
    timed = cli("exec", "--wall-time", "100ms", sandbox, "sleep", "60")
    assert (timed.returncode, timed.stderr) == (124, "sandboxd: limit exceeded: wall_time\n")
    assert cli("exec", sandbox, "/no/such").returncode == 127
    assert cli("exec", sandbox, "sh", "-c", "kill -SEGV $$").returncode == 128 + 11
    flood = cli("exec", "--output", "10", "--stop-on-output", sandbox, "yes")
    assert (flood.returncode, len(flood.stdout)) == (124, 10)


def test_a_program_may_be_told_as_json(cli: Cli, sandbox: str) -> None:
    done = cli("exec", "--json", sandbox, "sh", "-c", "cat; echo err >&2; exit 3", said="out")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (3, "")
    assert told["outcome"]["exited"] == {"exitCode": 3}
    assert (told["stdout"]["data"], told["stdout"]["totalBytes"]) == ("b3V0", "3")
    assert told["stderr"]["totalBytes"] == "4"


def test_a_terminal_is_a_shell(cli: Cli, sandbox: str) -> None:
    done = cli("exec", "--terminal", sandbox, "sh", "-c", "tty; stty size; cat", said="typed\n\x04")
    assert "/dev/pts/0" in done.stdout
    assert "24 80" in done.stdout
    assert done.stdout.count("typed") == 2
    assert done.returncode == 0


async def test_a_signal_to_the_command_ends_the_program_and_not_the_sandbox(
    server: Daemon, cli: Cli, sandbox: str
) -> None:
    sleep = marker()
    process = await asyncio.create_subprocess_exec(
        *command(server, "exec"), sandbox, "sleep", sleep, stdin=asyncio.subprocess.DEVNULL
    )
    await eventually(lambda: len(sleepers(sleep)) == 1)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 128 + 15
    assert not sleepers(sleep)
    assert succeeded(await asyncio.to_thread(cli, "exec", sandbox, "echo", "on")) == "on\n"


def test_lists_and_facts_are_tables_or_json(cli: Cli, sandbox: str) -> None:
    other = json.loads(succeeded(cli("create", "--json", "--idle-time", "1h", "--cpu-time", "7s")))
    assert {"id", "createTime", "expireTime", "enforced"} <= other.keys()
    lines = [json.loads(line) for line in succeeded(cli("ls", "--json")).splitlines()]
    assert [line["id"] for line in lines] == [sandbox, other["id"]]
    assert lines[0]["labels"] == {"of": "test"}
    table = succeeded(cli("ls", "--label", "of=test"))
    assert sandbox in table
    assert "idle" in table
    assert other["id"] not in table
    shown = succeeded(cli("show", other["id"]))
    assert other["id"] in shown
    assert "7s" in shown
    assert json.loads(succeeded(cli("show", sandbox, "--json")))["id"] == sandbox


def test_a_sandbox_is_paused_resumed_and_removed(cli: Cli, sandbox: str) -> None:
    succeeded(cli("pause", sandbox))
    assert "paused" in succeeded(cli("ls"))
    refused = cli("exec", sandbox, "true")
    assert refused.returncode == 125
    assert "paused" in refused.stderr
    succeeded(cli("resume", sandbox))
    succeeded(cli("exec", sandbox, "true"))
    done = cli("rm", sandbox, GONE)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert GONE in done.stderr
    assert json.loads(f"[{succeeded(cli('ls', '--json'))}]") == []


def test_files_go_in_and_come_back(cli: Cli, sandbox: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "a.txt").write_text("one")
    (tree / "run").write_text("#!/bin/sh\ncat tree/d/a.txt /tmp/b\n")
    (tree / "run").chmod(0o755)
    (tree / "link").symlink_to("/etc/passwd")
    (tmp_path / "b").write_text("two")
    succeeded(cli("put", sandbox, str(tree), f"/tmp/b={tmp_path}/b", str(tmp_path / "b")))
    assert succeeded(cli("exec", sandbox, "tree/run")) == "onetwo"
    assert "link" not in succeeded(cli("exec", sandbox, "find", "."))
    place = tmp_path / "back"
    succeeded(cli("get", sandbox, "tree/**", "b", "--keep-to", str(place)))
    assert (place / "tree" / "d" / "a.txt").read_text() == "one"
    assert (place / "tree" / "run").stat().st_mode & 0o111
    assert (place / "b").read_text() == "two"
    done = cli("get", sandbox, "no", "b", "--json", "--max-bytes", "1", "--keep-to", str(place))
    lines = {line["path"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert lines["no"]["fault"] == "FILE_FAULT_MISSING"
    assert lines["b"]["fault"] == "FILE_FAULT_TOO_LARGE"


def test_what_fails_is_one_line(cli: Cli, sandbox: str) -> None:
    for verb, *arguments in (
        ("show", GONE),
        ("pause", GONE),
        ("exec", GONE, "true"),
        ("exec", sandbox, "--terminal", "--", "sh"),
        ("exec", "--json", "--terminal", sandbox, "sh"),
        ("create", "--idle-time", "0"),
        ("create", "--memory", "1000GiB"),
        ("create", "--label", "nonsense"),
        ("put", sandbox, "/no/such"),
        ("put", sandbox, "../a=/etc/hostname"),
        ("get", sandbox, "../a"),
    ):
        failed = cli(verb, *arguments)
        assert failed.returncode == 125, (verb, arguments, failed)
        assert failed.stdout == ""
        assert "Traceback" not in failed.stderr
