"""What a judge says about a run: by how it ended, or by the exit code of a checker."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import sandboxd


class Verdict(Enum):
    """The verdicts, by the letters that contestants know."""

    OK = "accepted"
    PC = "partly correct"
    WA = "wrong answer"
    PE = "presentation error"
    TLE = "time limit"
    ILE = "idleness limit"
    MLE = "memory limit"
    OLE = "output limit"
    RE = "runtime error"
    SV = "forbidden system call"
    CE = "compile error"
    JE = "judge's error"
    """Ours or the problem's: nothing is known of the solution, and it must be judged again."""


OF_LIMIT = {
    "cpu_time": Verdict.TLE,
    "wall_time": Verdict.ILE,
    "memory_bytes": Verdict.MLE,
    "output_bytes": Verdict.OLE,
}

GONE = 8
OF_EXIT_CODE = {0: Verdict.OK, 1: Verdict.WA, 2: Verdict.PE, 7: Verdict.PC, GONE: Verdict.WA}
"""Of a checker or an interactor, as testlib's have them: 3 says that it failed itself, 8 that there
was nothing more to read."""
IDLE_FACTOR = 6
"""How much longer than on the processor a solution may take: others may want that, too."""


@dataclass(frozen=True, slots=True)
class Run:
    """A solution on one test."""

    verdict: Verdict
    score: float = 0.0
    """The part of the points, from 0 to 1."""
    note: str = ""
    usage: sandboxd.Usage = field(default_factory=sandboxd.Usage)

    @property
    def failed(self) -> bool:
        """Whether the tests behind it need not be run."""
        return self.verdict not in {Verdict.OK, Verdict.PC}


def verdict_of_ending(result: sandboxd.RunResult) -> Verdict:
    """Judge a solution by its end; OK says that its answer is to be looked at."""
    match result.ending:
        case sandboxd.Exited(0):
            return Verdict.OK
        case sandboxd.LimitExceeded("wall_time") if _was_busy(result.usage):
            return Verdict.TLE
        case sandboxd.LimitExceeded(limit):
            return OF_LIMIT.get(limit, Verdict.RE)
        case sandboxd.SyscallDenied():
            return Verdict.SV
        case sandboxd.NotStarted():
            return Verdict.JE  # it was compiled, so it should start
    # Java's own limit on its heap comes before the sandbox's.
    is_out_of_memory = b"java.lang.OutOfMemoryError" in result.stderr.data
    return Verdict.MLE if is_out_of_memory else Verdict.RE


def _was_busy(usage: sandboxd.Usage) -> bool:
    """Tell who computed, and had to wait for a loaded machine, from who waited for nothing.

    Who had a fifth of the processor time that was its due was busy.
    """
    return 5 * IDLE_FACTOR * usage.cpu_time > usage.wall_time


def run_of(result: sandboxd.RunResult, verdict: Verdict | None = None, note: str = "") -> Run:
    """Make a run of a solution's result; by its ending, unless the verdict is known."""
    verdict = verdict or verdict_of_ending(result)
    score = 1.0 if verdict is Verdict.OK else 0.0
    return Run(verdict, score, note or str(result.ending), result.usage)


def run_of_check(check: sandboxd.RunResult, usage: sandboxd.Usage) -> Run:
    """Make a run of what a checker or an interactor said; `usage` is the solution's."""
    note = check.stderr.data.decode(errors="replace").strip()
    match check.ending:
        case sandboxd.Exited(code) if code in OF_EXIT_CODE:
            verdict = OF_EXIT_CODE[code]
        case ending:
            return Run(Verdict.JE, note=f"the checker's end: {ending} {note}", usage=usage)
    if verdict is not Verdict.PC:
        return Run(verdict, 1.0 if verdict is Verdict.OK else 0.0, note, usage)
    try:
        score = float(note.split()[0])
    except (IndexError, ValueError):
        return Run(Verdict.JE, note=f"the checker gave no points: {note}", usage=usage)
    return Run(verdict, min(max(score, 0.0), 1.0), note, usage)
