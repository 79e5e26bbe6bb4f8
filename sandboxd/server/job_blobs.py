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
from sandboxd.model.blob import Digest, Fetched
from sandboxd.model.job import blobs_of, is_to_store, size_of, uses_blobs
from sandboxd.model.limits import DESCRIPTORS_PER_JOB_BLOBS
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

MAX_BLOB_FDS = DESCRIPTORS_PER_JOB_BLOBS
"""As many blobs travel to init as descriptors; a message has 32. Of more, the smallest are read."""
MAX_COMMON_FDS = 8
"""Of the largest blobs that many jobs have in common: each job needs room for its own, too."""


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

    def __init__(
        self, store: BlobStore | None, threads: Threads, common: OpenedBlobs | None = None
    ) -> None:
        """Take the store and what works for it, and what is at hand already for all jobs."""
        self._store = store
        self._threads = threads
        self._common_fds = common.fds if common else {}
        common_blobs = blobs_of(common.job) if common else ()
        self._at_hand = {d.sha256: d for d in common_blobs if d.sha256 in self._common_fds}

    @asynccontextmanager
    async def common(self, job: Job, tenant: str) -> AsyncIterator[tuple[Job, JobBlobs]]:
        """Hold and open once, while the context lasts, what many jobs have in common.

        Gives it with the sizes of its blobs, and what does the rest for each job made of it.

        Raises:
            SandboxdError: as `held` and `opened`.

        """
        async with self.held(job, tenant) as held:
            if not held.held:
                yield job, self
                return
            some = HeldBlobs(held.job, dict(_by_size(held)[:MAX_COMMON_FDS]))
            async with self.opened(some) as opened:
                yield held.job, JobBlobs(self._store, self._threads, opened)

    @asynccontextmanager
    async def held(self, job: Job, tenant: str) -> AsyncIterator[HeldBlobs]:
        """Hold the blobs of a job while the context lasts.

        Raises:
            PreconditionError: the tenant has not all of them, or none are kept here.
            JobError: together they are too large.

        """
        digests = tuple(d for d in blobs_of(job) if not self._is_at_hand(d))
        store = self._store
        if store is None and uses_blobs(job):
            raise blobs_off()
        if store is None or not digests:
            yield HeldBlobs(_with(job, self._at_hand) if _lacks_sizes(job) else job, {})
            return
        async with self._threads.having(
            lambda: _hold_all(store, tenant, digests), _release_all
        ) as held:
            known = {sha256: one.digest for sha256, one in held.items()}
            yield HeldBlobs(_with(job, self._at_hand | known), held)

    def _is_at_hand(self, digest: Digest) -> bool:
        there = self._at_hand.get(digest.sha256)
        return there is not None and digest.size_bytes in {None, there.size_bytes}

    @asynccontextmanager
    async def opened(self, blobs: HeldBlobs) -> AsyncIterator[OpenedBlobs]:
        """Open the blobs while the context lasts, each verified.

        Raises:
            BlobDamaged: one is not on disk as it was stored.

        """
        if not blobs.held:
            yield OpenedBlobs(blobs.job, self._common_fds)
            return
        room = MAX_BLOB_FDS - len(self._common_fds)
        async with self._threads.having(
            lambda: _open_all(blobs, room), OpenedBlobs.close
        ) as opened:
            yield OpenedBlobs(opened.job, {**self._common_fds, **opened.fds})

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


def _by_size(blobs: HeldBlobs) -> list[tuple[str, Held]]:
    """Give what is held with its SHA-256, the largest first."""
    return sorted(blobs.held.items(), key=lambda one: one[1].holding.size_bytes, reverse=True)


def _lacks_sizes(job: Job) -> bool:
    return any(digest.size_bytes is None for digest in blobs_of(job))


def _open_all(blobs: HeldBlobs, fd_count: int) -> OpenedBlobs:
    """Open the largest; read the rest, and the job has their bytes."""
    by_size = [held for _, held in _by_size(blobs)]
    fds: dict[str, int] = {}
    with ExitStack() as closing:
        for held in by_size[:fd_count]:
            fds[held.digest.sha256] = fd = held.open()
            closing.callback(os.close, fd)
        content = {held.digest.sha256: _content(held) for held in by_size[fd_count:]}
        job = _with(blobs.job, content) if content else blobs.job
        closing.pop_all()
        return OpenedBlobs(job, fds)


def _content(held: Held) -> bytes:
    reader = held.read()
    try:
        return Fetched(b"".join(reader))
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
