"""What the command line pays before it does anything, and what it leaves when it ends at once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli import clean_environment, require_sandboxing, sandboxd

from sandboxd.cli import COMMANDS
from sandboxd.runtime.launching import launch, launched_ahead

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"asyncio", "ctypes", "google", "grpc", "prctl", "pyroute2", "pyseccomp", "rich", "tomllib"}
"""Each of these costs some milliseconds at least."""


def imported_by(*arguments: str) -> set[str]:
    code = f"""
import sys
from sandboxd.cli import call
sys.argv = ["sandboxd", *{arguments!r}]
code = call()
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=True, env=clean_environment())
    return {name.split(".")[0] for name in done.stderr.decode().split()}


@pytest.mark.parametrize("command", ["", *(name for name in COMMANDS if name != "serve")])
def test_help_imports_nothing_heavy(command: str) -> None:
    assert imported_by(*command.split(), "--help") & HEAVY == set()


def test_what_is_looked_for_would_be_found() -> None:
    assert HEAVY & imported_by("policy", "list") >= {"ctypes", "rich", "tomllib"}


def test_a_command_that_fails_while_its_launcher_starts_says_one_line(tmp_path: Path) -> None:
    config = tmp_path / "sandboxd.toml"
    config.write_text("no_such_setting = 1")
    done = sandboxd("run", "--config", config, "true")
    assert done.returncode == 125
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"sandboxd: cannot use the setting 'no_such_setting'")


def test_a_launcher_that_no_supervisor_took_is_killed_and_reaped() -> None:
    with launched_ahead() as launched:
        assert launched.process.poll() is None
    with pytest.raises(ProcessLookupError):
        os.kill(launched.process.pid, 0)


def test_a_launcher_whose_daemon_goes_before_its_orders_ends_without_a_word() -> None:
    launched = launch()
    launched.channel.close()
    assert launched.process.wait(60) == 0


def test_a_ctrl_c_of_our_terminal_never_reaches_the_launcher() -> None:
    with launched_ahead() as launched:
        assert os.getsid(launched.process.pid) == launched.process.pid


def test_all_output_is_written_though_the_command_ends_at_once() -> None:
    require_sandboxing()
    done = sandboxd("run", "--", "head", "-c", "1000000", "/dev/zero")
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, b"", 1_000_000)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str) -> None:
    ended = sandboxd("completion", shell)
    assert ended.returncode == 0
    assert b"_SANDBOXD_COMPLETE" in ended.stdout


def test_commands_and_options_are_completed() -> None:
    def found(*words: str) -> set[str]:
        line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        ended = sandboxd(env={"_SANDBOXD_COMPLETE": "bash_complete", **line})
        return {line.split(",")[1] for line in ended.stdout.decode().splitlines()}

    assert {"run", "attach", "group", "batch", "sandbox", "job"} <= found("sandboxd", "")
    assert "--memory" in found("sandboxd", "run", "--m")
