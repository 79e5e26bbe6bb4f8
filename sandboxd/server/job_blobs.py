"""The blobs of one job: held while it waits, opened while it runs; its files stored afterwards.

Between a job as it was asked for, with digests, and what the supervisor needs: sizes, descriptors.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandboxd.errors import Busy, HostError, JobError
from sandboxd.model.blob import Digest
from sandboxd.model.job import blobs_of, is_to_store, size_of, uses_blobs
from sandboxd.model.outcome import FileFault
from sandboxd.server.blob_service import blobs_off
from sandboxd.store.faults import unknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sandboxd.model.caller import Share
    from sandboxd.model.job import Job
    from sandboxd.model.outcome import OutputFile, RunResult
    from sandboxd.server.threads import Threads
    from sandboxd.store.blobs import BlobStore, Held

log = logging.getLogger(__name__)

MAX_BLOB_FDS = 16
"""As many blobs travel to init as descriptors; a message has 32. Of more, the smallest are read."""


@dataclass(frozen=True, slots=True)
class HeldBlobs:
    """A job that knows the sizes of its blobs, none of which can go."""

    job: Job
    held: Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class OpenedBlobs:
    """A job to be run, and the descriptors of its blobs by SHA-256."""

    job: Job
    fds: Mapping[str, int]

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds.values():
            os.close(fd)


class JobBlobs:
    """Does it all with one store, or says that there is none."""

    def __init__(self, store: BlobStore | None, threads: Threads) -> None:
        """Take the store and what works for it."""
        self._store = store
        self._threads = threads

    @asynccontextmanager
    async def held(self, job: Job, tenant: str) -> AsyncIterator[HeldBlobs]:
        """Hold the blobs of a job while the context lasts.

        Raises:
            PreconditionError: the tenant has not all of them, or none are kept here.
            JobError: together they are too large.

        """
        digests = blobs_of(job)
        store = self._store
        if store is None and uses_blobs(job):
            raise blobs_off()
        if store is None or not digests:
            yield HeldBlobs(job, {})
            return
        async with self._threads.having(
            lambda: _hold_all(store, tenant, digests), _release_all
        ) as held:
            known = {sha256: one.digest for sha256, one in held.items()}
            yield HeldBlobs(_with(job, known), held)

    @asynccontextmanager
    async def opened(self, blobs: HeldBlobs) -> AsyncIterator[OpenedBlobs]:
        """Open the blobs while the context lasts, each verified.

        Raises:
            BlobDamaged: one is not on disk as it was stored.

        """
        if not blobs.held:
            yield OpenedBlobs(blobs.job, {})
            return
        async with self._threads.having(lambda: _open_all(blobs), OpenedBlobs.close) as opened:
            yield opened

    async def stored(self, result: RunResult, job: Job, tenant: str, share: Share) -> RunResult:
        """Store the files that the job wants stored; then the result has their digests instead."""
        store = self._store
        if store is None or not any(output.store for output in job.outputs):
            return result
        files = [
            await self._threads.do(_stored, store, file, tenant, share)
            if file.content is not None and is_to_store(job, file.path)
            else file
            for file in result.files
        ]
        return replace(result, files=tuple(files))


def _hold_all(store: BlobStore, tenant: str, digests: tuple[Digest, ...]) -> dict[str, Held]:
    with ExitStack() as releasing:
        held: dict[str, Held] = {}
        for digest in digests:
            if digest.sha256 not in held:
                held[digest.sha256] = releasing.enter_context(store.hold(tenant, digest))
            elif digest.size_bytes not in {None, held[digest.sha256].digest.size_bytes}:
                raise unknown(digest)
        releasing.pop_all()
        return held


def _release_all(held: Mapping[str, Held]) -> None:
    for one in held.values():
        one.release()


def _open_all(blobs: HeldBlobs) -> OpenedBlobs:
    """Open the largest; read the rest, and the job has their bytes."""
    by_size = sorted(blobs.held.values(), key=lambda held: held.holding.size_bytes, reverse=True)
    fds: dict[str, int] = {}
    with ExitStack() as closing:
        for held in by_size[:MAX_BLOB_FDS]:
            fds[held.digest.sha256] = fd = held.open()
            closing.callback(os.close, fd)
        content = {held.digest.sha256: _content(held) for held in by_size[MAX_BLOB_FDS:]}
        job = _with(blobs.job, content) if content else blobs.job
        closing.pop_all()
        return OpenedBlobs(job, fds)


def _content(held: Held) -> bytes:
    reader = held.read()
    try:
        return b"".join(reader)
    finally:
        reader.close()


def _with(job: Job, known: Mapping[str, Digest] | Mapping[str, bytes]) -> Job:
    """Give the job with what is known of its blobs in their place."""

    def of(content: bytes | Digest) -> bytes | Digest:
        return content if isinstance(content, bytes) else known.get(content.sha256, content)

    files = tuple(replace(file, content=of(file.content)) for file in job.files)
    return replace(job, stdin=of(job.stdin), files=files)


def _stored(store: BlobStore, file: OutputFile, tenant: str, share: Share) -> OutputFile:
    upload = store.upload(tenant, share.blob_bytes)
    try:
        upload.write(file.content or b"")
        return replace(file, content=None, blob=upload.commit())
    except (Busy, HostError, JobError) as error:  # the program has ended as it has
        if isinstance(error, HostError):
            log.error("cannot store a job's file: %s", error)  # noqa: TRY400 - no trace
        return replace(file, content=None, fault=FileFault.NOT_STORED)
    finally:
        upload.discard()


def placed_blob_bytes(job: Job) -> int:
    """Tell how much memory the job's blobs take in its sandbox, beside its own limit."""
    return sum(size_of(file.content) for file in job.files if isinstance(file.content, Digest))
