"""Between the messages of a live job and the values behind them, both ways; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from sandboxd.errors import RequestError, Violation
from sandboxd.model.job import MAX_TERMINAL
from sandboxd.model.outcome import Captured, RunResult
from sandboxd.model.signals import signal_number
from sandboxd.server import wire
from sandboxd.server.wire_values import unreadable
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from sandboxd.model.job import Job
    from sandboxd.runtime.live import Piece

STREAMS = {1: pb.OUTPUT_STREAM_STDOUT, 2: pb.OUTPUT_STREAM_STDERR}
MAX_LIVE_PIECE_BYTES = 1 << 20
DEFAULT_GRACE = timedelta(seconds=10)
MAX_GRACE = timedelta(days=1)
LEAST_TIME = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cancelling:
    """How a job is to be ended."""

    signal: int
    grace: timedelta


def to_live_job(request: pb.AttachRequest) -> tuple[Job, bool]:
    """Give the job that a first message asks for, and whether its input comes live.

    Raises:
        JobError: it has none, or a field of it is at fault.

    """
    if request.WhichOneof("input") != "job":
        raise RequestError(Violation("job", "must be in the first message"))
    return wire.job_from(request.job), not request.job.HasField("stdin")


def to_input(request: pb.AttachRequest, *, takes_input: bool) -> str:
    """Name what a later message says.

    Raises:
        RequestError: it says nothing, or what may not be said.

    """
    said: str | None = request.WhichOneof("input")
    if said is None:
        raise RequestError(Violation("input", "must be one that this server knows"))
    if said == "job":
        raise RequestError(Violation("job", "must be in the first message only"))
    if said == "stdin" and not takes_input:
        raise RequestError(Violation("stdin", "must not come: the job has its own"))
    if len(request.stdin) > MAX_LIVE_PIECE_BYTES:
        rule = f"must be at most {MAX_LIVE_PIECE_BYTES} bytes in one message"
        raise RequestError(Violation("stdin", rule))
    return said


def to_signal(name: str, path: str = "signal.name") -> int:
    """Give a signal's number.

    Raises:
        RequestError: it is none.

    """
    number = signal_number(name)
    if number is None:
        rule = 'must be the name of a signal without SIG, like "TERM" or "RTMIN+3"'
        raise RequestError(Violation(path, rule))
    return number


def to_size(size: pb.WindowSize) -> tuple[int, int]:
    """Give the rows and columns of a terminal.

    Raises:
        RequestError: one is none.

    """
    broken = [
        Violation(f"window_size.{name}", f"must be from 1 to {MAX_TERMINAL}")
        for name in ("rows", "columns")
        if not 0 < getattr(size, name) <= MAX_TERMINAL
    ]
    if broken:
        raise RequestError(*broken)
    return size.rows, size.columns


def to_cancelling(cancel: pb.Cancel, path: str = "cancel") -> Cancelling:
    """Tell how a job is to be ended.

    Raises:
        RequestError: the signal or the grace is none.

    """
    number = to_signal(cancel.signal, f"{path}.signal") if cancel.signal else int(SIGTERM)
    if not cancel.HasField("grace"):
        return Cancelling(number, timedelta() if number == SIGKILL else DEFAULT_GRACE)
    return Cancelling(number, to_duration(cancel.grace, f"{path}.grace", MAX_GRACE))


def to_duration(
    message: Duration, path: str, most: timedelta, least: timedelta = timedelta()
) -> timedelta:
    """Give a duration within its bounds.

    Raises:
        RequestError: it is beyond one.

    """
    try:
        value: timedelta = message.ToTimedelta()
    except (OverflowError, ValueError):  # beyond any calendar
        value = most + timedelta(days=1)
    if not least <= value <= most:
        bounds = f"from {least.total_seconds():g} s to {most.total_seconds():g} s"
        raise RequestError(Violation(path, f"must be {bounds}"))
    return value


def from_started(queue_time: timedelta, setup_time: timedelta) -> pb.AttachResponse:
    """Tell that a program has started."""
    started = pb.Started()
    started.queue_time.FromTimedelta(queue_time)
    started.setup_time.FromTimedelta(setup_time)
    return pb.AttachResponse(started=started)


def from_piece(piece: Piece) -> pb.AttachResponse:
    """Tell of a piece of output."""
    return pb.AttachResponse(output=output_from(piece))


def output_from(piece: Piece) -> pb.Output:
    """Give the message that carries a piece of output."""
    output = pb.Output(stream=STREAMS[piece.stream], offset_bytes=piece.offset, data=piece.data)
    output.time.FromNanoseconds(piece.time_ns)
    return output


def to_result(ended: pb.Ended) -> RunResult:
    """Give the result that an end tells; its output came before.

    Raises:
        HostError: this client cannot read it (reason UNREADABLE_ANSWER).

    """
    try:
        return RunResult(
            outcome=wire.to_outcome(ended.outcome),
            stdout=_captured(ended.stdout_total_bytes),
            stderr=_captured(ended.stderr_total_bytes),
            files=tuple(wire.to_file(file) for file in ended.files),
        )
    except (KeyError, OverflowError) as error:
        raise unreadable() from error


def _captured(total_bytes: int) -> Captured:
    return Captured(b"", total_bytes, truncated=False)


def from_end(result: RunResult) -> pb.AttachResponse:
    """Tell that a program has ended, and how."""
    ended = pb.Ended(
        outcome=wire.from_outcome(result.outcome),
        stdout_total_bytes=result.stdout.total_bytes,
        stderr_total_bytes=result.stderr.total_bytes,
        files=[wire.from_file(file) for file in result.files],
    )
    return pb.AttachResponse(ended=ended)
