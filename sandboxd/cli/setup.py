"""`sandboxd setup`: prepare this host once, as root, so that sandboxd runs here for good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandboxd.errors import HostError

if TYPE_CHECKING:
    from sandboxd.kernel.idmap import Range
    from sandboxd.setup.changes import Change, Step


@click.command(help="Prepare this host, once, as root: user, id range, units. Says what it does.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--undo", "take_back", is_flag=True, help="Take back all that setup has done here.")
@click.option("--user", default="sandboxd", show_default=True, help="The user who serves.")
@click.option(
    "--mode",
    type=click.Choice(["system", "user"]),
    default="system",
    show_default=True,
    help="A system unit, made for a service user; or a unit of an existing user's own manager.",
)
@click.option("--range", "range_text", metavar="START:COUNT", help="Subordinate ids to give.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False),
    default="/",
    help="Prepare the system in this directory instead.",
)
def command(  # noqa: PLR0913 - one a click option
    *, dry_run: bool, take_back: bool, user: str, mode: str, range_text: str | None, root: str
) -> None:
    """Do it, or say it."""
    from sandboxd.setup import changes, plan  # noqa: PLC0415 - `--help` must stay fast

    place = Path(root).resolve()
    if place == Path("/") and os.geteuid() != 0:
        raise HostError("NOT_ROOT", "cannot change this host: only root may", "sudo sandboxd setup")
    wish = plan.Wish(user=user, mode=mode, range=_range(range_text))
    try:
        if take_back:
            _take_back(changes.read_record(place), place, dry_run=dry_run)
        else:
            _prepare(plan.prepared(place, wish), place, dry_run=dry_run)
    except OSError as error:
        raise HostError(
            "SETUP_FILE",
            f"cannot use {error.filename}: {error.strerror}",
            "mend that and run setup again, or take all back by setup --undo",
        ) from error


def _prepare(planned: list[Change], root: Path, *, dry_run: bool) -> None:
    from sandboxd.setup import changes  # noqa: PLC0415 - `--help` must stay fast

    if not planned:
        click.echo("nothing to do")
    elif dry_run:
        for words in filter(None, map(str, planned)):
            click.echo(f"would {words}")
    else:
        changes.apply(planned, root, click.echo)
        click.echo("done; `sandboxd setup --undo` takes it back")


def _take_back(steps: list[Step], root: Path, *, dry_run: bool) -> None:
    from sandboxd.setup import changes  # noqa: PLC0415 - the same

    if not steps:
        click.echo("nothing to do")
    elif dry_run:
        for step in reversed(steps):
            for words in step.change.undo_words():
                click.echo(f"would {words}")
    else:
        changes.undo(root, click.echo)


def _range(text: str | None) -> Range | None:
    from sandboxd.kernel.idmap import LEAST_RANGE, Range  # noqa: PLC0415 - the same

    if text is None:
        return None
    start, _, count = text.partition(":")
    if not (start.isdecimal() and count.isdecimal() and int(start) and int(count) >= LEAST_RANGE):
        raise click.BadParameter(
            f"{text!r} is no START:COUNT with at least {LEAST_RANGE} ids", param_hint="--range"
        )
    return Range(int(start), int(count))
