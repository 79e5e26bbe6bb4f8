"""A trial of this host: one real sandbox, the steps behind it one by one, and what follows.

Decides which failed step tells most. Runs `true` as any job is run, in a child of its own: started
as root, that child gives root up, as the server would.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.doctor.checks import findings
from sandboxd.doctor.facts import Facts, Failure, enforcement_facts, gather
from sandboxd.doctor.failures import explain, failure_of
from sandboxd.doctor.finding import Finding, Grade, name_of
from sandboxd.doctor.steps import filter_refusal, in_child, try_steps
from sandboxd.errors import HostError, SandboxdError, StageError
from sandboxd.host import Host, Settings, probe_host
from sandboxd.kernel.syscalls import landlock_abi
from sandboxd.model.job import Job
from sandboxd.model.outcome import Exited
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Trial(NamedTuple):
    """What came of the trial sandbox; all but `ok` is empty when it worked."""

    ok: bool
    step: str = ""
    """The first step that failed."""
    errno: str = ""
    detail: str = ""
    cause: str = ""
    remedy: str = ""


class Examination(NamedTuple):
    """Everything that `doctor` tells."""

    checks: tuple[Finding, ...]
    trial: Trial


class _Refusal(NamedTuple):
    """How the trial failed, and what was said about it there."""

    failure: Failure
    cause: str
    remedy: str


def examine(settings: Settings) -> Examination:
    """Look at everything, run a job, and say what is wrong and why; starts nothing that stays."""
    refusal: _Refusal | None
    try:
        host = probe_host(settings)
    except (SandboxdError, OSError) as error:
        refusal = _refusal_of(error)
        facts = gather(enforcement_facts(None, None, landlock_abi()))
        tried = try_steps(facts.euid, facts.gid)
    else:
        refusal = _run_true(host)
        facts = gather(host.facts, host.slot_count)
        tried = try_steps(host.identity.uid, host.identity.gid)
    filtered = next(iter(in_child(lambda: iter([filter_refusal()]))), errno.EPERM)
    by_step = {step: number for step, number, _ in tried}
    facts = replace(facts, tried=by_step, filter_refusal=filtered)
    if refusal is None:
        checks = findings(replace(facts, ran=True))
        worked = Finding("trial", Grade.PASS, "a job ran to its end in a sandbox", "", "")
        return Examination((*checks, worked), Trial(ok=True))
    failure = _first(refusal.failure, [Failure(*step) for step in tried])
    facts = replace(facts, failure=failure)
    trial = _told(refusal._replace(failure=failure), facts)
    where = " ".join(filter(None, (trial.step, trial.errno, trial.detail)))
    failed = Finding("trial", Grade.FAIL, f"failed at: {where}", trial.cause, trial.remedy)
    return Examination((*findings(facts), failed), trial)


def _first(failure: Failure, tried: list[Failure]) -> Failure:
    """Choose the failure that came first, told as finely as possible.

    The steps map one id only: that newuidmap failed, they cannot tell.
    """
    narrower = next((step for step in tried if step.errno), None)
    return failure if narrower is None or failure.step == "newuidmap" else narrower


def _told(refusal: _Refusal, facts: Facts) -> Trial:
    failure = refusal.failure
    cause, remedy = explain(failure, facts) or (refusal.cause, refusal.remedy)
    number = name_of(failure.errno) if failure.errno else ""
    return Trial(False, failure.step, number, failure.detail, cause, remedy)  # noqa: FBT003 - a field


def _run_true(host: Host) -> _Refusal | None:
    """Run one job in a child; None when it ended well."""

    def attempt() -> Iterator[_Refusal | None]:
        try:
            yield asyncio.run(_one_job(host))
        except Exception as error:  # noqa: BLE001 - whatever it is, the trial has failed by it
            yield _refusal_of(error)

    for answer in in_child(attempt):
        if answer is None:
            return None
        failure, cause, remedy = answer
        return _Refusal(Failure(*failure), cause, remedy)
    return _Refusal(
        Failure("trial", 0), "the process that made the sandbox was killed", "see dmesg"
    )


async def _one_job(host: Host) -> _Refusal | None:
    async with Supervisor(host) as supervisor:
        result = await supervisor.run(Job(argv=("true",)))
    if result.ending == Exited(0):
        return None
    text = f"`true` did not end well in a sandbox: {result.ending}"
    return _Refusal(Failure("program", 0), text, "see whether /usr of this host is complete")


def _refusal_of(error: Exception) -> _Refusal:
    """Say what an error tells: the step behind a HostError is its cause."""
    remedy = error.remedy if isinstance(error, HostError) else ""
    cause = str(error).removesuffix(f"; {remedy}") if remedy else str(error)
    stage = error.__cause__ if isinstance(error, HostError) else error
    if isinstance(stage, StageError):
        return _Refusal(failure_of(stage.stage, stage.errno, stage.detail), cause, remedy)
    if isinstance(error, ImportError):
        return _Refusal(Failure("import", 0, str(error)), cause, "install sandboxd anew")
    if isinstance(error, HostError):
        return _Refusal(Failure(error.reason.lower(), 0), cause, remedy)
    number = getattr(error, "errno", None) or 0
    return _Refusal(Failure("host", number, type(error).__name__), cause, remedy)
