"""`sandboxd run --explain`: the tapes of a job, one described line an operation. Runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandboxd.kernel import idmap, seccomp
from sandboxd.offers import policy_for
from sandboxd.plan import plan_run, root_tape, sandbox_tape
from sandboxd.runtime.tapes import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.host import Host
    from sandboxd.model.job import Job
    from sandboxd.model.tape import Tape

LINE_LENGTH = 160


def explain(job: Job, host: Host) -> str:
    """Describe everything that would be done for this job, in order."""
    policy = policy_for(job, host)
    sizes = len(seccomp.compile_policy(policy)), len(seccomp.compile_notices(policy))
    plan = plan_run(job, host, host.processors[:1], sizes)
    pair = 0 if host.identity.id_count else None
    parts = [
        "maps of the outer namespace (inside outside count)",
        *_indented(idmap.as_text(host.identity.uid_map)),
        "map of a sandbox, within it",
        *_indented(idmap.as_text(idmap.sandbox_map(pair))),
        "cgroup values",
        *(f"  {w.hierarchy or 'v2'}: {w.file} = {w.value}" for w in plan.cgroup_writes),
    ]
    tapes = {
        "root tape (zygote, once)": root_tape(host),
        "sandbox tape (init, before the job is known)": sandbox_tape(host, plan.sandbox),
        "job tape (init)": plan.job_tape,
        "program tape (between fork and exec)": plan.program_tape,
    }
    for title, tape in tapes.items():
        parts += [title, *_lines(tape)]
    return "\n".join(parts)


def _lines(tape: Tape) -> Iterator[str]:
    for operation in tape:
        line = f"  {operation.stage:<22} {VERBS[operation.verb].describe(operation)}"
        yield line if len(line) <= LINE_LENGTH else line[: LINE_LENGTH - 1] + "…"


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in text.splitlines())
