"""The audit: one line of JSON a job, with who, what, under which policy, and how it ended."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from guards import row, token_of, written
from post import eventually

from sandboxd.client import Client
from sandboxd.errors import ForbiddenError, PreconditionError
from sandboxd.model.job import InputFile
from sandboxd.model.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartServer

pytestmark = pytest.mark.usefixtures("sandboxing_host")

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def options(tmp_path: Path) -> tuple[str, ...]:
    callers = written(tmp_path / "callers.toml", row("judge"), row("admin", roles='"admin"'))
    return ("--audit", str(tmp_path / "audit"), "--callers", str(callers))


async def test_a_line_says_who_what_and_how_it_ended(
    start_server: StartServer, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with start_server(*options(tmp_path)) as server:
        async with Client(server.unix, token=token_of("judge")) as client:
            await client.get_host()
            result = await client.run(["sh", "-c", "exit 3"])
    (line,) = lines(tmp_path / "audit")
    assert before < datetime.fromisoformat(line.pop("time")) < datetime.now(UTC)
    assert DIGEST.fullmatch(line.pop("job_digest"))
    seconds = line.pop("seconds")
    assert seconds.keys() == {"call", "queue", "setup", "wall", "cpu"}
    assert seconds["wall"] == result.usage.wall_time.total_seconds()
    assert seconds["call"] > seconds["wall"]
    assert line == {
        "event": "run",
        "caller": "judge",
        "known_by": "token",
        "address": "unix",
        "policy": "default",
        "policy_digest": result.outcome.policy_digest,
        "status": "OK",
        "reason": None,
        "ending": {"kind": "exited", "exit_code": 3},
    }
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600


async def test_what_was_refused_has_its_line_too(start_server: StartServer, tmp_path: Path) -> None:
    with start_server(*options(tmp_path)) as server:
        async with Client(server.tcp, token=token_of("admin")) as client:
            with pytest.raises(ForbiddenError):
                await client.run(["true"])
        async with Client(server.tcp, token=token_of("judge")) as client:
            with pytest.raises(PreconditionError):
                await client.run(["true"], policy="no-such-policy")
            late = timedelta(milliseconds=300)
            with pytest.raises(TimeoutError):
                await client.run(["sleep", "9"], timeout=late, limits=Limits(wall_time=late * 99))
        await eventually(lambda: len(lines(tmp_path / "audit")) == 3)
    found = [
        (x["caller"], x["status"], x["reason"], x["policy"]) for x in lines(tmp_path / "audit")
    ]
    assert found == [
        ("admin", "PERMISSION_DENIED", "ROLE_MISSING", None),
        ("judge", "FAILED_PRECONDITION", "POLICY_UNKNOWN", None),
        ("judge", "DEADLINE_EXCEEDED", None, "default"),
    ]


async def test_the_digest_names_the_job_but_not_its_secrets(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server(*options(tmp_path)) as server:
        async with Client(server.unix, token=token_of("judge")) as client:
            for secret in (b"1234", b"9876"):
                file = InputFile("pin", secret, secret=True)
                env = {"PIN": secret.decode()}
                await client.run(["true"], files=(file,), secret_env=env, env={"A": "1", "B": "2"})
            await client.run(["true"], files=(file,), secret_env=env, env={"B": "2", "A": "1"})
            await client.run(["true"], files=(file,), secret_env=env, env={"A": "1", "B": "3"})
            await client.run(["true"], stdin=bytes(2 << 20))
    first, second, third, other, large = (x["job_digest"] for x in lines(tmp_path / "audit"))
    assert first == second == third
    assert len({first, other, large}) == 3


async def test_sighup_opens_the_file_again(start_server: StartServer, tmp_path: Path) -> None:
    audit, rotated = tmp_path / "audit", tmp_path / "audit.1"
    with start_server(*options(tmp_path)) as server:
        async with Client(server.unix, token=token_of("judge")) as client:
            await client.run(["true"])
            audit.rename(rotated)
            await client.run(["true"])
            server.process.send_signal(1)
            await eventually(audit.exists)
            await client.run(["true"])
    assert (len(lines(rotated)), len(lines(audit))) == (2, 1)


async def test_many_jobs_at_once_have_a_whole_line_each(
    start_server: StartServer, tmp_path: Path
) -> None:
    with start_server(*options(tmp_path)) as server:
        async with Client(server.unix, token=token_of("judge")) as client:
            await asyncio.gather(*(client.run(["true"]) for _ in range(20)))
    assert [line["status"] for line in lines(tmp_path / "audit")] == ["OK"] * 20
