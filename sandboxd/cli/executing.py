"""A program in a sandbox that stays, at a server: our streams are the program's, or JSON tells."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from sandboxd.cli.jobs import limits_from, pairs, secret_env, terminal_from
from sandboxd.cli.live import talk
from sandboxd.cli.outcomes import exit_code_of, report
from sandboxd.cli.servers import server_from
from sandboxd.client import Client
from sandboxd.sandboxes import KEPT_BYTES, Kept
from sandboxd.server.wire import to_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandboxd.attached import Attached
    from sandboxd.sandbox_messages import ProgramFields


def run_in(sandbox_id: str, argv: tuple[str, ...], options: dict[str, Any]) -> int:
    """Run a program in a sandbox to its end; give the exit code that tells how it ended.

    Raises:
        SandboxdError: as `Sandbox.exec`.
        Abort: a second signal came.

    """
    fields = _fields(options)
    kept = Kept() if options["as_json"] else None
    if kept is not None:
        fields = {**fields, "output_bytes": fields["output_bytes"] or KEPT_BYTES}
    result = talk(
        _there(sandbox_id, argv, fields, server_from(options)),
        grace=options["grace"],
        terminal=fields["terminal"],
        takes_input=not options["no_stdin"],
        take=kept.take if kept else None,
    )
    if kept is None:
        report(result)
    else:
        from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - only then

        click.echo(MessageToJson(to_response(kept.joined_to(result))))
    return exit_code_of(result)


@asynccontextmanager
async def _there(
    sandbox_id: str,
    argv: tuple[str, ...],
    fields: ProgramFields,
    server: tuple[str, dict[str, Any]],
) -> AsyncIterator[Attached]:
    address, who = server
    async with (
        Client(address, **who) as client,
        client.sandboxes.at(sandbox_id).exec(argv, **fields) as program,
    ):
        yield program


def _fields(options: dict[str, Any]) -> ProgramFields:
    limits = limits_from(options)
    return {
        "env": pairs(options["env"]),
        "secret_env": secret_env(options["secret_env"]),
        "working_directory": options["workdir"],
        "merge_stderr": options["merge_stderr"],
        "terminal": terminal_from(options),
        "wall_time": limits.wall_time,
        "output_bytes": limits.output_bytes,
        "stop_on_output": limits.stop_on_output,
        "no_stdin": options["no_stdin"],
    }
