"""What people see on a terminal: tables, by rich. No decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandboxd.model.limits import ROWS, as_text
from sandboxd.server.wire import from_host_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandboxd.model.policy import Policy, Rule
    from sandboxd.v1 import runner_service_pb2 as pb


def print_host(response: pb.GetHostResponse) -> None:
    """Print a host: facts, limits with what holds them, and what is weaker."""
    console = Console()
    host = from_host_response(response)
    facts = Table(show_header=False, box=None)
    for name, value in (
        ("sandboxd", host.version),
        ("kernel", host.kernel_release),
        ("ids", host.id_mode),
        ("cgroups", host.cgroup_rung),
        ("landlock ABI", host.landlock_abi),
        ("processors", host.processor_count),
        ("slots", host.slot_count),
        ("workers", host.worker_count or 1),
        ("roots", ", ".join(host.roots)),
        ("networks", ", ".join(network.value for network in host.networks)),
        ("policies", ", ".join(host.policies)),
        ("features", ", ".join(host.features)),
    ):
        facts.add_row(name, str(getattr(value, "value", value)))
    console.print(facts)
    limits = Table("limit", "default", "ceiling", "held by")
    for row in ROWS:
        values = (getattr(host.defaults, row.name), getattr(host.ceilings, row.name))
        shown = ["" if value is None else as_text(row, value) for value in values]
        limits.add_row(row.name, *shown, host.mechanisms.get(row.name, "none"))
    console.print(limits)
    if host.weaknesses:
        weak = Table("weaker here", "because")
        weak.add_column("mend it by", overflow="fold")  # whole, to be copied
        for weakness in host.weaknesses:
            weak.add_row(weakness.subject, weakness.cause, weakness.remedy)
        console.print(weak)


def print_policies(policies: Iterable[Policy]) -> None:
    """Print one line a policy."""
    table = Table("policy", "rules", "digest", "for")
    for policy in sorted(policies, key=lambda policy: policy.name):
        count = str(len(policy.rules))
        table.add_row(policy.name, count, policy.digest[:12], policy.description)
    Console().print(table)


def print_policy(policy: Policy, instruction_count: int) -> None:
    """Print a policy rule by rule, each with its reason."""
    console = Console()
    console.print(Text(f"{policy.name}: {policy.description}"))
    console.print(f"digest {policy.digest}, {instruction_count} instructions", highlight=False)
    table = Table("action", "system calls", "because", show_lines=True)
    for rule in policy.rules:
        table.add_row(_action(rule), Text(" ".join(rule.syscalls)), Text(rule.because))
    console.print(table)


def _action(rule: Rule) -> str:
    tests = [
        f"arg{test.index} & {test.mask:#x} in {{{', '.join(f'{v:#x}' for v in test.values)}}}"
        for test in rule.arguments
    ]
    action = rule.action.value + (f" {rule.errno}" if rule.errno else "")
    return "\n".join([action, *tests])
