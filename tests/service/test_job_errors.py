"""JobService: every error that its contract names, and who may see what."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from guards import bearer, row, token_of, written
from jobs_kit import kept, opened, over, reached, shell, sleeping, stub_of
from post import eventually, marker, posted, refusal

from sandboxd.client import Client
from sandboxd.jobs.store import JobStore
from sandboxd.model.blob import Digest
from sandboxd.model.job import Job
from sandboxd.model.limits import Limits
from sandboxd.model.stored import JobState
from sandboxd.server import streams
from sandboxd.server.streams import MAX_STREAMS_OF_ONE
from sandboxd.store.blobs import BlobStore
from sandboxd.v1 import job_service_pb2 as pb
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import runner_service_pb2_grpc as runner_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
RPCS = ["StartJob", "GetJob", "ListJobs", "WatchJob", "CancelJob"]
ABOUT_ONE = ["GetJob", "WatchJob", "CancelJob"]
NOBODYS = "0" * 32
TRUE = runner_pb.Job(argv=["true"])


@pytest.fixture
async def job_post(tmp_path: Path) -> AsyncIterator[Post]:
    async with kept(tmp_path) as post:
        yield post


async def ask(stub: Any, rpc: str, request: Any = None, **options: Any) -> None:
    """Call an rpc, by default with a request about a job that has ended; wait for its end."""
    if request is None:
        job_id = NOBODYS
        if rpc in ABOUT_ONE:
            started = await stub.StartJob(pb.StartJobRequest(job=TRUE), **_known(options))
            job_id = started.job.id
        request = asked(rpc, job_id)
    call = getattr(stub, rpc)(request, **options)
    if rpc == "WatchJob":
        async for _ in call:
            pass
    else:
        await call


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name == "metadata"}


def asked(rpc: str, job_id: str = NOBODYS) -> Any:
    return {
        "StartJob": pb.StartJobRequest(job=TRUE),
        "GetJob": pb.GetJobRequest(id=job_id),
        "ListJobs": pb.ListJobsRequest(),
        "WatchJob": pb.WatchJobRequest(id=job_id),
        "CancelJob": pb.CancelJobRequest(id=job_id),
    }[rpc]


# --- what is asked wrongly ------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, set[str], str]] = {
    "no program": ({"job": runner_pb.Job()}, {"job.argv"}, "INVALID_JOB"),
    "a limit above its ceiling": (
        {"job": runner_pb.Job(argv=["true"], limits={"memory_bytes": 1 << 50})},
        {"job.limits.memory_bytes"},
        "INVALID_JOB",
    ),
    "a terminal": (
        {"job": runner_pb.Job(argv=["true"], terminal=runner_pb.Terminal())},
        {"job.terminal"},
        "INVALID_JOB",
    ),
    "a request's name": (
        {"job": TRUE, "request_id": "ü", "priority": 101},
        {"request_id", "priority"},
        "INVALID_REQUEST",
    ),
    "a long name": ({"job": TRUE, "request_id": "x" * 129}, {"request_id"}, "INVALID_REQUEST"),
    "no time": ({"job": TRUE, "keep_time": Duration()}, {"keep_time"}, "INVALID_REQUEST"),
    "too long a time": (
        {"job": TRUE, "keep_time": Duration(seconds=86401)},
        {"keep_time"},
        "INVALID_REQUEST",
    ),
    "no address": ({"job": TRUE, "webhook": pb.Webhook()}, {"webhook.url"}, "INVALID_REQUEST"),
    "a long secret": (
        {"job": TRUE, "webhook": pb.Webhook(url="http://a", secret="s" * 257)},
        {"webhook.secret"},
        "INVALID_REQUEST",
    ),
    "many labels": (
        {"job": TRUE, "labels": {str(n): "" for n in range(17)}},
        {"labels"},
        "INVALID_REQUEST",
    ),
    "an empty label": ({"job": TRUE, "labels": {"": "x"}}, {"labels"}, "INVALID_REQUEST"),
    "a long label": ({"job": TRUE, "labels": {"k": "x" * 257}}, {"labels['k']"}, "INVALID_REQUEST"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_start_job_invalid_argument_names_what_is_wrong_and_keeps_nothing(
    job_post: Post, case: str
) -> None:
    fields, paths, reason = WRONG[case]
    async with stub_of(job_post.unix) as stub:
        found = await refusal(stub.StartJob(pb.StartJobRequest(**fields)))
        assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, reason)
        assert found.fields.keys() == paths
        assert not (await stub.ListJobs(pb.ListJobsRequest())).jobs


BAD = {
    "ListJobs": [
        (pb.ListJobsRequest(page_size=-1), "page_size"),
        (pb.ListJobsRequest(page_size=1001), "page_size"),
        (pb.ListJobsRequest(page_token="nonsense"), "page_token"),  # noqa: S106 - of a page
        (pb.ListJobsRequest(states=[99]), "states[0]"),  # type: ignore[list-item]  # of no state
        (pb.ListJobsRequest(states=["JOB_STATE_UNSPECIFIED"]), "states[0]"),
        (pb.ListJobsRequest(labels={"": ""}), "labels"),
    ],
    "CancelJob": [
        (pb.CancelJobRequest(id=NOBODYS, cancel={"signal": "NOPE"}), "cancel.signal"),
        (pb.CancelJobRequest(id=NOBODYS, cancel={"grace": Duration(seconds=-1)}), "cancel.grace"),
    ],
}


@pytest.mark.parametrize("rpc", BAD)
async def test_every_rpc_of_job_service_invalid_argument_names_the_field(
    job_post: Post, rpc: str
) -> None:
    async with stub_of(job_post.unix) as stub:
        for request, field in BAD[rpc]:
            found = await refusal(ask(stub, rpc, request))
            assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
            assert found.fields.keys() == {field}


async def test_watch_job_invalid_argument_beyond_what_there_is(job_post: Post) -> None:
    async with Client(job_post.unix) as client, stub_of(job_post.unix) as stub:
        job = await over(client, (await client.jobs.start(shell("echo said"))).id)
        for position in (-1, 6, 1 << 62):
            request = pb.WatchJobRequest(id=job.id, position_bytes=position)
            found = await refusal(ask(stub, "WatchJob", request))
            assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
            assert found.fields == {"position_bytes": "must be from 0 to 5, what there is"}
        assert [p async for p in client.jobs.watch(job.id, position=5)] == []


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_invalid_argument_for_what_is_no_message(
    job_post: Post, rpc: str
) -> None:
    async with grpc.aio.insecure_channel(job_post.unix) as channel:
        call = channel.stream_stream(f"/sandboxd.v1.JobService/{rpc}")(iter([b"\xff"]))
        found = await refusal(anext(aiter(call)))
        assert found.code is Code.INVALID_ARGUMENT
        assert found.fields.keys() == {"request"}


async def test_start_job_already_exists_for_another_job_of_this_name(job_post: Post) -> None:
    async with stub_of(job_post.unix) as stub:
        request = pb.StartJobRequest(job=TRUE, request_id="r")
        first = await stub.StartJob(request)
        assert (await stub.StartJob(request)).job.id == first.job.id
        for change in ({"priority": 1}, {"labels": {"k": "v"}}, {"job": {"argv": ["false"]}}):
            other = pb.StartJobRequest(job=TRUE, request_id="r")
            other.MergeFrom(pb.StartJobRequest(**change))
            found = await refusal(stub.StartJob(other))
            assert (found.code, found.info.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_USED")


# --- tenants and shares ---------------------------------------------------------------------------


@asynccontextmanager
async def guarded(directory: Path, *rows: str, **settings: Any) -> AsyncIterator[Any]:
    callers = written(directory / "callers.toml", *rows)
    async with kept(directory, callers, **settings) as post, stub_of(post.tcp) as stub:
        yield stub


def as_(name: str) -> Any:
    return {"metadata": bearer(token_of(name))}


async def test_a_caller_sees_nothing_of_anothers_jobs(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("a"), row("b")) as stub:
        request = pb.StartJobRequest(job=TRUE, request_id="r")
        theirs = (await stub.StartJob(request, **as_("a"))).job
        for rpc in ABOUT_ONE:
            foreign = await refusal(ask(stub, rpc, asked(rpc, theirs.id), **as_("b")))
            unknown = await refusal(ask(stub, rpc, asked(rpc, NOBODYS), **as_("b")))
            assert (foreign.code, foreign.info.reason) == (Code.NOT_FOUND, "JOB_UNKNOWN")
            assert foreign.status == unknown.status
        assert not (await stub.ListJobs(pb.ListJobsRequest(), **as_("b"))).jobs
        own = (await stub.StartJob(request, **as_("b"))).job
        assert own.id != theirs.id


@pytest.mark.parametrize("rpc", ABOUT_ONE)
async def test_every_rpc_of_job_service_not_found_for_what_nobody_has(
    job_post: Post, rpc: str
) -> None:
    async with stub_of(job_post.unix) as stub:
        for job_id in (NOBODYS, "", "../../etc/passwd", "x" * 10_000, "\0"):
            found = await refusal(ask(stub, rpc, asked(rpc, job_id)))
            assert (found.code, found.info.reason) == (Code.NOT_FOUND, "JOB_UNKNOWN")


async def test_start_job_resource_exhausted_when_as_many_wait_as_may(tmp_path: Path) -> None:
    share = ("[caller.share]", "queue_places = 2")
    rows = row("small", *share), row("other")
    async with guarded(tmp_path, *rows, slot_count=1, queue_length=4) as stub:
        blocker = pb.StartJobRequest(job=runner_pb.Job(argv=["sleep", marker()]))
        running = (await stub.StartJob(blocker, **as_("other"))).job
        while running.state != pb.JOB_STATE_RUNNING:
            running = (await stub.GetJob(asked("GetJob", running.id), **as_("other"))).job
        for name, count, reason in (("small", 2, "SHARE_EXHAUSTED"), ("other", 2, "QUEUE_FULL")):
            for _ in range(count):
                await stub.StartJob(asked("StartJob"), **as_(name))
            found = await refusal(stub.StartJob(asked("StartJob"), **as_(name)))
            assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, reason)
            assert found.detail(RetryInfo).retry_delay.ToTimedelta() > timedelta()
        end = pb.CancelJobRequest(id=running.id, cancel={"signal": "KILL"})
        await stub.CancelJob(end, **as_("other"))


async def test_a_caller_leaves_as_much_room_as_its_jobs_take(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("a"), row("b"), max_bytes=1 << 20) as stub:
        large = runner_pb.Job(argv=["sh", "-c", "head -c 500000 /dev/zero; sleep 0.1"])
        started = (await stub.StartJob(pb.StartJobRequest(job=large), **as_("a"))).job
        async for _ in stub.WatchJob(asked("WatchJob", started.id), **as_("a")):
            pass
        found = await refusal(stub.StartJob(asked("StartJob"), **as_("a")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "SHARE_EXHAUSTED")
        await stub.StartJob(asked("StartJob"), **as_("b"))


async def test_callers_take_turns_however_many_jobs_each_has_waiting(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("many"), row("few"), slot_count=1) as stub:
        sleep = pb.StartJobRequest(job=runner_pb.Job(argv=["sleep", marker()]))
        blocker = (await stub.StartJob(sleep, **as_("many"))).job
        while blocker.state != pb.JOB_STATE_RUNNING:
            blocker = (await stub.GetJob(asked("GetJob", blocker.id), **as_("many"))).job
        started = [
            ((await stub.StartJob(asked("StartJob"), **as_(name))).job, name)
            for name in ("many",) * 8 + ("few",) * 2
        ]
        assert [job.queue_position for job, name in started if name == "few"] == [1, 3]
        end = pb.CancelJobRequest(id=blocker.id, cancel={"signal": "KILL"})
        await stub.CancelJob(end, **as_("many"))
        starts = []
        for job, name in started:
            await _rest(aiter(stub.WatchJob(asked("WatchJob", job.id), **as_(name))))
            ended = (await stub.GetJob(asked("GetJob", job.id), **as_(name))).job
            starts.append((ended.start_time.ToNanoseconds(), name))
        order = [name for _, name in sorted(starts)]
        assert order.index("few") <= 2
        assert [n for n, name in enumerate(order) if name == "few"][1] <= 4


async def test_watch_job_resource_exhausted_when_too_many_watch(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("many"), row("other"), slot_count=1) as stub:
        job = runner_pb.Job(argv=["sh", "-c", f"echo said; exec sleep {marker()}"])
        started = (await stub.StartJob(pb.StartJobRequest(job=job), **as_("many"))).job
        watch = asked("WatchJob", started.id)
        begun = [stub.WatchJob(watch, **as_("many")) for _ in range(MAX_STREAMS_OF_ONE)]
        for call in begun:
            assert (await call.read()).output.data == b"said\n"
        found = await refusal(ask(stub, "WatchJob", watch, **as_("many")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED")
        for call in begun[1:]:
            call.cancel()
        await stub.CancelJob(
            pb.CancelJobRequest(id=started.id, cancel={"signal": "KILL"}), **as_("many")
        )
        assert (await begun[0].read()).ended.state == pb.JOB_STATE_CANCELLED


async def test_a_caller_that_may_run_no_more_has_its_waiting_jobs_told_so(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("a"), slot_count=1) as stub:
        job = runner_pb.Job(argv=["sleep", "0.2"])
        await stub.StartJob(pb.StartJobRequest(job=job), **as_("a"))
        waiting = (await stub.StartJob(asked("StartJob"), **as_("a"))).job
    async with guarded(tmp_path, row("b")):
        look = opened(tmp_path / "jobs")
        await eventually(lambda: look.get("a", waiting.id).state == JobState.FAULT)
        look.close()
    async with guarded(tmp_path, row("a")) as stub:
        found = await stub.GetJob(asked("GetJob", waiting.id), **as_("a"))
        assert found.job.state == pb.JOB_STATE_FAULT
        assert found.job.fault.reason == "ROLE_MISSING"


# --- errors that every rpc has --------------------------------------------------------------------


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_unauthenticated_without_a_token(
    tmp_path: Path, rpc: str
) -> None:
    async with guarded(tmp_path, row("a")) as stub:
        found = await refusal(ask(stub, rpc, asked(rpc)))
        assert (found.code, found.info.reason) == (Code.UNAUTHENTICATED, "NO_CREDENTIALS")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_permission_denied_without_the_role(
    tmp_path: Path, rpc: str
) -> None:
    async with guarded(tmp_path, row("a", roles='"admin"')) as stub:
        found = await refusal(ask(stub, rpc, asked(rpc), **as_("a")))
        assert (found.code, found.info.reason) == (Code.PERMISSION_DENIED, "ROLE_MISSING")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_resource_exhausted_when_called_too_often(
    tmp_path: Path, rpc: str
) -> None:
    rate = ("[caller.share]", "rate = 0.01", "burst = 1")
    async with guarded(tmp_path, row("a", *rate)) as stub:
        await stub.ListJobs(pb.ListJobsRequest(), **as_("a"))
        found = await refusal(ask(stub, rpc, asked(rpc), **as_("a")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_failed_precondition_without_a_store(
    post: Post, rpc: str
) -> None:
    async with stub_of(post.unix) as stub:
        found = await refusal(ask(stub, rpc, asked(rpc)))
        assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, "JOBS_OFF")


async def test_start_job_failed_precondition_names_what_is_not_on_offer(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs", max_bytes=1 << 20)
    digest = Digest("0" * 64)
    async with kept(tmp_path, blobs=blobs) as post, stub_of(post.unix) as stub:
        blob = {"blob": {"sha256": digest.sha256}}
        for job, reason in (
            ({"argv": ["true"], "policy": "no-such"}, "POLICY_UNKNOWN"),
            ({"argv": ["true"], "stdin": blob}, "BLOB_UNKNOWN"),
        ):
            found = await refusal(stub.StartJob(pb.StartJobRequest(job=job)))
            assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, reason)
        webhook = pb.Webhook(url="http://127.0.0.1:1/")
        found = await refusal(stub.StartJob(pb.StartJobRequest(job=TRUE, webhook=webhook)))
        assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, "WEBHOOK_FORBIDDEN")
    blobs.close()


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_unavailable_when_its_disk_fails(
    tmp_path: Path, rpc: str
) -> None:
    store = opened(tmp_path / "jobs")
    async with posted(tmp_path, jobs=store) as post, stub_of(post.unix) as stub:
        store.close()  # as good as gone
        found = await refusal(ask(stub, rpc, asked(rpc)))
        assert (found.code, found.info.reason) == (Code.UNAVAILABLE, "JOBS_UNUSABLE")


async def test_start_job_unavailable_while_the_server_drains(tmp_path: Path) -> None:
    async with kept(tmp_path) as post, stub_of(post.unix) as stub, Client(post.unix) as client:
        running = await client.jobs.start(sleeping(marker()))
        await reached(client, running.id, JobState.RUNNING)
        draining = asyncio.create_task(post.server.drain())
        await asyncio.sleep(0)
        found = await refusal(stub.StartJob(asked("StartJob")))
        while found.code is not Code.UNAVAILABLE:  # it had not begun
            found = await refusal(stub.StartJob(asked("StartJob")))
        assert found.info.reason == "DRAINING"
        await client.jobs.cancel(running.id, signal="KILL")
        await draining


async def test_watch_job_unavailable_when_the_server_leaves_a_job_that_waits(
    tmp_path: Path,
) -> None:
    async with (
        kept(tmp_path, slot_count=1) as post,
        stub_of(post.unix) as stub,
        Client(post.unix) as client,
    ):
        running = await client.jobs.start(sleeping(marker()))
        await reached(client, running.id, JobState.RUNNING)
        waiting = await client.jobs.start(shell("true"))
        watching = asyncio.create_task(ask(stub, "WatchJob", asked("WatchJob", waiting.id)))
        await client.jobs.get(waiting.id)
        draining = asyncio.create_task(post.server.drain())
        found = await refusal(watching)
        assert (found.code, found.info.reason) == (Code.UNAVAILABLE, "DRAINING")
        await client.jobs.cancel(running.id, signal="KILL")
        await draining


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_deadline_exceeded_while_it_waits(
    tmp_path: Path, rpc: str
) -> None:
    store = opened(tmp_path / "jobs")
    async with posted(tmp_path, jobs=store) as post, stub_of(post.unix) as stub:
        with store.working():
            found = await refusal(ask(stub, rpc, asked(rpc), timeout=0.2))
            assert found.code is Code.DEADLINE_EXCEEDED
        await ask(stub, rpc)
    store.close()


async def test_watch_job_deadline_exceeded_when_nobody_takes_the_output(
    job_post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.2)
    async with Client(job_post.unix) as client, stub_of(job_post.unix) as stub:
        flood = shell("head -c 8000000 /dev/zero", limits=Limits(output_bytes=8_000_000))
        job = await over(client, (await client.jobs.start(flood)).id)
        pieces = aiter(stub.WatchJob(asked("WatchJob", job.id)))
        await anext(pieces)
        await asyncio.sleep(1)  # the time that it is given is the test
        found = await refusal(_rest(pieces))
        assert (found.code, found.info.reason) == (Code.DEADLINE_EXCEEDED, "STREAM_IDLE")


async def _rest(pieces: AsyncIterator[Any]) -> None:
    async for _ in pieces:
        pass


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_cancelled_when_the_caller_leaves(
    tmp_path: Path, rpc: str
) -> None:
    store = opened(tmp_path / "jobs")
    async with (
        posted(tmp_path, jobs=store) as post,
        grpc.aio.insecure_channel(post.unix) as channel,
        stub_of(post.unix) as stub,
    ):
        host = runner_grpc.RunnerServiceStub(channel).GetHost
        await host(runner_pb.GetHostRequest())  # connects
        with store.working():
            call = channel.unary_stream(f"/sandboxd.v1.JobService/{rpc}")(
                asked(rpc).SerializeToString()
            )
            taking = asyncio.create_task(call.read())
            await asyncio.sleep(0)
            await host(runner_pb.GetHostRequest())  # answered after the other has come
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
        await ask(stub, rpc)
    store.close()


class Defect(JobStore):
    """Has a defect of our own in every call, once it serves."""

    marker = "xyzzy"
    is_broken = False

    def working(self) -> Any:
        if self.is_broken:
            raise ZeroDivisionError(self.marker)
        return super().working()


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_job_service_internal_for_a_defect(
    tmp_path: Path, rpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Defect(
        tmp_path / "jobs", max_bytes=1 << 20, queue_length=1, keep_time=timedelta(days=1)
    )
    async with posted(tmp_path, jobs=store) as post, stub_of(post.unix) as stub:
        store.is_broken = True
        found = await refusal(ask(stub, rpc, asked(rpc)))
        assert (found.code, found.info.reason) == (Code.INTERNAL, "UNEXPECTED")
        store.is_broken = False
    assert "ZeroDivisionError" in caplog.text
    assert store.marker not in caplog.text + found.message
    store.close()


async def test_a_large_question_is_refused_unread(job_post: Post) -> None:
    async with stub_of(job_post.unix) as stub:
        request = pb.ListJobsRequest(states=[1] * (5 << 20))  # type: ignore[list-item]  # numbers
        found = await refusal(stub.ListJobs(request))
        assert (found.code, found.fields.keys()) == (Code.INVALID_ARGUMENT, {"request"})


async def test_a_job_of_no_program_at_all_is_no_defect(job_post: Post) -> None:
    async with Client(job_post.unix) as client:
        ended = await over(client, (await client.jobs.start(Job(argv=("/",)))).id)
        assert ended.state is JobState.ENDED
