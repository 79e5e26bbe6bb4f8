"""What a command that ran a program says of it: its exit code, and a line when there is a why."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled, SyscallDenied
from sandboxd.model.signals import signal_number

if TYPE_CHECKING:
    from sandboxd.model.outcome import Ending, RunResult

LIMIT_ENDED, FAULT, NOT_EXECUTABLE, NOT_FOUND, BY_SIGNAL = 124, 125, 126, 127, 128


def exit_code_of(result: RunResult) -> int:
    """Give the exit code that tells a result: the program's own wherever it has one."""
    match result.ending:
        case Exited(exit_code):
            return exit_code
        case Signaled(name):
            return BY_SIGNAL + (signal_number(name) or 0)
        case LimitExceeded():
            return LIMIT_ENDED
        case SyscallDenied():
            return BY_SIGNAL + signal.SIGSYS
        case NotStarted(errno):
            return NOT_FOUND if errno == "ENOENT" else NOT_EXECUTABLE


def report(result: RunResult) -> None:
    """Say on stderr, in one line, why it did not simply exit."""
    if not isinstance(result.ending, Exited):
        click.echo(f"sandboxd: {how(result.ending)}", err=True)


def how(ending: Ending) -> str:
    """Say in a few words how a program ended."""
    match ending:
        case Exited(exit_code):
            return f"exit code {exit_code}"
        case Signaled(name):
            return f"ended by signal {name}"
        case LimitExceeded(limit):
            return f"limit exceeded: {limit}"
        case SyscallDenied(name):
            return f"system call denied: {name}"
        case NotStarted(_, message):
            return message
