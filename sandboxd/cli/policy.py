"""`sandboxd policy list|show`: the policies that this host offers, and what each rule is for."""

from __future__ import annotations

import os

import click


@click.group(help="List and show seccomp policies.")
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


def _policies(config_path: str | None) -> dict:  # type: ignore[type-arg]  # imported late
    from sandboxd.cli.config import load  # noqa: PLC0415 - `--help` must stay fast
    from sandboxd.kernel.seccomp import load_policies, policies_directory  # noqa: PLC0415 - the same

    settings = load(config_path, os.environ, {}).settings
    return load_policies((policies_directory(), *settings.policy_directories))
