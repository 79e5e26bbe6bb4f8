"""`sandboxd policy list|show|check|import|learn`: what policies say, and new ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from sandboxd.cli.learn import command as learn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.model.policy import Policy

WRONG = 1


@click.group(help="List, show, check and import seccomp policies.")
def command() -> None:
    """Group of the policy commands."""


@command.command("list", help="List the policies of this host.")
@click.option("--config", "config_path", help="Configuration file.")
def list_(config_path: str | None) -> None:
    """Print one line a policy."""
    from sandboxd.cli.tables import print_policies  # noqa: PLC0415 - rich is slow to import

    print_policies(_policies(config_path).values())


@command.command("show", help="Show a policy: its rules, why, its digest and its size.")
@click.argument("name")
@click.option("--config", "config_path", help="Configuration file.")
def show(name: str, config_path: str | None) -> None:
    """Print one policy, rule by rule."""
    from sandboxd.cli.tables import print_policy  # noqa: PLC0415 - rich is slow to import
    from sandboxd.kernel.seccomp import compile_policy  # noqa: PLC0415 - imports much

    policies = _policies(config_path)
    if name not in policies:
        offered = ", ".join(sorted(policies))
        raise click.ClickException(f"cannot find policy {name!r}; this host offers: {offered}")
    print_policy(policies[name], len(compile_policy(policies[name])) // 8)


@command.command("check", help="Check a policy file: exit code 0, or 1 with what is wrong where.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--config", "config_path", help="Configuration file.")
@click.pass_context
def check(context: click.Context, file: Path, config_path: str | None) -> None:
    """Read one file, with what it extends, and compile it for every architecture."""
    from sandboxd.model.policy import ARCHITECTURES, PolicyError  # noqa: PLC0415 - the same

    try:
        policy = _read(file, config_path)
        sizes = {name: _instruction_count(policy, name, file) for name in ARCHITECTURES}
    except PolicyError as error:
        click.echo(f"sandboxd: {error}", err=True)
        context.exit(WRONG)
    click.echo(f"policy        {policy.name}")
    click.echo(f"digest        {policy.digest}")
    click.echo(f"rules         {len(policy.rules)}")
    instructions = ", ".join(f"{size} on {name}" for name, size in sizes.items())
    click.echo(f"instructions  {instructions}")


@command.command("import", help="Print the policy that an OCI (Docker, Podman) profile amounts to.")
@click.argument("profile", type=click.File("rb"))
def import_(profile: BinaryIO) -> None:
    """Print the TOML of a policy; what is not as in the profile is told in its comments."""
    from sandboxd.model.oci_profile import policy_from_profile  # noqa: PLC0415 - imports much

    text = profile.read().decode("utf-8", "replace")
    click.echo(policy_from_profile(text, _call_checker()), nl=False)


command.add_command(learn)


def _read(file: Path, config_path: str | None) -> Policy:
    """Read a policy that may extend any of this host's, and must not have the name of one."""
    from sandboxd.model.policy import PolicyError, parse_policy  # noqa: PLC0415 - the same

    places: dict[str, Path] = {}
    for directory in _directories(config_path):
        for path in sorted(Path(directory).glob("*.toml")):
            places.setdefault(path.stem, path)
    name = file.stem
    other = places.setdefault(name, file)
    if not other.samefile(file):
        raise PolicyError(name, f"{other} has the same name", "rename it", path=str(file))

    def text_of(name: str) -> str:
        try:
            return places[name].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            path = str(places[name])
            raise PolicyError(name, f"it is unreadable: {error}", path=path) from error

    try:
        return parse_policy(text_of(name), name, text_of)
    except PolicyError as error:
        raise error.lying_at(str(places[error.policy])) from None


def _instruction_count(policy: Policy, architecture: str, file: Path) -> int:
    from sandboxd.kernel.seccomp import compile_notices, compile_policy  # noqa: PLC0415 - the same
    from sandboxd.model.policy import PolicyError  # noqa: PLC0415 - the same

    try:
        programs = (compile_policy(policy, architecture), compile_notices(policy, architecture))
    except PolicyError as error:
        line = _line_of_unknown_call(policy, file)
        path, problem, remedy = str(file), error.problem, error.remedy
        raise PolicyError(policy.name, problem, remedy, line=line, path=path) from None
    return sum(map(len, programs)) // 8


def _line_of_unknown_call(policy: Policy, file: Path) -> int:
    """Find the line of a misspelt call; 0: there is none in this file."""
    is_call = _call_checker()
    unknown = [f'"{n}"' for rule in policy.rules for n in rule.syscalls if not is_call(n)]
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    return next((number for number, line in lines if any(n in line for n in unknown)), 0)


def _call_checker() -> Callable[[str], bool]:
    from sandboxd.kernel.seccomp import Calls  # noqa: PLC0415 - imports much

    calls = Calls()

    def is_call(name: str) -> bool:
        try:
            calls.number(name)
        except KeyError:
            return False
        return True

    return is_call


def _directories(config_path: str | None) -> tuple[str, ...]:
    from sandboxd.cli.config import load  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.kernel.seccomp import policies_directory  # noqa: PLC0415 - the same

    settings = load(config_path, os.environ, {}).settings
    return (str(policies_directory()), *settings.policy_directories)


def _policies(config_path: str | None) -> dict[str, Policy]:
    from sandboxd.kernel.seccomp import load_policies  # noqa: PLC0415 - `--help` must stay fast

    return load_policies(_directories(config_path))
