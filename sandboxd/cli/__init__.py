"""The command line: one file per command, each imported only when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import NoReturn

import click

from sandboxd.errors import SandboxdError
from sandboxd.version import __version__

COMMANDS = {
    "run": "Run one program in a fresh sandbox, here and now.",
    "attach": "Run one program live: our input and output are the program's.",
    "group": "Run several programs at once at a server, joined by pipes.",
    "batch": "Run one program over many cases at a server.",
    "serve": "Serve jobs over gRPC.",
    "doctor": "Check this host: what is missing, why, and what mends it.",
    "token": "Make a token for a caller of a server.",
    "job": "Start, list, show, watch and cancel jobs of a server that outlive their caller.",
    "sandbox": "Make sandboxes of a server that stay, run programs and move files in them.",
    "blob": "Store, fetch, list and remove blobs of a server.",
    "host": "Show what this host, or a server's, offers and enforces.",
    "setup": "Prepare this host, once, as root; or take that back.",
    "completion": "Print what a shell needs to complete our commands.",
    "policy": "List, show, check and import seccomp policies.",
}
HOST_FAULT = 125
OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Imports make tens of thousands of objects and no garbage: looking for it would cost 4 ms."""


class LazyGroup(click.Group):
    """Knows the commands' names and imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sandboxd.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sandboxd")
def cli() -> None:
    """Run untrusted programs, each in a never-used sandbox, without root."""


def main() -> NoReturn:
    """Be the program `sandboxd`, and end at once with its exit code.

    An interpreter that takes itself apart first needs 10 ms for it; all that we hold is closed.
    """
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    code = call()
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, AttributeError):  # nobody reads it, or it was closed before we began
        sys.exit(code)
    os._exit(code)


def call() -> int:
    """Do what the command line asks, and give the exit code.

    An error of ours is one line on stderr and exit code 125.
    """
    try:
        # Without its own mode click answers an Exit's code rather than leave by it.
        return cli.main(prog_name="sandboxd", standalone_mode=False) or 0
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        context = error.ctx if isinstance(error, click.UsageError) else None
        return context.params.get("fault_code", HOST_FAULT) if context else HOST_FAULT
    except SandboxdError as error:
        click.echo(f"sandboxd: {error}", err=True)
        return HOST_FAULT
