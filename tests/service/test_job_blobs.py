"""Jobs with blobs: compiled once and started often, inputs by digest, files that stay there."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from guards import bearer, row, token_of, written
from post import eventually, marker, posted, refusal, request, sleepers, stub_of
from stored import in_use, on_disk

import sandboxd
from sandboxd.client import Client
from sandboxd.errors import JobError, PreconditionError
from sandboxd.model.blob import Digest
from sandboxd.model.job import MAX_BLOB_BYTES, InputFile, OutputPath
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, FileFault
from sandboxd.store.blobs import BlobStore
from sandboxd.store.charge import LEAST_BYTES
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
MIB = 1 << 20
UNKNOWN = Digest("0" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs", max_bytes=512 * MIB)
    yield store
    store.close()


@pytest.fixture
async def client(blob_post: Post) -> AsyncIterator[Client]:
    async with Client(blob_post.unix) as client:
        yield client


async def test_what_one_job_made_another_starts(client: Client) -> None:
    made = await client.run(
        ["sh", "-c", "printf '#!/bin/sh\\necho made: $1\\n' > tool; chmod +x tool; echo x > note"],
        outputs=(OutputPath("tool", store=True), OutputPath("note")),
    )
    tool, note = made.files
    assert (tool.content, tool.executable, note.content) == (None, True, b"x\n")
    assert tool.blob is not None
    assert [stored.digest async for stored in client.blobs.list()] == [tool.blob]
    for number in range(3):
        started = await client.run(
            ["./tool", str(number)], files=(InputFile("tool", tool.blob, executable=True),)
        )
        assert started.stdout.data == b"made: %d\n" % number


@pytest.mark.parametrize("compiled", [True, False])
async def test_inputs_of_both_kinds_are_placed_beside_one_another(
    tmp_path: Path, store: BlobStore, *, compiled: bool
) -> None:
    async with (
        posted(tmp_path, blobs=store, compiled=compiled) as post,
        Client(post.unix) as client,
    ):
        await place_both_kinds(client)


async def place_both_kinds(client: Client) -> None:
    large = os.urandom(5 * MIB + 3)
    blobs = [await client.blobs.put(content) for content in (large, b"", b"small")]
    files = (
        InputFile("bytes", b"as they are"),
        *(InputFile(f"blob{n}", digest) for n, digest in enumerate(blobs)),
        InputFile("again", blobs[0]),
        InputFile("more", b"of them"),
    )
    script = "sha256sum bytes blob0 blob1 blob2 again more; cat"
    result = await client.run(["sh", "-c", script], files=files, stdin=blobs[2])
    expected = [b"as they are", large, b"", b"small", large, b"of them"]
    lines = result.stdout.data.decode().splitlines()
    assert [line.split()[0] for line in lines[:6]] == [sha256(c).hexdigest() for c in expected]
    assert lines[6] == "small"
    assert result.ending == Exited(0)


async def test_a_job_may_have_more_blobs_than_a_message_has_descriptors(client: Client) -> None:
    contents = [b"%d" % n * (n + 1) for n in range(60)]
    files = tuple([InputFile(f"{n:02}", await client.blobs.put(c)) for n, c in enumerate(contents)])
    result = await client.run(["sh", "-c", "cat *"], files=files)
    assert result.stdout.data == b"".join(contents)


async def test_standard_input_of_a_blob_is_like_any_other(client: Client) -> None:
    lines = "".join(f"{n}\n" for n in range(200_000)).encode()
    digest = await client.blobs.put(lines)
    script = "read first; echo $first; wc -c < /dev/stdin; readlink /proc/self/fd/0"
    for stdin in (lines, digest):
        result = await client.run(["bash", "-c", script], stdin=stdin)
        first, _, link = result.stdout.data.decode().split("\n", 2)
        assert (first, link.strip()) == ("0", "/memfd:stdin (deleted)")
    result = await client.run(["sh", "-c", "wc -c; echo x >&0"], stdin=digest)
    assert result.stdout.data.split() == [b"%d" % len(lines)]
    assert b"".join([piece async for piece in client.blobs.get(digest)]) == lines


async def test_a_program_changes_its_copy_and_not_the_blob(client: Client) -> None:
    digest = await client.blobs.put(b"as it was")
    for _ in range(2):
        result = await client.run(
            ["sh", "-c", "cat f; echo changed > f; chmod 777 f; cat f"],
            files=(InputFile("f", digest),),
        )
        assert result.stdout.data == b"as it waschanged\n"


async def test_stored_files_may_match_globs(client: Client) -> None:
    result = await client.run(
        ["sh", "-c", "mkdir -p a/b; echo 1 > a/x.out; echo 2 > a/b/y.out; echo 3 > z.txt"],
        outputs=(
            OutputPath("**/*.out", store=True),
            OutputPath("*.txt"),
            OutputPath("no", store=True),
        ),
    )
    found = {file.path: (file.content, file.fault) for file in result.files if file.blob is None}
    assert found == {"z.txt": (b"3\n", None), "no": (None, FileFault.MISSING)}
    blobs = {file.path: file.blob for file in result.files if file.blob is not None}
    assert blobs == {
        path: Digest(sha256(content).hexdigest(), 2)
        for path, content in (("a/x.out", b"1\n"), ("a/b/y.out", b"2\n"))
    }


# --- what is not there, and what has no room ------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [{"stdin": UNKNOWN}, {"files": (InputFile("f", UNKNOWN),)}],
    ids=["stdin", "file"],
)
async def test_run_failed_precondition_names_the_blob_that_is_not_there(
    client: Client, store: BlobStore, job: Any
) -> None:
    known = await client.blobs.put(b"known")
    job["files"] = (InputFile("known", known), *job.get("files", ()))
    with pytest.raises(PreconditionError) as caught:
        await client.run(["true"], **job)
    assert (caught.value.reason, caught.value.subject) == ("BLOB_UNKNOWN", str(UNKNOWN))
    assert not in_use(store, known)


async def test_anothers_blob_is_as_unknown_as_nobodys(tmp_path: Path, store: BlobStore) -> None:
    callers = written(tmp_path / "callers.toml", row("a"), row("b"))
    async with (
        posted(tmp_path, callers, blobs=store) as post,
        Client(post.tcp, token=token_of("a")) as a,
        Client(post.tcp, token=token_of("b")) as b,
    ):
        digest = await a.blobs.put(b"a's own")
        with pytest.raises(PreconditionError) as caught:
            await b.run(["cat"], stdin=digest)
        assert caught.value.reason == "BLOB_UNKNOWN"
        assert (await a.run(["cat"], stdin=digest)).stdout.data == b"a's own"


async def test_a_blob_of_another_size_is_another_one(client: Client, store: BlobStore) -> None:
    digest = await client.blobs.put(b"known")
    wrong = Digest(digest.sha256, 6)
    for files in ((), (InputFile("f", digest),)):
        with pytest.raises(PreconditionError) as caught:
            await client.run(["cat"], stdin=wrong, files=(*files, InputFile("g", wrong)))
        assert caught.value.reason == "BLOB_UNKNOWN"
        assert not in_use(store, digest)


async def test_run_invalid_argument_for_a_digest_that_is_none(blob_post: Post) -> None:
    nonsense = {"blob": {"sha256": "nonsense", "size_bytes": -1}}
    async with stub_of(blob_post.unix) as stub:
        asked = request("true", stdin=nonsense, files=[{"path": "f", "content": nonsense}])
        found = await refusal(stub.Run(asked))
    assert found.fields.keys() == {
        f"job.{place}.blob.{field}"
        for place in ("stdin", "files[0].content")
        for field in ("sha256", "size_bytes")
    }


async def test_blobs_that_are_too_large_for_a_sandbox_are_refused(
    client: Client, store: BlobStore
) -> None:
    digest = await client.blobs.put(bytes(65 * MIB))
    short = Digest(digest.sha256)
    with pytest.raises(JobError, match=r"stdin: must be at most 67108864 bytes"):
        await client.run(["true"], stdin=short)
    files = tuple(InputFile(str(n), short) for n in range(4))
    with pytest.raises(
        JobError, match=rf"files: must have at most {MAX_BLOB_BYTES} bytes of blobs"
    ):
        await client.run(["true"], files=files)
    assert not in_use(store, digest)


async def test_blobs_count_against_a_share_of_memory(tmp_path: Path, store: BlobStore) -> None:
    share = ("[caller.share]", f"memory_bytes = {100 * MIB}")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    async with (
        posted(tmp_path, callers, blobs=store) as post,
        Client(post.tcp, token=token_of("small")) as client,
    ):
        digest = await client.blobs.put(bytes(40 * MIB))
        file = (InputFile("f", digest),)
        fits, not_quite = Limits(memory_bytes=60 * MIB), Limits(memory_bytes=61 * MIB)
        assert (await client.run(["true"], files=file, limits=fits)).ending == Exited(0)
        with pytest.raises(JobError, match=r"limits\.memory_bytes: must be at most 104857600"):
            await client.run(["true"], files=file, limits=not_quite)


async def test_a_file_that_finds_no_room_is_told_and_changes_no_ending(
    tmp_path: Path, store: BlobStore
) -> None:
    share = ("[caller.share]", f"blob_bytes = {LEAST_BYTES}")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    async with (
        posted(tmp_path, callers, blobs=store) as post,
        Client(post.tcp, token=token_of("small")) as client,
    ):
        result = await client.run(
            ["sh", "-c", "head -c 20000 /dev/zero > large; echo 1 > small; exit 3"],
            outputs=(OutputPath("large", store=True), OutputPath("small", store=True)),
        )
    assert result.ending == Exited(3)
    assert [(f.fault, f.blob is None) for f in result.files] == [
        (FileFault.NOT_STORED, True),
        (None, False),
    ]


async def test_without_a_store_a_job_for_blobs_is_refused(post: Post) -> None:
    async with Client(post.unix) as client:
        for job in (
            {"stdin": UNKNOWN},
            {"files": (InputFile("f", UNKNOWN),)},
            {"outputs": (OutputPath("f", store=True),)},
        ):
            with pytest.raises(PreconditionError) as caught:
                await client.run(["true"], **job)
            assert caught.value.reason == "BLOBS_OFF"


def test_in_this_very_process_there_are_no_blobs() -> None:
    for job, subject in (
        ({"stdin": UNKNOWN}, str(UNKNOWN)),
        ({"outputs": (OutputPath("f", store=True),)}, "blobs"),
    ):
        with pytest.raises(PreconditionError) as caught:
            sandboxd.run(["cat"], **job)
        assert (caught.value.reason, caught.value.subject) == ("BLOBS_OFF", subject)


async def test_run_data_loss_when_the_disk_has_lost_a_blob(
    blob_post: Post, store: BlobStore
) -> None:
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digest = await client.blobs.put(b"as it was")
        (path,) = on_disk(store)
        path.chmod(0o600)
        path.write_bytes(b"as it is!")
        found = await refusal(stub.Run(request("cat", stdin={"blob": {"sha256": digest.sha256}})))
        assert (found.code, found.info.reason) == (Code.DATA_LOSS, "BLOB_DAMAGED")
        await client.blobs.put(b"as it was")
        assert (await client.run(["cat"], stdin=digest)).stdout.data == b"as it was"


# --- in use ---------------------------------------------------------------------------------------


async def test_a_blob_stays_while_its_job_waits_and_runs(tmp_path: Path, store: BlobStore) -> None:
    share = ("[caller.share]", f"blob_bytes = {LEAST_BYTES}")
    callers = written(tmp_path / "callers.toml", row("small", *share))
    token = bearer(token_of("small"))
    async with (
        posted(tmp_path, callers, blobs=store, slot_count=1) as post,
        stub_of(post.tcp) as stub,
        Client(post.tcp, token=token_of("small")) as client,
    ):
        used = await client.blobs.put(b"1")
        seconds = marker()
        runs = stub.Run(request("sleep", seconds), metadata=token)
        await eventually(lambda: sleepers(seconds))
        stdin = pb.Content(blob={"sha256": used.sha256})
        waits = stub.Run(request("cat", stdin=stdin), metadata=token)
        await eventually(lambda: post.server.admission.waiting_count)
        with pytest.raises(sandboxd.Busy, match="cannot store more"):
            await client.blobs.put(b"2")
        assert await client.blobs.delete(used)
        with pytest.raises(sandboxd.Busy, match="cannot store more"):
            await client.blobs.put(b"2")  # the waiting job still needs the bytes
        runs.cancel()
        assert (await waits).stdout.data == b"1"
        await client.blobs.put(b"2")
        assert await client.blobs.missing([used]) == [used]


async def test_a_job_that_is_cancelled_lets_go_of_its_blobs(
    blob_post: Post, store: BlobStore
) -> None:
    async with Client(blob_post.unix) as client, stub_of(blob_post.unix) as stub:
        digest = await client.blobs.put(b"some")
        content = pb.Content(blob={"sha256": digest.sha256})
        for number in range(20):
            seconds = marker()
            asked = request("sleep", seconds, files=[{"path": "f", "content": content}])
            call = stub.Run(asked)
            if number % 2:
                await eventually(lambda seconds=seconds: sleepers(seconds))
            else:
                await asyncio.sleep(0)
            call.cancel()
            await eventually(lambda: not in_use(store, digest))


async def test_many_blobs_are_bounded_as_blobs_however_many_there_are(client: Client) -> None:
    pieces = [bytes([n]) * (5 * MIB) for n in range(18)]
    digests = [await client.blobs.put(piece) for piece in pieces]
    result = await client.run(
        ["sh", "-c", "cat f* | wc -c"],
        files=tuple(InputFile(f"f{n:02}", digest) for n, digest in enumerate(digests)),
        limits=Limits(memory_bytes=512 * MIB, scratch_bytes=200 * MIB),
    )
    assert result.stdout.data == b"%d\n" % (18 * 5 * MIB)
