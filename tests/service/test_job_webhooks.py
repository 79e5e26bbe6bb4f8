"""Webhooks: ends are told where the operator allows, signed, again after failures and restarts."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from jobs_kit import kept, over, reached, shell, sleeping
from post import eventually, marker

from sandboxd.client import Client
from sandboxd.errors import PreconditionError, RequestError
from sandboxd.model.stored import JobState, Webhook
from sandboxd.server import webhooks
from sandboxd.server.webhooks import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cret-of-a-hook"  # noqa: S105 - of a test


@dataclass
class Listener:
    """Somebody's HTTP server: what it was told, and what it answers next."""

    url: str
    answers: list[int] = field(default_factory=list)
    """Statuses; when they are used up, 200."""
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def jobs(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.heard]


@contextmanager
def listening() -> Iterator[Listener]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            there.heard.append((self.path, dict(self.headers), body))
            status = there.answers.pop(0) if there.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{there.url}elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there = Listener(f"http://127.0.0.1:{server.server_port}/hooks/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield there
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as there:
        yield there


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let failures be tried again soon."""
    monkeypatch.setattr(webhooks, "FIRST_DELAY", timedelta(milliseconds=20))


def holders(directory: Path) -> list[str]:
    """Name the files that hold the secret."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.usefixtures("sandboxing_host")
async def test_an_end_is_told_signed_and_the_secret_is_gone(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with (
        kept(tmp_path, job_webhooks=[listener.url]) as post,
        Client(post.unix) as client,
    ):
        hook = Webhook(f"{listener.url}of/me?job=1", SECRET)
        started = await client.jobs.start(
            shell("echo said; exit 3"), webhook=hook, labels={"k": "v"}
        )
        await eventually(lambda: listener.heard)
        await eventually(lambda: holders(tmp_path) == [])
        job = await client.jobs.get(started.id)
    ((path, headers, body),) = listener.heard
    assert path == "/hooks/of/me?job=1"
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["Sandboxd-Signature"] == f"sha256={expected}"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert (told["id"], told["state"], told["labels"]) == (job.id, "JOB_STATE_ENDED", {"k": "v"})
    assert told["outcome"]["exited"] == {"exitCode": 3}
    assert told["outputBytes"] == "5"
    ours = "".join(r.getMessage() for r in caplog.records if not r.name.startswith("httpcore"))
    assert SECRET not in ours
    assert listener.url not in ours


@pytest.mark.usefixtures("sandboxing_host")
async def test_each_way_to_end_is_told_and_without_a_secret_nothing_is_signed(
    tmp_path: Path, listener: Listener
) -> None:
    hook = Webhook(listener.url)
    async with (
        kept(tmp_path, slot_count=1, job_webhooks=[listener.url]) as post,
        Client(post.unix) as client,
    ):
        running = await client.jobs.start(sleeping(marker()), webhook=hook)
        await reached(client, running.id, JobState.RUNNING)
        waiting = await client.jobs.start(shell("true"), webhook=hook)
        await client.jobs.cancel(waiting.id)
        await eventually(lambda: len(listener.heard) == 1)
        await client.jobs.cancel(running.id, signal="KILL")
        await eventually(lambda: len(listener.heard) == 2)
    assert [(job["id"], job["state"]) for job in listener.jobs()] == [
        (waiting.id, "JOB_STATE_CANCELLED"),
        (running.id, "JOB_STATE_CANCELLED"),
    ]
    assert all("Sandboxd-Signature" not in headers for _, headers, _ in listener.heard)


@pytest.mark.usefixtures("sandboxing_host")
async def test_what_fails_is_tried_again_and_no_redirect_is_followed(
    tmp_path: Path, listener: Listener
) -> None:
    listener.answers = [500, 302, 404, 429]
    async with (
        kept(tmp_path, job_webhooks=[listener.url]) as post,
        Client(post.unix) as client,
    ):
        hook = Webhook(f"{listener.url}me", SECRET)
        await over(client, (await client.jobs.start(shell("true"), webhook=hook)).id)
        await eventually(lambda: holders(tmp_path) == [])
    assert [path for path, _, _ in listener.heard] == ["/hooks/me"] * 5
    assert len({body for _, _, body in listener.heard}) == 1


@pytest.mark.usefixtures("sandboxing_host")
async def test_a_restart_forgets_no_webhook_and_the_operator_may_forbid_it_then(
    tmp_path: Path, listener: Listener
) -> None:
    listener.answers = [500] * 10_000
    hook = Webhook(listener.url, SECRET)
    async with kept(tmp_path, job_webhooks=[listener.url]) as post, Client(post.unix) as client:
        first = await over(client, (await client.jobs.start(shell("true"), webhook=hook)).id)
        await eventually(lambda: listener.heard)
    async with kept(tmp_path):
        pass
    assert holders(tmp_path) == ["webhook"]
    listener.answers.clear()
    listener.heard.clear()
    async with kept(tmp_path, job_webhooks=[listener.url]):
        await eventually(lambda: holders(tmp_path) == [])
    assert [job["id"] for job in listener.jobs()] == [first.id]
    listener.answers = [500] * 10_000
    async with kept(tmp_path, job_webhooks=[listener.url]) as post, Client(post.unix) as client:
        await over(client, (await client.jobs.start(shell("true"), webhook=hook)).id)
        await eventually(lambda: len(listener.heard) > 1)
    told = len(listener.heard)
    async with kept(tmp_path, job_webhooks=["http://127.0.0.1:1/"]):
        await eventually(lambda: holders(tmp_path) == [])
    assert len(listener.heard) == told


@pytest.mark.usefixtures("sandboxing_host")
async def test_after_an_hour_it_is_given_up(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "GIVE_UP_AFTER", timedelta(milliseconds=100))
    listener.answers = [500] * 10_000
    async with kept(tmp_path, job_webhooks=[listener.url]) as post, Client(post.unix) as client:
        hook = Webhook(listener.url, SECRET)
        await over(client, (await client.jobs.start(shell("true"), webhook=hook)).id)
        await eventually(lambda: holders(tmp_path) == [])
    assert 1 <= len(listener.heard) < 20


@pytest.mark.usefixtures("sandboxing_host")
async def test_only_what_lies_below_an_allowed_address_is_told_anything(tmp_path: Path) -> None:
    allowed = ["http://127.0.0.1:9/hooks", "https://hooks.example/a/"]
    async with kept(tmp_path, job_webhooks=allowed) as post, Client(post.unix) as client:
        for url in (
            "http://127.0.0.1:9/hooksmith",
            "http://127.0.0.1:9/",
            "http://127.0.0.1:90/hooks",
            "https://127.0.0.1:9/hooks",
            "http://127.0.0.2:9/hooks",
            "https://hooks.example.evil.example/a/b",
            "https://hooks.example/b",
        ):
            with pytest.raises(PreconditionError) as forbidden:
                await client.jobs.start(shell("true"), webhook=Webhook(url))
            assert forbidden.value.reason == "WEBHOOK_FORBIDDEN"
        for url in (
            "http://127.0.0.1:9@evil.example/hooks",
            "http://127.0.0.1:9/hooks/../other",
            "http://127.0.0.1:9/hooks/%2e%2E/other",
            "http://127.0.0.1:9/hooks/a#b",
            "http://127.0.0.1:9//hooks",
            "http://127.0.0.1:9\\@evil.example/hooks",
            "http://127.0.0.1:9/hooks\r\nHost: evil",
            "HTTP://127.0.0.1:9/hooks",
            "ftp://127.0.0.1:9/hooks",
            "http:///hooks",
            "https://hooks.example/a/" + "x" * 2048,
        ):
            with pytest.raises(RequestError, match=r"webhook\.url"):
                await client.jobs.start(shell("true"), webhook=Webhook(url))
        assert [job async for job in client.jobs.list()] == []


@pytest.mark.parametrize(
    ("allowed", "url", "is_below"),
    [
        ("http://a", "http://a", True),
        ("http://a", "http://a:80/b", True),
        ("http://a/", "http://a/b?c", True),
        ("https://a", "https://a:443/", True),
        ("https://a", "http://a:443/", False),
        ("http://a/b", "http://a/b", True),
        ("http://a/b", "http://a/b/", True),
        ("http://a/b/", "http://a/b/c", True),
        ("http://a/b", "http://a/bc", False),
        ("http://[::1]:8/b", "http://[::1]:8/b/c", True),
    ],
)
def test_below_is_meant_part_by_part(allowed: str, url: str, *, is_below: bool) -> None:
    prefix, address = address_of(allowed), address_of(url)
    assert prefix is not None
    assert address is not None
    assert prefix.allows(address) is is_below
