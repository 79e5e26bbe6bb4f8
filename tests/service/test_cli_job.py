"""`sandboxd job start|ls|show|watch|cancel`, against a server of its own; and its audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from post import daemon, marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.usefixtures("sandboxing_host")


WIDE = {**os.environ, "COLUMNS": "160"}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Cli]:
    """Give what runs `sandboxd job` with some arguments."""
    options = ("--jobs", str(tmp_path / "jobs"), "--slots", "1", "--job-queue", "2")
    with daemon(tmp_path, *options, "--audit", str(tmp_path / "audit")) as server:

        def run(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "sandboxd", "job", verb, "--address", server.unix]
            return subprocess.run(
                [*command, *arguments], capture_output=True, check=False, text=True, env=WIDE
            )

        yield run


def started(job: Cli, *arguments: str) -> str:
    done = job("start", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_job_is_started_watched_and_shown(job: Cli, tmp_path: Path) -> None:
    job_id = started(
        job,
        "--label",
        "of=test",
        "--keep",
        "out",
        "--",
        "sh",
        "-c",
        "echo said; echo wrong >&2; echo kept > out; exit 3",
    )
    watched = job("watch", job_id)
    assert (watched.stdout, watched.stderr, watched.returncode) == ("said\n", "wrong\n", 3)
    assert job("watch", job_id, "--from", "5").returncode == 3
    lines = [json.loads(line) for line in job("watch", job_id, "--json").stdout.splitlines()]
    assert {line["stream"] for line in lines} == {"stdout", "stderr"}
    shown = job("show", job_id, "--keep-to", str(tmp_path / "kept"))
    assert "exit 3" in shown.stdout
    assert "of=test" in shown.stdout
    assert (tmp_path / "kept" / "out").read_text() == "kept\n"
    as_json = json.loads(job("show", job_id, "--json").stdout)
    assert as_json["job"]["state"] == "JOB_STATE_ENDED"
    assert as_json["response"]["outcome"]["exited"] == {"exitCode": 3}
    audit = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["event"], line["job"]) for line in audit] == [
        ("start_job", job_id),
        ("job_ended", job_id),
    ]
    assert audit[0]["job_digest"].startswith("sha256:")
    assert (audit[0]["policy"], audit[1]["ending"]) == (
        "default",
        {"kind": "exited", "exit_code": 3},
    )
    assert "said" not in (tmp_path / "audit").read_text()


def test_lists_are_tables_or_json_and_cancelling_says_what_became(job: Cli) -> None:
    running = started(job, "--wall-time", "10m", "--", "sleep", marker())
    while json.loads(job("show", running, "--json").stdout)["job"]["state"] != "JOB_STATE_RUNNING":
        pass
    waiting = started(job, "--request-id", "r", "--priority", "3", "--", "true")
    assert started(job, "--request-id", "r", "--priority", "3", "--", "true") == waiting
    other = job("start", "--request-id", "r", "--", "false")
    assert other.returncode == 125
    assert "another one of yours has the request_id 'r'" in other.stderr
    last = json.loads(job("start", "--json", "--", "true").stdout)
    assert (last["state"], last["queuePosition"]) == ("JOB_STATE_QUEUED", 1)
    full = job("start", "--", "true")
    assert full.returncode == 125
    assert "2 wait, which is all that may" in full.stderr
    lines = [json.loads(line) for line in job("ls", "--json").stdout.splitlines()]
    assert [line["id"] for line in lines] == [last["id"], waiting, running]
    table = job("ls", "--state", "queued").stdout
    assert waiting in table
    assert "queued behind 1" in table
    assert running not in table
    cancelled = job("cancel", last["id"], running, "--signal", "KILL")
    assert cancelled.stdout.splitlines()[0] == f"{last['id']} cancelled"
    watched = job("watch", last["id"])
    assert (watched.returncode, watched.stderr) == (125, "sandboxd: cancelled\n")
    assert job("watch", running).returncode == 128 + 9


def test_what_fails_is_one_line(job: Cli) -> None:
    for verb, *arguments in (
        ("show", "nonsense"),
        ("watch", "nonsense"),
        ("cancel", "nonsense"),
        ("start", "--priority", "101", "--", "true"),
        ("start", "--keep-time", "long", "--", "true"),
        ("start", "--webhook", "http://127.0.0.1:1/", "--", "true"),
        ("start", "--webhook", "http://a/", "--webhook-secret", "NO_SUCH", "--", "true"),
    ):
        failed = job(verb, *arguments)
        assert failed.returncode == 125
        assert failed.stdout == ""
        assert "Traceback" not in failed.stderr
