"""BlobService: up, down, lists, tenants, quotas, every error, and little memory for any size."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from guards import bearer, row, token_of, written
from post import PATIENCE, daemon, eventually, posted, refusal
from stored import in_use, on_disk

from sandboxd.client import Client, SyncClient
from sandboxd.errors import BlobDamaged, Busy, PreconditionError, RequestError
from sandboxd.model import limits
from sandboxd.model.blob import Digest
from sandboxd.server import streams
from sandboxd.server.streams import MAX_STREAMS_OF_ONE
from sandboxd.store.blobs import BlobStore
from sandboxd.store.charge import LEAST_BYTES
from sandboxd.v1 import blob_service_pb2 as pb
from sandboxd.v1 import blob_service_pb2_grpc as pb_grpc
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import runner_service_pb2_grpc as runner_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from post import Post, Refusal

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
MIB = 1 << 20
CONTENT = b"some bytes"
NAME = sha256(CONTENT).hexdigest()
RPCS = ["FindMissingBlobs", "UploadBlob", "DownloadBlob", "ListBlobs", "DeleteBlob"]
WELL = pb.Digest(sha256=NAME)
SMALL_SHARE = LEAST_BYTES
"""Room for one small blob."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", max_bytes=32 * MIB)
    yield store
    store.close()


@asynccontextmanager
async def stub_of(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.BlobServiceStub(channel)


async def ask(stub: Any, rpc: str, request: Any = None, **options: Any) -> None:
    """Call an rpc with a request in which nothing is wrong, by default; wait for its end."""
    if request is None:
        request = {
            "FindMissingBlobs": pb.FindMissingBlobsRequest(digests=[WELL]),
            "UploadBlob": pb.UploadBlobRequest(data=CONTENT, finish=True),
            "DownloadBlob": pb.DownloadBlobRequest(digest=WELL),
            "ListBlobs": pb.ListBlobsRequest(),
            "DeleteBlob": pb.DeleteBlobRequest(digest=WELL),
        }[rpc]
    call = getattr(stub, rpc)(iter([request]) if rpc == "UploadBlob" else request, **options)
    if rpc == "DownloadBlob":
        async for _ in call:
            pass
    else:
        await call


async def upload(stub: Any, *messages: Any, **options: Any) -> pb.Digest:
    requests = [pb.UploadBlobRequest(**message) for message in messages]
    requests[-1].finish = True
    digest: pb.Digest = (await stub.UploadBlob(iter(requests), **options)).digest
    return digest


async def refused(stub: Any, *messages: Any, **options: Any) -> Refusal:
    return await refusal(upload(stub, *messages, **options))


# --- up and down ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, os.urandom(3 * MIB + 7)])
async def test_what_goes_up_comes_down(blob_post: Post, content: bytes) -> None:
    async with Client(blob_post.unix) as client:
        digest = await client.blobs.put(content)
        assert digest == Digest(sha256(content).hexdigest(), len(content))
        assert b"".join([piece async for piece in client.blobs.get(digest)]) == content
        assert b"".join([p async for p in client.blobs.get(digest.sha256, limit=3)]) == content[:3]


async def test_the_sync_client_does_the_same(blob_post: Post, tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    (tmp_path / "file").write_bytes(content)
    progress: list[int] = []

    def use() -> None:
        with SyncClient(blob_post.tcp) as client:
            blobs = client.blobs
            digest = blobs.put(tmp_path / "file", on_progress=progress.append)
            assert blobs.put(iter([content])) == digest, "pieces are no less than a file"
            assert b"".join(blobs.get(digest)) == content
            assert b"".join(blobs.get(digest, offset=MIB, limit=10)) == content[MIB : MIB + 10]
            (stored,) = blobs.list()
            assert stored.digest == digest
            assert abs(stored.last_use - datetime.now(UTC)) < timedelta(minutes=1)
            assert blobs.missing([digest, Digest(NAME)]) == [Digest(NAME, None)]
            assert [blobs.delete(digest), blobs.delete(digest)] == [True, False]
            with pytest.raises(PreconditionError, match="cannot find blob sha256:"):
                list(blobs.get(digest))

    await asyncio.to_thread(use)
    assert progress == [MIB, MIB]


async def test_what_the_server_has_is_not_sent_again(blob_post: Post) -> None:
    progress: list[int] = []
    async with Client(blob_post.unix) as client:
        for _ in range(2):
            await client.blobs.put(CONTENT, on_progress=progress.append)
    assert progress == [len(CONTENT)]


async def test_lists_come_in_pages(blob_post: Post) -> None:
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digests = sorted([await client.blobs.put(bytes([n])) for n in range(7)])
        assert [stored.digest async for stored in client.blobs.list()] == digests
        found, token = [], ""
        for size in (3, 3, 1):
            page = await stub.ListBlobs(pb.ListBlobsRequest(page_size=3, page_token=token))
            assert (len(page.blobs), page.total_bytes) == (size, 7 * LEAST_BYTES)
            found += [Digest(b.digest.sha256, b.digest.size_bytes) for b in page.blobs]
            token = page.next_page_token
        assert (found, token) == (digests, "")


async def test_an_upload_may_end_without_a_word_when_its_digest_was_said(blob_post: Post) -> None:
    async with stub_of(blob_post.unix) as stub:
        for digest in (pb.Digest(sha256=NAME), pb.Digest(size_bytes=len(CONTENT))):
            request = pb.UploadBlobRequest(digest=digest, data=CONTENT)
            assert (await stub.UploadBlob(iter([request]))).digest.sha256 == NAME
        for messages in ([], [pb.UploadBlobRequest(data=CONTENT)]):
            found = await refusal(stub.UploadBlob(iter(messages)))
            assert found.fields.keys() == {"finish"}


# --- what is not as it was said -------------------------------------------------------------------

WRONG: dict[str, tuple[list[Any], str]] = {
    "another digest": ([{"digest": {"sha256": "0" * 64}, "data": CONTENT}], "digest.sha256"),
    "shorter": ([{"digest": {"size_bytes": 11}, "data": CONTENT}], "digest.size_bytes"),
    "longer": ([{"digest": {"size_bytes": 9}, "data": CONTENT}], "digest.size_bytes"),
    "longer by a message": (
        [{"digest": {"sha256": NAME, "size_bytes": 10}, "data": CONTENT}, {"data": b"x"}],
        "digest.size_bytes",
    ),
    "no digest": ([{"digest": {"sha256": "x"}}], "digest.sha256"),
    "a size below zero": ([{"digest": {"size_bytes": -1}}], "digest.size_bytes"),
    "an early end": ([{"data": CONTENT, "finish": True}, {"data": CONTENT}], "finish"),
    "a late digest": ([{"data": CONTENT}, {"digest": {"sha256": NAME}}], "digest"),
    "a size beyond the store": ([{"digest": {"size_bytes": 33 * MIB}}], "digest.size_bytes"),
    "a large message": ([{"data": bytes(4 * MIB + 1)}], "data"),
    "more than the store": ([{"data": bytes(4 * MIB)}] * 9, "data"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_upload_blob_invalid_argument_names_what_is_wrong_and_keeps_nothing(
    blob_post: Post, store: BlobStore, case: str
) -> None:
    messages, field = WRONG[case]
    async with stub_of(blob_post.unix) as stub:
        found = await refused(stub, *messages)
        assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert found.fields.keys() == {field}
        assert not (await stub.ListBlobs(pb.ListBlobsRequest())).blobs
    assert on_disk(store) == []


BAD: dict[str, list[tuple[Any, str]]] = {
    "FindMissingBlobs": [
        (pb.FindMissingBlobsRequest(digests=[WELL, pb.Digest()]), "digests[1].sha256"),
        (pb.FindMissingBlobsRequest(digests=[WELL] * 4097), "digests"),
    ],
    "DownloadBlob": [
        (pb.DownloadBlobRequest(), "digest.sha256"),
        (pb.DownloadBlobRequest(digest=pb.Digest(sha256=NAME.upper())), "digest.sha256"),
        (pb.DownloadBlobRequest(digest=WELL, offset_bytes=-1), "offset_bytes"),
        (pb.DownloadBlobRequest(digest=WELL, offset_bytes=len(CONTENT) + 1), "offset_bytes"),
        (pb.DownloadBlobRequest(digest=WELL, limit_bytes=-1), "limit_bytes"),
    ],
    "ListBlobs": [
        (pb.ListBlobsRequest(page_size=-1), "page_size"),
        (pb.ListBlobsRequest(page_token="nonsense"), "page_token"),  # noqa: S106 - of a page
    ],
    "DeleteBlob": [
        (pb.DeleteBlobRequest(), "digest.sha256"),
        (pb.DeleteBlobRequest(digest=pb.Digest(sha256=NAME, size_bytes=-1)), "digest.size_bytes"),
    ],
}


@pytest.mark.parametrize("rpc", BAD)
async def test_every_rpc_of_blob_service_invalid_argument_names_the_field(
    blob_post: Post, rpc: str
) -> None:
    async with stub_of(blob_post.unix) as stub:
        await upload(stub, {"data": CONTENT})
        for request, field in BAD[rpc]:
            found = await refusal(ask(stub, rpc, request))
            assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
            assert found.fields.keys() == {field}


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_invalid_argument_for_what_is_no_message(
    blob_post: Post, rpc: str
) -> None:
    async with grpc.aio.insecure_channel(blob_post.unix) as channel:
        call = channel.stream_stream(f"/sandboxd.v1.BlobService/{rpc}")(iter([b"\xff"]))
        found = await refusal(anext(aiter(call)))
        assert found.code is Code.INVALID_ARGUMENT
        assert found.fields.keys() == {"request"}


# --- tenants and shares ---------------------------------------------------------------------------


@asynccontextmanager
async def guarded(directory: Path, store: BlobStore, *rows: str) -> AsyncIterator[Any]:
    callers = written(directory / "callers.toml", *rows)
    async with posted(directory, callers, blobs=store) as post, stub_of(post.tcp) as stub:
        yield stub


def as_(name: str) -> Any:
    return {"metadata": bearer(token_of(name))}


async def test_a_caller_sees_nothing_of_anothers_blobs(tmp_path: Path, store: BlobStore) -> None:
    async with guarded(tmp_path, store, row("a"), row("b")) as stub:
        await upload(stub, {"data": CONTENT}, **as_("a"))
        wanted = pb.FindMissingBlobsRequest(digests=[WELL])
        assert (await stub.FindMissingBlobs(wanted, **as_("b"))).missing == [WELL]
        assert not (await stub.ListBlobs(pb.ListBlobsRequest(), **as_("b"))).blobs
        delete = pb.DeleteBlobRequest(digest=WELL)
        assert not (await stub.DeleteBlob(delete, **as_("b"))).deleted
        foreign = await refusal(ask(stub, "DownloadBlob", **as_("b")))
        assert (foreign.code, foreign.info.reason) == (Code.FAILED_PRECONDITION, "BLOB_UNKNOWN")
        assert await upload(stub, {"data": CONTENT}, **as_("b"))
        assert (await stub.DeleteBlob(delete, **as_("a"))).deleted
        await ask(stub, "DownloadBlob", **as_("b"))


async def test_a_share_of_blobs_is_kept(tmp_path: Path, store: BlobStore) -> None:
    share = ("[caller.share]", f"blob_bytes = {SMALL_SHARE}")
    async with guarded(tmp_path, store, row("small", *share), row("other")) as stub:
        first = await upload(stub, {"data": b"1"}, **as_("small"))
        await upload(stub, {"data": b"2"}, **as_("small"))
        wanted = pb.FindMissingBlobsRequest(digests=[first])
        assert (await stub.FindMissingBlobs(wanted, **as_("small"))).missing == [first]
        found = await refused(stub, {"digest": {"size_bytes": SMALL_SHARE}}, **as_("small"))
        assert found.fields.keys() == {"digest.size_bytes"}
        found = await refused(stub, {"data": bytes(SMALL_SHARE)}, **as_("small"))
        assert found.fields.keys() == {"data"}
        await upload(stub, {"data": bytes(SMALL_SHARE)}, **as_("other"))


async def test_upload_blob_resource_exhausted_when_all_is_in_use(
    tmp_path: Path, store: BlobStore
) -> None:
    share = ("[caller.share]", f"blob_bytes = {SMALL_SHARE}")
    async with guarded(tmp_path, store, row("small", *share)) as stub:
        used = await upload(stub, {"data": b"1"}, **as_("small"))
        with store.hold("small", Digest(used.sha256)):
            found = await refused(stub, {"data": b"2"}, **as_("small"))
            assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "SHARE_EXHAUSTED")
        await upload(stub, {"data": b"2"}, **as_("small"))


async def test_download_blob_resource_exhausted_when_too_many_are_on_their_way(
    tmp_path: Path, store: BlobStore
) -> None:
    async with guarded(tmp_path, store, row("many"), row("other")) as stub:
        begun = [stub.UploadBlob(**as_("many")) for _ in range(MAX_STREAMS_OF_ONE)]
        for call in begun:
            await call.write(pb.UploadBlobRequest(data=CONTENT))
        await eventually(lambda: len(on_disk(store)) == MAX_STREAMS_OF_ONE)
        for rpc in ("DownloadBlob", "UploadBlob", "FindMissingBlobs", "ListBlobs", "DeleteBlob"):
            found = await refusal(ask(stub, rpc, **as_("many")))
            assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED")
        await upload(stub, {"data": CONTENT}, **as_("other"))
        for call in begun:
            call.cancel()
        await eventually(lambda: len(on_disk(store)) == 1)
        await upload(stub, {"data": CONTENT}, **as_("many"))


async def test_a_message_larger_than_a_piece_is_refused_unread(
    tmp_path: Path, store: BlobStore
) -> None:
    async with guarded(tmp_path, store, row("many")) as stub:
        asked = pb.FindMissingBlobsRequest(digests=[pb.Digest()] * (3 << 20))
        found = await refusal(stub.FindMissingBlobs(asked, **as_("many")))
        assert (found.code, found.fields.keys()) == (Code.INVALID_ARGUMENT, {"request"})


async def test_the_client_raises_what_it_is(tmp_path: Path, store: BlobStore) -> None:
    share = ("[caller.share]", f"blob_bytes = {SMALL_SHARE}")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    async with (
        posted(tmp_path, callers, blobs=store) as post,
        Client(post.tcp, token=token_of("small")) as client,
    ):
        used = await client.blobs.put(b"1")
        with store.hold("small", used), pytest.raises(Busy) as busy:
            await client.blobs.put(b"2")
        assert busy.value.reason == "SHARE_EXHAUSTED"
        with pytest.raises(RequestError, match=r"digest\.size_bytes: must be at most 12288"):
            await client.blobs.put(bytes(SMALL_SHARE))
        with pytest.raises(ValueError, match="is no digest"):
            await client.blobs.delete("nonsense")


async def test_the_audit_tells_who_stored_and_removed_what(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    options = ("--blobs", str(tmp_path / "blobs"), "--audit", str(audit))
    with daemon(tmp_path, *options) as server:
        async with Client(server.unix) as client, stub_of(server.unix) as stub:
            await client.blobs.put(CONTENT)
            await refused(stub, {"digest": {"sha256": "0" * 64}, "data": CONTENT})
            await client.blobs.delete(NAME)
        server.signal()
        await server.end()
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(x["event"], x["caller"], x["blob"], x["status"], x["reason"]) for x in lines] == [
        ("upload_blob", "owner", f"sha256:{NAME}", "OK", None),
        ("upload_blob", "owner", None, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ("delete_blob", "owner", f"sha256:{NAME}", "OK", None),
    ]


# --- errors that every rpc has --------------------------------------------------------------------


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_unauthenticated_without_a_token(
    tmp_path: Path, store: BlobStore, rpc: str
) -> None:
    async with guarded(tmp_path, store, row("a")) as stub:
        found = await refusal(ask(stub, rpc))
        assert (found.code, found.info.reason) == (Code.UNAUTHENTICATED, "NO_CREDENTIALS")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_permission_denied_without_the_role(
    tmp_path: Path, store: BlobStore, rpc: str
) -> None:
    async with guarded(tmp_path, store, row("a", roles='"admin"')) as stub:
        found = await refusal(ask(stub, rpc, **as_("a")))
        assert (found.code, found.info.reason) == (Code.PERMISSION_DENIED, "ROLE_MISSING")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_resource_exhausted_when_called_too_often(
    tmp_path: Path, store: BlobStore, rpc: str
) -> None:
    rate = ("[caller.share]", "rate = 0.01", "burst = 2")
    async with guarded(tmp_path, store, row("a", *rate)) as stub:
        await upload(stub, {"data": CONTENT}, **as_("a"))
        await ask(stub, rpc, **as_("a"))
        found = await refusal(ask(stub, rpc, **as_("a")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_failed_precondition_without_a_store(
    post: Post, rpc: str
) -> None:
    async with stub_of(post.unix) as stub:
        found = await refusal(ask(stub, rpc))
        assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, "BLOBS_OFF")


async def test_download_blob_failed_precondition_names_what_is_not_there(blob_post: Post) -> None:
    async with stub_of(blob_post.unix) as stub:
        await upload(stub, {"data": CONTENT})
        wrong_size = pb.DownloadBlobRequest(digest=pb.Digest(sha256=NAME, size_bytes=9))
        for request in (pb.DownloadBlobRequest(digest=pb.Digest(sha256="0" * 64)), wrong_size):
            found = await refusal(ask(stub, "DownloadBlob", request))
            assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, "BLOB_UNKNOWN")
            assert found.info.metadata["subject"] == f"sha256:{request.digest.sha256}"


async def test_download_blob_data_loss_when_the_disk_has_lost_it(
    blob_post: Post, store: BlobStore
) -> None:
    content = os.urandom(3 * MIB)
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digest = await client.blobs.put(content)
        (path,) = on_disk(store)
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(bytes([content[-1] ^ 1]))
        got: list[bytes] = []

        async def read() -> None:
            async for piece in client.blobs.get(digest):
                got.append(piece)  # noqa: PERF401 - until it fails

        with pytest.raises(BlobDamaged) as caught:
            await read()
        assert caught.value.reason == "BLOB_DAMAGED"
        assert sum(map(len, got)) == 2 * MIB, "the last piece never comes"
        request = pb.DownloadBlobRequest(digest=pb.Digest(sha256=digest.sha256))
        found = await refusal(ask(stub, "DownloadBlob", request))
        assert found.info.reason == "BLOB_UNKNOWN", "it is gone for all"
        assert await client.blobs.put(content) == digest
        assert b"".join([piece async for piece in client.blobs.get(digest)]) == content


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_unavailable_when_its_disk_fails(
    tmp_path: Path, rpc: str
) -> None:
    store = BlobStore(tmp_path / "blobs", max_bytes=MIB)
    store.close()  # as good as gone
    async with posted(tmp_path, blobs=store) as post, stub_of(post.unix) as stub:
        found = await refusal(ask(stub, rpc))
        assert (found.code, found.info.reason) == (Code.UNAVAILABLE, "BLOBS_UNUSABLE")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_deadline_exceeded_while_it_waits(
    blob_post: Post, store: BlobStore, rpc: str
) -> None:
    async with stub_of(blob_post.unix) as stub:
        with store.working():
            found = await refusal(ask(stub, rpc, timeout=0.2))
            assert found.code is Code.DEADLINE_EXCEEDED
        await upload(stub, {"data": CONTENT})
        await ask(stub, rpc)


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_cancelled_when_the_caller_leaves(
    blob_post: Post, store: BlobStore, rpc: str
) -> None:
    async with grpc.aio.insecure_channel(blob_post.unix) as channel:
        stub = pb_grpc.BlobServiceStub(channel)
        host = runner_grpc.RunnerServiceStub(channel).GetHost
        await host(runner_pb.GetHostRequest())  # connects
        with store.working():
            asked = asyncio.create_task(ask(stub, rpc))
            await asyncio.sleep(0)
            await host(runner_pb.GetHostRequest())  # answered after the other has come
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await upload(stub, {"data": CONTENT})
        await ask(stub, rpc)


class Defect(BlobStore):
    """Has a defect of our own in every call."""

    marker = "xyzzy"

    def working(self) -> Any:
        raise ZeroDivisionError(self.marker)


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_blob_service_internal_for_a_defect(
    tmp_path: Path, rpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Defect(tmp_path / "blobs", max_bytes=MIB)
    async with posted(tmp_path, blobs=store) as post, stub_of(post.unix) as stub:
        found = await refusal(ask(stub, rpc))
        assert (found.code, found.info.reason) == (Code.INTERNAL, "UNEXPECTED")
    assert "ZeroDivisionError" in caplog.text
    assert store.marker not in caplog.text + found.message


async def test_what_has_had_its_time_goes_without_being_asked_for(tmp_path: Path) -> None:
    old = BlobStore(tmp_path / "blobs", max_bytes=MIB, clock=lambda: time.time() - 100)
    old_upload = old.upload("somebody")
    old_upload.write(CONTENT)
    old_upload.commit()
    old.close()
    lasting = timedelta(seconds=90)
    store = BlobStore(tmp_path / "blobs", max_bytes=MIB, time_to_live=lasting)
    assert len(on_disk(store)) == 1
    async with posted(tmp_path, blobs=store):
        await eventually(lambda: not on_disk(store))
    store.close()


# --- clients that vanish --------------------------------------------------------------------------


async def test_an_upload_that_is_cut_leaves_nothing(blob_post: Post, store: BlobStore) -> None:
    async with Client(blob_post.unix) as client:
        for sent in range(50):
            arrived = asyncio.Event()

            def pieces(sent: int = sent, arrived: asyncio.Event = arrived) -> Iterator[bytes]:
                for _ in range(sent):
                    yield os.urandom(1000)
                arrived.set()
                yield b"the last"

            call = asyncio.create_task(client.blobs.put(pieces()))
            await arrived.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await eventually(lambda: not on_disk(store))
        assert [stored async for stored in client.blobs.list()] == []


async def test_a_connection_that_dies_in_an_upload_leaves_nothing(
    blob_post: Post, store: BlobStore
) -> None:
    for _ in range(20):
        async with grpc.aio.insecure_channel(blob_post.unix) as channel:
            call = pb_grpc.BlobServiceStub(channel).UploadBlob()
            await call.write(pb.UploadBlobRequest(data=os.urandom(100_000)))
            await eventually(lambda: on_disk(store))
        await eventually(lambda: not on_disk(store))


async def test_a_download_that_is_left_lets_go_of_its_blob(
    blob_post: Post, store: BlobStore
) -> None:
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digest = await client.blobs.put(os.urandom(24 * MIB))
        for _ in range(5):
            call = stub.DownloadBlob(pb.DownloadBlobRequest(digest={"sha256": digest.sha256}))
            assert await call.read()
            call.cancel()
        await eventually(lambda: not in_use(store, digest))


# --- clients that stand still ---------------------------------------------------------------------

SHORT_SECONDS = 0.3


async def test_upload_blob_deadline_exceeded_when_nothing_more_comes(
    blob_post: Post, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "IDLE_SECONDS", SHORT_SECONDS)
    async with stub_of(blob_post.unix) as stub:
        for messages in ([], [pb.UploadBlobRequest(data=CONTENT)]):
            call = stub.UploadBlob()
            for message in messages:
                await call.write(message)
            found = await refusal(call)
            assert (found.code, found.info.reason) == (Code.DEADLINE_EXCEEDED, "STREAM_IDLE")
            assert on_disk(store) == []


async def test_download_blob_deadline_exceeded_when_nothing_is_taken(
    blob_post: Post, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digest = await client.blobs.put(bytes(31 * MIB))
        monkeypatch.setattr(streams, "IDLE_SECONDS", SHORT_SECONDS)
        call = stub.DownloadBlob(pb.DownloadBlobRequest(digest={"sha256": digest.sha256}))
        assert await call.read()
        await eventually(lambda: not in_use(store, digest))

        async def rest() -> None:
            while await call.read():
                pass

        found = await refusal(rest())
        assert (found.code, found.info.reason) == (Code.DEADLINE_EXCEEDED, "STREAM_IDLE")


async def test_who_lets_downloads_stand_still_has_fewer_of_its_own_and_costs_nobody_else(
    tmp_path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS_OF_ONE", 2)
    monkeypatch.setattr(limits, "MAX_STREAMS", 2)
    async with guarded(tmp_path, store, row("idle"), row("other")) as stub:
        content = bytes(16 * MIB)
        pieces = [{"data": content[:MIB]}] * 16
        digest = await upload(stub, *pieces, **as_("idle"))
        monkeypatch.setattr(streams, "IDLE_SECONDS", SHORT_SECONDS)
        asked = pb.DownloadBlobRequest(digest=digest)
        begun = [stub.DownloadBlob(asked, **as_("idle")) for _ in range(2)]
        for call in begun:
            assert await call.read()
        await eventually(lambda: not in_use(store, Digest(digest.sha256)))
        found = await refusal(ask(stub, "ListBlobs", **as_("idle")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "STREAMS_EXHAUSTED")
        await ask(stub, "ListBlobs", **as_("other"))
        for call in begun:
            call.cancel()

        async def answers() -> bool:
            try:
                await ask(stub, "ListBlobs", **as_("idle"))
            except grpc.aio.AioRpcError:
                return False
            return True

        async with asyncio.timeout(PATIENCE):
            while not await answers():
                pass


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a processor")
async def test_all_workers_have_the_same_blobs(tmp_path: Path) -> None:
    options = ("--workers", "2", "--slots", "4", "--blobs", str(tmp_path / "blobs"))
    contents = [os.urandom(100_000) for _ in range(6)]
    with daemon(tmp_path, *options, "--blob-bytes", "520KiB", "--blob-ttl", "1h") as server:
        clients = [Client(server.unix) for _ in contents]
        digests = []
        for client, content in zip(clients, contents, strict=True):
            await client.__aenter__()
            digests.append(await client.blobs.put(content))
        for client in clients:  # each has a connection of its own, to one worker or the other
            assert await client.blobs.missing(digests) == digests[:1], "520 KiB hold five of them"
            for digest, content in zip(digests[1:], contents[1:], strict=True):
                assert (await client.run(["cat"], stdin=digest)).stdout.data == content
            await client.__aexit__(None, None, None)


# --- memory ---------------------------------------------------------------------------------------

LARGE_BYTES = int(os.environ.get("SANDBOXD_TEST_BLOB_MIB", "256")) * MIB
FLAT_BYTES = 32 * MIB


async def test_the_servers_memory_stays_flat_whatever_goes_through(tmp_path: Path) -> None:
    options = ("--blobs", str(tmp_path / "blobs"), "--blob-bytes", str(4 * LARGE_BYTES))
    piece = os.urandom(MIB)
    with daemon(tmp_path, *options) as server, SyncClient(server.unix) as client:
        before = peak_of(server.process.pid)
        blobs = client.blobs
        numbers = count()

        def pieces() -> Iterator[bytes]:
            for _ in range(LARGE_BYTES // MIB):
                yield next(numbers).to_bytes(8, "big") + piece[8:]

        digest = await asyncio.to_thread(blobs.put, pieces())
        assert digest.size_bytes == LARGE_BYTES
        after_up = peak_of(server.process.pid)
        hashed = sha256()
        for part in blobs.get(digest):
            hashed.update(part)
        assert hashed.hexdigest() == digest.sha256
        after_down = peak_of(server.process.pid)
    growth = (
        f"{before >> 20} MiB, {(after_up - before) >> 20} up, {(after_down - before) >> 20} down"
    )
    assert max(after_up, after_down) - before <= FLAT_BYTES, growth


async def test_a_slow_reader_costs_no_memory(tmp_path: Path) -> None:
    """The server reads its disk no faster than its client reads the answers."""
    options = ("--blobs", str(tmp_path / "blobs"), "--blob-bytes", str(LARGE_BYTES))
    with daemon(tmp_path, *options) as server:
        async with Client(server.unix) as client, stub_of(server.unix) as stub:
            digest = await client.blobs.put(bytes(64 * MIB))
            before = peak_of(server.process.pid)
            request = pb.DownloadBlobRequest(digest={"sha256": digest.sha256})
            calls = [stub.DownloadBlob(request) for _ in range(4)]
            for call in calls:
                assert len((await call.read()).data) == MIB
            for _ in range(20):
                await client.get_host()  # time for the server to run ahead, if it would
            assert peak_of(server.process.pid) - before <= FLAT_BYTES
            for call in calls:
                call.cancel()


def peak_of(pid: int) -> int:
    """Give the most memory that a process has had of its own, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
