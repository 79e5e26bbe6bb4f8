"""`sandboxd completion`: what a shell needs to complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SANDBOXD_COMPLETE"


@click.command(
    help='Print the completion of a shell, for its start file: eval "$(sandboxd completion bash)".'
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the script."""
    from sandboxd.cli import cli  # noqa: PLC0415 - it imports us

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these
    click.echo(kind(cli, {}, "sandboxd", VARIABLE).source())
