"""`sandboxd attach` and terminals, as somebody at a shell meets them."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from cli import ROOT, clean_environment, require_sandboxing, sandboxd

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30.0
COMMAND = (sys.executable, "-W", "error", "-m", "sandboxd")


@pytest.fixture(scope="module", autouse=True)
def sandboxing() -> None:
    """See to it that jobs can run here at all."""
    require_sandboxing()


@contextmanager
def attached(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have `sandboxd attach` with pipes to all of its streams."""
    process = subprocess.Popen(
        [*COMMAND, "attach", *arguments],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_lines_are_answered_as_they_come() -> None:
    with attached("--", "sh", "-c", "while read x; do echo got $x; done; exit 3") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in (b"one\n", b"two\n"):
            process.stdin.write(word)
            process.stdin.flush()
            assert process.stdout.readline() == b"got " + word
        process.stdin.close()
        assert process.wait(PATIENCE) == 3


def test_both_streams_are_ours_and_a_given_input_is_read_instead() -> None:
    ended = sandboxd("attach", "--stdin", "/dev/null", "--", "sh", "-c", "cat; echo err >&2")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"err\n")


def test_a_file_as_input_arrives_whole() -> None:
    with open(sys.executable, "rb") as file:
        ended = subprocess.run(
            [*COMMAND, "attach", "--", "wc", "-c"],
            stdin=file,
            stdout=subprocess.PIPE,
            env=clean_environment(),
            check=True,
            cwd=ROOT,
            timeout=PATIENCE,
        )
    assert int(ended.stdout) == os.stat(sys.executable).st_size


def test_the_first_signal_asks_and_the_program_may_comply() -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    with attached("--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 5
        assert process.stdout.read() == b"bye\n"


@pytest.mark.parametrize("second", [True, False])
def test_who_does_not_comply_is_killed_after_the_grace_or_a_second_signal(*, second: bool) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    grace = "60s" if second else "0.1s"
    with attached("--grace", grace, "--wall-time", "60s", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        if second:
            time.sleep(0.2)  # the same signal twice at once is one
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == (130 if second else 128 + signal.SIGKILL)


def test_a_reader_that_leaves_ends_the_program() -> None:
    with attached("--", "yes") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 128 + signal.SIGPIPE


def test_a_fault_of_ours_is_told_apart() -> None:
    ended = sandboxd("attach", "--fault-code", "99", "--policy", "none", "--", "true")
    assert ended.returncode == 99
    assert ended.stderr.startswith(b"sandboxd: cannot find policy 'none'")


# --- at a terminal --------------------------------------------------------------------------------


class Screen:
    """The other side of a terminal: what is typed and what is shown."""

    def __init__(self, *command: str) -> None:
        self.master, slave = os.openpty()
        resize(self.master, 33, 99)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [*COMMAND, *command],
            env=clean_environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        )
        self.shown = b""

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"only {self.shown!r}"
            if select.select([self.master], [], [], left)[0]:
                self.shown += os.read(self.master, 4096)
        self.shown = self.shown.split(text, 1)[1]

    def close(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"
            os.close(self.master)
            os.close(self.slave)


def resize(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@pytest.mark.parametrize("command", ["run", "attach"])
def test_a_shell_at_a_terminal_is_usable(command: str) -> None:
    screen = Screen(command, "--terminal", "--", "bash", "--norc")
    screen.until(b"$ ")
    screen.type(b"stty size; tty\r")
    screen.until(b"33 99\r\n")
    screen.until(b"/dev/pts/0\r\n")
    resize(screen.master, 44, 88)
    screen.type(b"sleep 100\r")
    screen.until(b"sleep 100\r\n")
    screen.type(b"\x03")  # ends the sleep and not the shell
    screen.until(b"^C")
    screen.type(b"echo after: $?; stty size\r")
    screen.until(b"after: 130\r\n44 88\r\n")
    screen.type(b"exit 6\r")
    assert screen.close() == 6


def test_a_terminal_shows_at_once_and_takes_no_json() -> None:
    ended = sandboxd("run", "--terminal", "--json", "--", "true")
    assert ended.returncode == 125
    assert b"--terminal shows what is written at once" in ended.stderr
