"""JobService: jobs that outlive their caller, from their start to the day they are forgotten."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from jobs_kit import kept, opened, over, reached, shell, sleeping
from post import eventually, marker, sleepers

from sandboxd.client import Client, SyncClient
from sandboxd.errors import ConflictError, NotFoundError
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled
from sandboxd.model.stored import JobState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")


@pytest.fixture
async def job_post(tmp_path: Path) -> AsyncIterator[Post]:
    async with kept(tmp_path) as post:
        yield post


@pytest.fixture
async def client(job_post: Post) -> AsyncIterator[Client]:
    async with Client(job_post.unix) as client:
        yield client


# --- from start to end ----------------------------------------------------------------------------


async def test_a_job_runs_after_its_caller_has_left(job_post: Post) -> None:
    job = shell(
        "cat in > out; echo said; echo wrong >&2; exit 3",
        files=(InputFile("in", b"content"),),
        outputs=(OutputPath("out"),),
    )
    async with Client(job_post.unix) as client:
        started = await client.jobs.start(job, labels={"of": "test"}, priority=5)
    assert started.state in {JobState.QUEUED, JobState.RUNNING}
    assert (started.priority, started.labels) == (5, {"of": "test"})
    async with Client(job_post.unix) as client:
        ended = await over(client, started.id)
        result = await client.jobs.result(started.id)
    assert ended.state is JobState.ENDED
    assert ended.outcome is not None
    assert ended.outcome.ending == Exited(3)
    assert result is not None
    assert result.outcome == ended.outcome
    assert (result.stdout.data, result.stderr.data) == (b"said\n", b"wrong\n")
    assert result.stdout.total_bytes == len(b"said\n")
    assert [(file.path, file.content) for file in result.files] == [("out", b"content")]
    assert ended.output_bytes == len(b"said\nwrong\n")
    assert ended.create_time <= (ended.start_time or ended.create_time)
    assert ended.start_time is not None
    assert ended.end_time is not None
    assert ended.start_time <= ended.end_time
    assert ended.expire_time == ended.end_time + timedelta(days=1)
    assert abs(ended.end_time - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_sync_client_does_the_same(job_post: Post) -> None:
    def use() -> None:
        with SyncClient(job_post.tcp) as client:
            jobs = client.jobs
            started = jobs.start(shell("echo said; echo more >&2"))
            pieces = list(jobs.watch(started.id))
            assert b"".join(p.data for p in pieces if p.stream == 1) == b"said\n"
            assert b"".join(p.data for p in pieces if p.stream == 2) == b"more\n"
            result = jobs.result(started.id)
            assert result is not None
            assert result.ending == Exited(0)
            assert [job.id for job in jobs.list()] == [started.id]
            assert jobs.cancel(started.id).state is JobState.ENDED
            with pytest.raises(NotFoundError, match="cannot find this job"):
                jobs.get("nonsense")

    await asyncio.to_thread(use)


@pytest.mark.parametrize(
    ("job", "ending"),
    [
        (Job(argv=("no-such-program",)), NotStarted),
        (shell("kill -SEGV $$"), Signaled),
        (
            Job(argv=("sleep", "60"), limits=Limits(wall_time=timedelta(milliseconds=100))),
            LimitExceeded,
        ),
    ],
)
async def test_whatever_ends_a_program_is_its_outcome(
    client: Client, job: Job, ending: type
) -> None:
    ended = await over(client, (await client.jobs.start(job)).id)
    assert ended.state is JobState.ENDED
    assert ended.outcome is not None
    assert isinstance(ended.outcome.ending, ending)


async def test_output_is_bounded_as_any_jobs_is(client: Client) -> None:
    job = shell("head -c 100000 /dev/zero", limits=Limits(output_bytes=1000))
    ended = await over(client, (await client.jobs.start(job)).id)
    result = await client.jobs.result(ended.id)
    assert result is not None
    assert (len(result.stdout.data), result.stdout.total_bytes) == (1000, 100_000)
    assert result.stdout.truncated
    assert ended.output_bytes == 1000
    assert ended.outcome is not None
    assert ended.outcome.limits_touched == ("output_bytes",)
    usual = shell("head -c 3000000 /dev/zero")
    ended = await over(client, (await client.jobs.start(usual)).id)
    assert ended.output_bytes == 1 << 20


# --- asked twice ----------------------------------------------------------------------------------


async def test_a_request_sent_again_is_the_same_job(client: Client) -> None:
    job = shell("echo once", secret_env={"KEY": "one"})
    first = await client.jobs.start(job, request_id="r 1")
    again = [await client.jobs.start(job, request_id="r 1") for _ in range(3)]
    await over(client, first.id)
    late = await client.jobs.start(job, request_id="r 1")
    assert {found.id for found in (*again, late)} == {first.id}
    assert len([found async for found in client.jobs.list()]) == 1
    assert (await client.jobs.start(job)).id != first.id
    with pytest.raises(ConflictError, match="request_id 'r 1'"):
        await client.jobs.start(shell("echo another"), request_id="r 1")


async def test_of_many_at_once_one_is_the_job(client: Client) -> None:
    job = shell("echo once")
    found = await asyncio.gather(*(client.jobs.start(job, request_id="r") for _ in range(20)))
    assert len({one.id for one in found}) == 1


# --- lists ----------------------------------------------------------------------------------------


async def test_lists_come_the_latest_first_by_state_and_label(tmp_path: Path) -> None:
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        jobs = client.jobs
        blocker = await jobs.start(sleeping(marker()))
        await reached(client, blocker.id, JobState.RUNNING)
        started = [
            await jobs.start(shell("true"), labels={"n": str(n), "even": str(n % 2 == 0)})
            for n in range(5)
        ]
        ids = [job.id for job in started][::-1]
        assert [job.id async for job in jobs.list()] == [*ids, blocker.id]
        assert [job.id async for job in jobs.list(states=[JobState.QUEUED])] == ids
        assert [job.id async for job in jobs.list(states=[JobState.RUNNING])] == [blocker.id]
        assert [job.id async for job in jobs.list(labels={"even": "True"})] == ids[::2]
        assert [job.id async for job in jobs.list(labels={"even": "True", "n": "2"})] == [ids[2]]
        assert [job async for job in jobs.list(labels={"even": "maybe"})] == []
        await jobs.cancel(blocker.id, signal="KILL")
        for job_id in ids:
            await over(client, job_id)
        assert len([job async for job in jobs.list(states=[JobState.ENDED])]) == 5


# --- the queue ------------------------------------------------------------------------------------


async def test_the_place_in_the_queue_is_seen_and_priorities_hold(tmp_path: Path) -> None:
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        jobs = client.jobs
        blocker = await jobs.start(sleeping(marker()))
        await reached(client, blocker.id, JobState.RUNNING)
        started = [await jobs.start(shell("true"), priority=p) for p in (0, 0, 7, -7, 3)]
        seen = [(await jobs.get(job.id)).queue_position for job in started]
        assert seen == [2, 3, 0, 4, 1]
        assert (await jobs.get(blocker.id)).queue_position == 0
        await jobs.cancel(blocker.id, signal="KILL")
        ended = [await over(client, job.id) for job in started]
        starts = [job.start_time for job in ended]
        assert None not in starts
        order = sorted(range(5), key=lambda index: starts[index] or datetime.now(UTC))
        assert order == [2, 4, 0, 1, 3]
        assert {job.queue_position for job in ended} == {0}


async def test_many_jobs_wait_on_disk_and_few_in_the_queue_of_all(tmp_path: Path) -> None:
    async with kept(tmp_path, slot_count=2, queue_length=64) as post, Client(post.unix) as client:
        started = [await client.jobs.start(shell(f"echo {n}")) for n in range(40)]
        assert post.server.admission.waiting_count <= 2
        for n, job in enumerate(started):
            ended = await over(client, job.id)
            assert ended.outcome is not None
            assert ended.outcome.ending == Exited(0)
            result = await client.jobs.result(job.id)
            assert result is not None
            assert result.stdout.data == f"{n}\n".encode()


# --- cancelling -----------------------------------------------------------------------------------


async def test_a_waiting_job_that_is_cancelled_never_runs(tmp_path: Path) -> None:
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        blocker = await client.jobs.start(sleeping(marker()))
        await reached(client, blocker.id, JobState.RUNNING)
        waiting = await client.jobs.start(shell("echo ran"))
        cancelled = await client.jobs.cancel(waiting.id)
        assert cancelled.state is JobState.CANCELLED
        await client.jobs.cancel(blocker.id, signal="KILL")
        assert (await over(client, blocker.id)).state is JobState.CANCELLED
        later = await over(client, (await client.jobs.start(shell("true"))).id)
        assert later.state is JobState.ENDED
        found = await client.jobs.get(waiting.id)
        assert (found.state, found.outcome, found.output_bytes, found.start_time) == (
            JobState.CANCELLED,
            None,
            0,
            None,
        )


async def test_a_running_job_that_is_cancelled_may_comply(client: Client) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    started = await client.jobs.start(shell(script))
    async for piece in client.jobs.watch(started.id):
        if piece.data == b"ready\n":
            await client.jobs.cancel(started.id)
    ended = await client.jobs.get(started.id)
    assert ended.state is JobState.CANCELLED
    assert ended.outcome is not None
    assert ended.outcome.ending == Exited(5)
    result = await client.jobs.result(started.id)
    assert result is not None
    assert result.stdout.data == b"ready\nbye\n"


async def test_one_that_does_not_comply_is_killed(client: Client) -> None:
    seconds = marker()
    started = await client.jobs.start(shell(f"trap '' TERM; echo ready; exec sleep {seconds}"))
    async for _ in client.jobs.watch(started.id):
        await client.jobs.cancel(started.id, grace=timedelta(milliseconds=50))
    assert not sleepers(seconds)
    ended = await client.jobs.get(started.id)
    assert ended.outcome is not None
    assert ended.outcome.ending == Signaled("KILL")


async def test_what_has_ended_stays_as_it_is(client: Client) -> None:
    ended = await over(client, (await client.jobs.start(shell("exit 4"))).id)
    assert await client.jobs.cancel(ended.id) == ended
    assert await client.jobs.get(ended.id) == ended


# --- faults, forgetting, leaving ------------------------------------------------------------------


async def test_a_blob_that_has_gone_is_the_jobs_fault_not_the_servers(
    tmp_path: Path,
) -> None:
    from sandboxd.store.blobs import BlobStore  # noqa: PLC0415 - only here

    blobs = BlobStore(tmp_path / "blobs", max_bytes=32 << 20)
    async with (
        kept(tmp_path, slot_count=1, blobs=blobs) as post,
        Client(post.unix) as client,
    ):
        digest = await client.blobs.put(b"some bytes")
        job = Job(argv=("cat",), stdin=digest, outputs=())
        assert (await over(client, (await client.jobs.start(job)).id)).state is JobState.ENDED
        blockers = [await client.jobs.start(sleeping(marker())) for _ in range(2)]
        await reached(client, blockers[0].id, JobState.RUNNING)
        waiting = await client.jobs.start(job, priority=-1)
        await client.blobs.delete(digest)
        for blocker in blockers:
            await client.jobs.cancel(blocker.id, signal="KILL")
        found = await over(client, waiting.id)
        assert found.state is JobState.FAULT
        assert found.fault is not None
        assert found.fault.reason == "BLOB_UNKNOWN"
        assert found.fault.metadata["subject"] == str(digest).partition(" ")[0]
        assert await client.jobs.result(waiting.id) is None
    blobs.close()


async def test_files_are_stored_as_blobs(tmp_path: Path) -> None:
    from sandboxd.store.blobs import BlobStore  # noqa: PLC0415 - only here

    blobs = BlobStore(tmp_path / "blobs", max_bytes=32 << 20)
    async with kept(tmp_path, blobs=blobs) as post, Client(post.unix) as client:
        job = shell("echo made > out", outputs=(OutputPath("out", store=True),))
        ended = await over(client, (await client.jobs.start(job)).id)
        result = await client.jobs.result(ended.id)
        assert result is not None
        digest = result.files[0].blob
        assert digest is not None
        assert b"".join([piece async for piece in client.blobs.get(digest)]) == b"made\n"
    blobs.close()


async def test_a_job_is_forgotten_with_all_that_it_left(client: Client, tmp_path: Path) -> None:
    keep_time = timedelta(milliseconds=300)
    started = await client.jobs.start(shell("echo said"), request_id="r", keep_time=keep_time)
    ended = await over(client, started.id)
    assert ended.end_time is not None
    assert ended.expire_time == ended.end_time + keep_time
    place = tmp_path / "jobs" / "jobs" / started.id
    assert place.exists()
    await asyncio.sleep(0.3)  # its time is the test
    with pytest.raises(NotFoundError):
        await client.jobs.get(started.id)
    assert datetime.now(UTC) >= ended.expire_time
    assert [job async for job in client.jobs.list()] == []
    again = await client.jobs.start(shell("echo another"), request_id="r")
    assert again.id != started.id
    assert not place.exists()


async def test_a_server_that_leaves_ends_what_runs_and_keeps_what_waits(tmp_path: Path) -> None:
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        running = await client.jobs.start(shell("echo begun; sleep 0.3; echo done"))
        await reached(client, running.id, JobState.RUNNING)
        waiting = [await client.jobs.start(shell(f"echo {n}")) for n in range(5)]
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        ended = await client.jobs.get(running.id)
        assert ended.state is JobState.ENDED
        result = await client.jobs.result(running.id)
        assert result is not None
        assert result.stdout.data == b"begun\ndone\n"
        for n, job in enumerate(waiting):
            assert (await over(client, job.id)).state is JobState.ENDED
            result = await client.jobs.result(job.id)
            assert result is not None
            assert result.stdout.data == f"{n}\n".encode()


async def test_what_is_cut_short_is_told_as_interrupted(tmp_path: Path) -> None:
    seconds = marker()
    async with kept(tmp_path) as post, Client(post.unix) as client:
        started = await client.jobs.start(shell(f"echo begun; exec sleep {seconds}"))
        await eventually(lambda: sleepers(seconds))
        post.server.leave()
        post.server.leave()
    assert not sleepers(seconds)
    async with kept(tmp_path) as post, Client(post.unix) as client:
        found = await client.jobs.get(started.id)
        assert found.state is JobState.INTERRUPTED
        assert (found.outcome, found.fault) == (None, None)
        assert found.end_time is not None
        assert [piece.data async for piece in client.jobs.watch(started.id)] == [b"begun\n"]


# --- secrets --------------------------------------------------------------------------------------


def holders(directory: Path, secret: bytes) -> list[str]:
    """Name the files that hold a secret."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if secret in path.read_bytes()]


async def test_secrets_are_on_disk_only_while_their_job_waits(tmp_path: Path) -> None:
    secret = "s3cret-of-a-test"  # noqa: S105 - of a test
    job = shell(
        "cat token >&2",
        secret_env={"KEY": secret},
        files=(InputFile("token", secret.encode(), secret=True),),
        limits=Limits(output_bytes=0),
    )
    async with kept(tmp_path, slot_count=1) as post, Client(post.unix) as client:
        blocker = await client.jobs.start(sleeping(marker()))
        await reached(client, blocker.id, JobState.RUNNING)
        waiting = await client.jobs.start(job, request_id="r")
        place = tmp_path / "jobs"
        assert holders(place, secret.encode()) == ["request"]
        assert place.stat().st_mode & 0o777 == 0o700
        cancelled = await client.jobs.start(job)
        await client.jobs.cancel(cancelled.id)
        assert len(holders(place, secret.encode())) == 1
        await client.jobs.cancel(blocker.id, signal="KILL")
        ended = await over(client, waiting.id)
        assert ended.outcome is not None
        assert ended.outcome.ending == Exited(0)
        assert holders(place, secret.encode()) == []
    assert holders(tmp_path, secret.encode()) == []


async def test_what_a_kill_has_left_is_swept(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs")
    orphan = store.place("0" * 32)
    orphan.make(b"secret", None)
    store.close()
    store = opened(tmp_path / "jobs")
    assert holders(tmp_path, b"secret") == []
    store.close()
