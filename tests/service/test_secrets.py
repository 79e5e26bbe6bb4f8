"""What a client sent is in no log, error, audit line, listing or core, however its call ends."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from calls import begun
from guards import bearer, row, token_of, written
from post import eventually, posted
from test_errors import zygote_below

from sandboxd.client import Client
from sandboxd.errors import Busy, HostError, JobError, SandboxdError, StageError
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Running, StartServer

pytestmark = pytest.mark.usefixtures("sandboxing_host")

MARK = "ce1ar-as-day"
"""In everything that a client sends here, and so in nothing that a server tells."""
LOADED: dict[str, Any] = {
    "env": {"PLAIN": f"plain-{MARK}"},
    "secret_env": {"SECRET": f"env-{MARK}"},
    "stdin": f"stdin-{MARK}".encode(),
    "files": (
        InputFile("plain", f"file-{MARK}".encode()),
        InputFile("secret", f"file-{MARK}".encode(), secret=True),
    ),
}
FAST = Limits(cpu_time=timedelta(milliseconds=100), wall_time=timedelta(seconds=20))


def audited(tmp_path: Path, *options: str) -> tuple[str, ...]:
    """Give the options of a server that tells all it can."""
    rows = row("runner"), row("admin", roles='"admin"')
    callers = written(tmp_path / "callers.toml", *rows)
    audit = str(tmp_path / "audit")
    return ("--log", "DEBUG", "--audit", audit, "--callers", str(callers), *options)


async def told(server: Running, tmp_path: Path, *errors: BaseException) -> str:
    """End a server; give everything that it told, and its clients of it."""
    if server.process.poll() is None:
        server.process.terminate()
    _, log = await asyncio.to_thread(server.ended)
    audit = (tmp_path / "audit").read_text()
    assert audit.count('"event": "run"') >= len(errors)
    return log + audit + "".join(f"{error!r} {error} {vars(error)}" for error in errors)


def client_of(server: Running, who: str = "runner") -> Client:
    return Client(server.unix, token=token_of(who))


async def test_a_secret_reaches_the_program(start_server: StartServer, tmp_path: Path) -> None:
    with start_server(*audited(tmp_path)) as server:
        async with client_of(server) as client:
            text = 'echo "$SECRET $PLAIN"; cat secret plain -'
            result = await client.run(["sh", "-c", text], **LOADED)
            expected = f"env-{MARK} plain-{MARK}\nfile-{MARK}file-{MARK}stdin-{MARK}"
            assert result.stdout.data.decode() == expected
            host = await client.get_host()
        assert MARK not in repr(host) + await told(server, tmp_path)


PROGRAMS = {
    "exited": (["sh", "-c", "cat >/dev/null; exit 3"], Exited(3)),
    "killed": (["sh", "-c", "kill -SEGV $$"], Signaled("SEGV", core_dumped=False)),
    "over a limit": (["sh", "-c", "while :; do :; done"], LimitExceeded("cpu_time")),
    "not a program": (["./secret"], NotStarted),
    "not there": (["./absent"], NotStarted),
}


@pytest.mark.parametrize("case", PROGRAMS)
async def test_no_ending_tells_what_was_sent(
    start_server: StartServer, tmp_path: Path, case: str
) -> None:
    argv, ending = PROGRAMS[case]
    with start_server(*audited(tmp_path)) as server:
        async with client_of(server) as client:
            result = await client.run(argv, limits=FAST, **LOADED)
        assert result.ending == ending or (
            ending is NotStarted and isinstance(result.ending, NotStarted)
        )
        assert MARK not in repr(result) + await told(server, tmp_path)


NUL = f"{MARK}\0"
REFUSED: dict[str, dict[str, Any]] = {
    "a variable": {"env": {"A": NUL}},
    "a secret variable": {"secret_env": {"A": NUL}},
    "a variable of no name": {"env": {"=": MARK}},
    "a variable that is too long": {"secret_env": {"A": MARK * 20000}},
    "a path": {"files": [pb.InputFile(path="..", content=pb.Content(data=MARK.encode()))]},
    "a place twice": {"files": [pb.InputFile(path="x", secret=True)] * 2},
    "a policy": {"policy": "no-such-policy"},
    "a limit": {"limits": pb.Limits(memory_bytes=-1)},
    "a core": {"limits": pb.Limits(core_bytes=1)},
    "a feature": {"require": ["no-such-feature"]},
    "text that is none": {"working_directory": "?"},
}
SENT = {
    "env": {"PLAIN": MARK},
    "secret_env": {"SECRET": MARK},
    "stdin": pb.Content(data=MARK.encode()),
    "files": [pb.InputFile(path="s", content=pb.Content(data=MARK.encode()), secret=True)],
}


Code = grpc.StatusCode
REFUSALS = {
    "runner": {Code.INVALID_ARGUMENT: "INVALID_JOB", Code.FAILED_PRECONDITION: "POLICY_UNKNOWN"},
    "admin": {Code.PERMISSION_DENIED: "ROLE_MISSING"},
    MARK: {Code.UNAUTHENTICATED: "WRONG_CREDENTIALS"},
}


@pytest.mark.parametrize("who", REFUSALS)
async def test_no_refusal_tells_what_was_sent(
    start_server: StartServer, tmp_path: Path, who: str
) -> None:
    errors = []
    with start_server(*audited(tmp_path)) as server:
        async with grpc.aio.insecure_channel(server.tcp) as channel:
            run = channel.unary_unary("/sandboxd.v1.RunnerService/Run")
            for fields in REFUSED.values():
                asked = pb.RunRequest(job=pb.Job(argv=["true"], **{**SENT, **fields}))
                data = asked.SerializeToString().replace(b"\x1a\x01?", b"\x1a\x01\xff")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await run(data, metadata=bearer(token_of(who)))
                errors.append(caught.value)
        everything = await told(server, tmp_path, *errors)
    assert {error.code() for error in errors} == REFUSALS[who].keys()
    assert MARK not in everything + "".join(repr(e.trailing_metadata()) for e in errors)
    for reason in REFUSALS[who].values():
        assert f'"reason": "{reason}"' in everything


async def test_no_way_to_leave_tells_what_was_sent(
    start_server: StartServer, tmp_path: Path
) -> None:
    options = audited(tmp_path, "--slots", "1", "--queue", "1")
    long = {"limits": Limits(wall_time=timedelta(hours=1)), **LOADED}
    errors: list[BaseException] = []
    with start_server(*options) as server:
        async with client_of(server) as client:
            holder = await begun(client, argv=["sleep", "1000"], **long)
            with pytest.raises(TimeoutError) as late:
                await client.run(["true"], timeout=timedelta(seconds=1), **LOADED)
            waiter = await begun(client, argv=["true"], **long)
            with pytest.raises(Busy) as busy:
                await client.run(["true"], **LOADED)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError) as gone:
                await waiter
            # Heard before the server leaves: else leaving is why it ends.
            await eventually(lambda: '"CANCELLED"' in (tmp_path / "audit").read_text())
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)
            with pytest.raises(HostError) as leaving:
                await holder
        errors += [late.value, busy.value, gone.value, leaving.value]
        everything = await told(server, tmp_path, *errors)
    assert MARK not in everything
    for status in ("DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"):
        assert f'"status": "{status}"' in everything


async def test_no_fault_of_ours_tells_what_was_sent(
    start_server: StartServer, tmp_path: Path
) -> None:
    shown = tempfile.mkdtemp(dir="/var/tmp")  # not /tmp, which is never shown
    with start_server(*audited(tmp_path, "--root-bind", shown)) as server:
        async with client_of(server) as client:
            os.rmdir(shown)
            os.kill(zygote_below(server.process.pid), signal.SIGKILL)
            with pytest.raises(StageError) as failed:
                await client.run(["true"], **LOADED)
        assert MARK not in await told(server, tmp_path, failed.value)
    with start_server(*audited(tmp_path, "--fault", "defect")) as server:
        async with client_of(server) as client:
            with pytest.raises(SandboxdError) as defect:
                await client.run(["true"], **LOADED)
        everything = await told(server, tmp_path, failed.value, defect.value)
    assert defect.value.reason == "UNEXPECTED"
    assert "ZeroDivisionError" in everything
    assert MARK not in everything


SECRETS: tuple[dict[str, Any], ...] = (
    {"secret_env": {"A": "x"}},
    {"files": (InputFile("a", b"", secret=True),)},
)


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_secret_and_a_core_exclude_each_other(
    tmp_path: Path, secret: dict[str, Any]
) -> None:
    wanted = Limits(core_bytes=1 << 20)
    async with posted(tmp_path, ceilings=wanted) as post, Client(post.unix) as client:
        assert (await client.run(["true"], limits=wanted)).ending == Exited(0)
        assert (await client.run(["true"], **secret)).ending == Exited(0)
        with pytest.raises(JobError, match="a core could hold a secret") as caught:
            await client.run(["true"], limits=wanted, **secret)
        assert [violation.field for violation in caught.value.violations] == ["limits.core_bytes"]
    settings = {"ceilings": wanted, "defaults": wanted}  # then a job need not ask for a core
    async with posted(tmp_path, **settings) as post, Client(post.unix) as client:
        with pytest.raises(JobError, match="a core could hold a secret"):
            await client.run(["true"], **secret)


def test_no_repr_of_a_job_tells_what_is_in_it() -> None:
    job = Job(argv=("true",), **LOADED)
    assert MARK not in repr(job) + str(job) + repr(job.files[1])
    assert "secret" in repr(job.files[1])
