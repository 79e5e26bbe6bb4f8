"""`sandboxd token`: a fresh token for a caller, shown once; the server keeps its hash alone."""

from __future__ import annotations

import secrets

import click

TOKEN_BYTES = 32


@click.command(help="Make a token for the caller NAME: print it, and its line for callers.toml.")
@click.argument("name")
def command(name: str) -> None:
    """Print a token on stdout, and on stderr what to do with it."""
    from sandboxd.server.callers import NAME, hash_of  # noqa: PLC0415 - `--help` must stay fast

    if not NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} is no name: up to 64 letters, digits, '_', '.' or '-'")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    click.echo(token)
    click.echo(
        "# The token above is shown this once; give it to the caller. Into callers.toml:\n"
        f'[[caller]]\nname = "{name}"\nroles = ["run"]\ntokens = ["{hash_of(token)}"]',
        err=True,
    )
