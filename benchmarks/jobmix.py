"""The mix of jobs that a soak runs: each kind with its share, how it is asked for, what must come.

A judge gives an empty text when a result is what it must be, else what is wrong with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandboxd import Exited, LimitExceeded, Limits, NotStarted, Signaled
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.outcome import FileFault, RunResult

ESCAPE = Path(__file__).resolve().parent.parent / "tests/escape"
sys.path.append(str(ESCAPE))  # the hostile programs, and what their headers mean

from checks import ending_text, unmet  # noqa: E402 - only now it can be found
from corpus import Attack, read  # noqa: E402 - the same

if TYPE_CHECKING:
    from random import Random

MIB = 1 << 20
KEPT = 4096
FLOOD = 8 * MIB
SLEEP = ("/bin/sleep", "30")
MILLISECOND = timedelta(milliseconds=1)
ATTACKS = (
    "between/files_left_behind.py",
    "between/keys_left_for_the_next_job.py",
    "kernel/keyrings.py",
    "memory/anonymous_memory.py",
    "memory/many_small_eaters.py",
    "output/closes_its_streams.py",
    "processes/daemon_double_fork.py",
    "processes/ignores_every_signal.py",
    "processes/kill_everything.py",
    "processes/stopped_children.py",
    "processes/zombie_factory.py",
    "protocol/flood_of_orphans.py",
    "protocol/report_on_standard_output.py",
    "view/process_tree_ends_at_init.py",
)

Judge = Callable[[RunResult], str]


class Ask(NamedTuple):
    """One job to ask for, and the judge of its result."""

    argv: tuple[str, ...]
    judge: Judge
    fields: dict[str, Any]


class Kind(NamedTuple):
    """One kind of job, and of its share in the mix."""

    name: str
    weight: int
    make: Callable[[Random], Ask]
    way: str = "answer"
    """``answer``, or how its client leaves before: ``cancel``, ``deadline``, ``death``."""


def must_end(ending: object, result: RunResult) -> str:
    """Judge by the ending alone."""
    return "" if result.ending == ending else f"{result.ending} instead of {ending}"


def _told(token: bytes, result: RunResult) -> str:
    if result.stdout.data != token:
        return f"it said {result.stdout.data[:80]!r} instead of {token[:80]!r}"
    return must_end(Exited(0), result)


def _token(random: Random) -> bytes:
    return random.randbytes(8).hex().encode()


def fine(random: Random) -> Ask:
    """Say what no other job says: a mixed-up answer is seen."""
    token = _token(random)
    return Ask(("/bin/echo", "-n", token.decode()), partial(_told, token), {})


def reads(random: Random) -> Ask:
    """Give its input back."""
    content = random.randbytes(random.choice((1, 1000, 100_000)))
    return Ask(("/bin/cat",), partial(_told, content), {"stdin": content})


def files(random: Random) -> Ask:
    """Take a file in, bring it out, and ask for one that is not there."""
    content = random.randbytes(random.choice((0, 500, 200_000)))

    def judge(result: RunResult) -> str:
        found = [(file.content, file.fault) for file in result.files]
        if found != [(content, None), (None, FileFault.MISSING)]:
            return f"files came as {[(len(c or b''), fault) for c, fault in found]}"
        return must_end(Exited(0), result)

    fields = {
        "files": (InputFile("in", content),),
        "outputs": (OutputPath("out"), OutputPath("none")),
    }
    return Ask(("/bin/cp", "in", "out"), judge, fields)


def fails(random: Random) -> Ask:
    """End with some exit code."""
    code = random.randrange(1, 256)
    return Ask(("/bin/sh", "-c", f"exit {code}"), partial(must_end, Exited(code)), {})


def crashes(random: Random) -> Ask:
    """End by a signal."""
    name = random.choice(("SEGV", "ABRT", "KILL", "TERM", "BUS"))
    return Ask(("/bin/sh", "-c", f"kill -{name} $$"), partial(must_end, Signaled(name)), {})


def is_missing(_: Random) -> Ask:
    """Name a program that is not there."""

    def judge(result: RunResult) -> str:
        ending = result.ending
        is_so = isinstance(ending, NotStarted) and ending.errno == "ENOENT"
        return "" if is_so else f"{ending} instead of ENOENT"

    return Ask(("/usr/bin/nowhere",), judge, {})


def _limited(limit: str, limits: Limits, *argv: str) -> Callable[[Random], Ask]:
    judge = partial(must_end, LimitExceeded(limit))
    return lambda _: Ask(argv, judge, {"limits": limits})


def forks(_: Random) -> Ask:
    """Have more processes than allowed: refused, and told."""

    def judge(result: RunResult) -> str:
        if "process_count" not in result.outcome.limits_touched:
            return f"{result.ending}: process_count is not told"
        return ""

    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.01 & done; wait"
    return Ask(("/bin/sh", "-c", script), judge, {"limits": Limits(process_count=4)})


def floods(random: Random) -> Ask:
    """Write more than is kept, on both streams."""
    size = random.choice((KEPT + 1, 100_000, FLOOD))

    def judge(result: RunResult) -> str:
        for stream in (result.stdout, result.stderr):
            if (len(stream.data), stream.total_bytes, stream.truncated) != (KEPT, size, True):
                return f"{len(stream.data)} of {stream.total_bytes} bytes instead of {size}"
        return must_end(Exited(0), result)

    script = f"head -c {size} /dev/zero; head -c {size} /dev/zero >&2"
    return Ask(("/bin/sh", "-c", script), judge, {"limits": Limits(output_bytes=KEPT)})


def leaves(_: Random) -> Ask:
    """Run for longer than its client stays."""
    return Ask(SLEEP, partial(must_end, "no answer"), {})


def attack(found: Attack) -> Callable[[Random], Ask]:
    """Run a hostile program: nothing broken, the ending that its header names."""

    def judge(result: RunResult) -> str:
        lines = result.stdout.data.decode(errors="replace").splitlines()
        faults = [line for line in lines if line.startswith("BROKEN")]
        ending = ending_text(result.ending)
        if ending not in found.expect:
            faults.append(f"it ended with: {ending}")
        faults += filter(None, (unmet(result, check, 0) for check in found.checks))
        return "; ".join(faults)

    fields = {
        "files": (InputFile("attack.py", found.path.read_bytes()),),
        "limits": found.limits,
        "stdin": found.stdin,
    }
    argv = ("/usr/bin/python3", "-I", "attack.py", *(("first",) if found.jobs != "one" else ()))
    return lambda _: Ask((*argv, *found.argv), judge, fields)


def mix(rung: str, id_mode: str) -> tuple[Kind, ...]:
    """Give all kinds that keep their promise on such a host; the weights are per mille, about."""
    read_attacks = [read(ESCAPE / "programs" / path) for path in ATTACKS]
    hostile = [
        Kind(f"attack {one.name}", 1, attack(one))
        for one in read_attacks
        if one.is_promised("default", rung, id_mode)
    ]
    short = 60 * MILLISECOND
    busy = Limits(cpu_time=short, wall_time=1000 * short)  # others may have the processors
    spin = "while :; do :; done"
    eat = f"head -c {64 * MIB} /dev/zero | tail -c {60 * MIB} >/dev/null; exit 1"
    return (
        Kind("fine", 480, fine),
        Kind("input", 80, reads),
        Kind("files", 80, files),
        Kind("exit code", 60, fails),
        Kind("crash", 60, crashes),
        Kind("not started", 30, is_missing),
        Kind("cpu_time", 20, _limited("cpu_time", busy, "/bin/sh", "-c", spin)),
        Kind("wall_time", 20, _limited("wall_time", Limits(wall_time=short), *SLEEP)),
        Kind(
            "memory_bytes",
            20,
            _limited("memory_bytes", Limits(memory_bytes=16 * MIB), "/bin/sh", "-c", eat),
        ),
        Kind("process_count", 20, forks),
        Kind("output kept in part", 30, floods),
        Kind(
            "output_bytes",
            20,
            _limited("output_bytes", Limits(output_bytes=KEPT, stop_on_output=True), "yes"),
        ),
        Kind("cancel", 40, leaves, "cancel"),
        Kind("deadline", 20, leaves, "deadline"),
        Kind("client death", 3, leaves, "death"),
        *hostile,
    )


CLIENT = """
import sys, threading, sandboxd
client = sandboxd.SyncClient(sys.argv[1]).__enter__()
threading.Thread(target=client.run, args=(sys.argv[2:],), daemon=True).start()
client.get_host()
print("asked", flush=True)
threading.Event().wait()
"""
"""A client of its own process, to be killed."""
