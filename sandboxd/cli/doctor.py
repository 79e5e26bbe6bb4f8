"""`sandboxd doctor`: what of this host sandboxes need, why it is not there, and what mends it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from sandboxd.doctor.finding import Finding, Grade

if TYPE_CHECKING:
    from sandboxd.trial import Examination

COLOURS = {Grade.PASS: "green", Grade.WEAK: "yellow", Grade.FAIL: "red"}


@click.command(
    help="Check this host and run a trial job. Exit code: 0 if jobs run here, 1 if not. Run it as "
    "the user who will serve, in the cgroup in which the server will run."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--cgroup", help="Force a cgroup rung: v2, v2-bare, v1, none.")
@click.option("--ids", "id_mode", help="Force an id mode: range, single.")
@click.option("--service-user", help="Whom to become when started as root.")
@click.option("--config", "config_path", help="Configuration file.")
def command(config_path: str | None, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401
    """Examine the host and print what was found."""
    try:
        from sandboxd.cli.config import load  # noqa: PLC0415 - `--help` must stay fast
        from sandboxd.trial import examine  # noqa: PLC0415 - the same
    except (ImportError, OSError) as error:  # a library that is not there, or may not be loaded
        _print_broken(error, as_json=as_json)
        raise click.exceptions.Exit(1) from error
    found = examine(load(config_path, os.environ, options).settings)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
    else:
        _print(found)
    raise click.exceptions.Exit(0 if found.trial.ok else 1)


def _as_json(found: Examination) -> dict[str, Any]:
    return {
        "ok": found.trial.ok,
        "checks": [_check_as_json(finding) for finding in found.checks],
        "trial": found.trial._asdict(),
    }


def _check_as_json(finding: Finding) -> dict[str, str]:
    return {**finding._asdict(), "grade": finding.grade.value}


def _print(found: Examination) -> None:
    from rich.console import Console  # noqa: PLC0415 - rich is slow to import
    from rich.table import Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    console = Console()
    table = Table("", "check")
    table.add_column("evidence, cause, remedy", overflow="fold")  # whole, to be copied
    for finding in found.checks:
        lines = [finding.evidence]
        if finding.grade is not Grade.PASS:
            lines += [f"because {finding.cause}", f"mend it by: {finding.remedy}"]
        grade = Text(finding.grade.value, style=COLOURS[finding.grade])
        table.add_row(grade, finding.name, Text("\n".join(lines)))
    console.print(table)
    console.print("Jobs run here." if found.trial.ok else "No job can run here.")


def _print_broken(error: Exception, *, as_json: bool) -> None:
    """Say that sandboxd itself cannot be loaded; then nothing else can be looked at."""
    remedy = "install sandboxd anew, for this interpreter; its libraries need libcap2, libseccomp2"
    cause = "a part of sandboxd or a library that it needs cannot be loaded"
    finding = Finding("installation", Grade.FAIL, str(error), cause, remedy)
    trial = {"ok": False, "step": "import", "errno": "", "detail": str(error)}
    trial |= {"cause": cause, "remedy": remedy}
    if as_json:
        answer = {"ok": False, "checks": [_check_as_json(finding)], "trial": trial}
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"FAIL installation: {error}\nbecause {cause}\nmend it by: {remedy}")
