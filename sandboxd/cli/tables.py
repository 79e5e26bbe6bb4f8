"""What people see on a terminal: tables, by rich. No decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from sandboxd.model.limits import ROWS, as_text
from sandboxd.server.wire import from_host_response

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sandboxd.model.lasting import SandboxInfo
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


def print_sandboxes(sandboxes: Iterable[SandboxInfo]) -> None:
    """Print one line a sandbox."""
    table = Table(box=None)  # the ids leave no room for lines
    table.add_column("made", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("cpu", justify="right")
    table.add_column("peak", justify="right")
    table.add_column("labels", overflow="fold")
    table.add_column("id", no_wrap=True)  # whole, to be copied
    for sandbox in sandboxes:
        table.add_row(
            sandbox.create_time.astimezone().strftime("%m-%d %H:%M"),
            _state(sandbox),
            f"{sandbox.usage.cpu_time.total_seconds():.1f} s",
            decimal(sandbox.usage.peak_memory_bytes),
            Text(_labels(sandbox)),
            sandbox.id,
        )
    Console().print(table)


def print_sandbox(sandbox: SandboxInfo) -> None:
    """Print a sandbox: facts, and its limits with what holds them."""
    console, usage = Console(), sandbox.usage
    facts = Table(show_header=False, box=None)
    for name, value in (
        ("id", sandbox.id),
        ("state", _state(sandbox)),
        ("labels", _labels(sandbox)),
        ("made", _local(sandbox.create_time)),
        ("ends if unused", _local(sandbox.idle_expire_time)),
        ("ends at the latest", _local(sandbox.expire_time)),
        ("cpu time", f"{usage.cpu_time.total_seconds():.3f} s"),
        ("peak memory", f"{usage.peak_memory_bytes} bytes"),
        ("peak processes", str(usage.peak_process_count or "")),
        ("memory now", f"{usage.memory_bytes} bytes"),
        ("processes now", str(usage.process_count)),
        ("killed for memory", str(usage.oom_kill_count or "")),
        ("policy", sandbox.policy_digest),
    ):
        if value:
            facts.add_row(name, Text(value, overflow="fold"))
    console.print(facts)
    limits = Table("limit", "value", "held by")
    for limit in sandbox.enforced:
        limits.add_row(limit.limit, limit.value, limit.mechanism)
    console.print(limits)


def _state(sandbox: SandboxInfo) -> str:
    if sandbox.paused:
        return "paused"
    return f"{sandbox.running_count} running" if sandbox.running_count else "idle"


def _labels(sandbox: SandboxInfo) -> str:
    return " ".join(f"{key}={value}" for key, value in sandbox.labels.items())


def _local(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _action(rule: Rule) -> str:
    tests = [
        f"arg{test.index} & {test.mask:#x} in {{{', '.join(f'{v:#x}' for v in test.values)}}}"
        for test in rule.arguments
    ]
    action = rule.action.value + (f" {rule.errno}" if rule.errno else "")
    return "\n".join([action, *tests])
