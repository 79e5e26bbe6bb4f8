"""What can be wrong with a store or with what is asked of it, as errors of the house."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import BlobDamaged, Busy, HostError, PreconditionError, RequestError, Violation
from sandboxd.store.charge import largest_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.model.blob import Digest

RETRY_AFTER = timedelta(seconds=1)
"""What is in use now is over when its jobs are."""
FULL = {errno.ENOSPC, errno.EDQUOT}
TOO_MANY_OPEN = {errno.EMFILE, errno.ENFILE}


def unknown(digest: Digest) -> PreconditionError:
    """Tell that the caller has no such blob, whoever else may."""
    text = f"cannot find blob {digest}: you have none of this digest"
    if digest.size_bytes is not None:
        text = f"{text} and of {digest.size_bytes} bytes"
    return PreconditionError("BLOB_UNKNOWN", str(digest), text, "upload it, perhaps once more")


def too_large(field: str, share_bytes: int) -> RequestError:
    """Tell that a blob can never be kept: alone it would count more than all may."""
    most = largest_within(share_bytes)
    rule = f"must be at most {most} bytes" if most >= 0 else "must not be: there is no room for any"
    return RequestError(Violation(field, f"{rule}, as all of your blobs may count {share_bytes}"))


def share_in_use(share_bytes: int) -> Busy:
    """Tell that a caller's share is full of what its own jobs and uploads use now."""
    busy = Busy(
        f"cannot store more: all of your {share_bytes} bytes of blobs are in use or on their way",
        RETRY_AFTER,
    )
    busy.reason = "SHARE_EXHAUSTED"
    return busy


def store_in_use() -> Busy:
    """Tell that the store is full of what is used now."""
    busy = Busy("cannot store more: all blobs are in use, and the store is full", RETRY_AFTER)
    busy.reason = "BLOBS_FULL"
    return busy


def damaged(digest: Digest) -> BlobDamaged:
    """Tell that what is on disk is not what was stored."""
    return BlobDamaged(
        "BLOB_DAMAGED",
        f"cannot give blob {digest}: its file is missing or has other bytes than were stored",
        "upload it again; as the operator look at the disk",
    )


@contextmanager
def named(path: object) -> Iterator[None]:
    """Turn what the disk or the database refuses into an error that the operator can mend.

    Raises:
        HostError: reason BLOB_DISK_FULL, DESCRIPTORS_EXHAUSTED, or BLOBS_UNUSABLE for all else.

    """
    try:
        yield
    except OSError as error:
        raise _unusable(path, error.errno, error.strerror or "") from error
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        raise _unusable(path, errno.ENOSPC if full else 0, str(error)) from error


def _unusable(path: object, number: int | None, cause: str) -> HostError:
    if number in FULL:
        text = f"cannot store more in {path}: {os.strerror(number or 0)}"
        return HostError("BLOB_DISK_FULL", text, "give it a larger disk, or lower blob_bytes")
    text = f"cannot use the blobs in {path}: {cause}"
    if number in TOO_MANY_OPEN:
        remedy = "raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)"
        return HostError("DESCRIPTORS_EXHAUSTED", text, remedy)
    return HostError("BLOBS_UNUSABLE", text, "give a directory of the server's own user")
