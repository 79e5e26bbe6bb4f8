"""What can be wrong with the place of jobs or with what is asked of it, as errors of the house."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import Busy, ConflictError, HostError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER = timedelta(seconds=1)
FULL = {errno.ENOSPC, errno.EDQUOT}
TOO_MANY_OPEN = {errno.EMFILE, errno.ENFILE}


def unknown() -> NotFoundError:
    """Tell that the caller has no such job, whoever else may; what was asked is not repeated."""
    return NotFoundError(
        "JOB_UNKNOWN", "cannot find this job: you have none of this id, or no more"
    )


def used(request_id: str) -> ConflictError:
    """Tell that another job has this name of a request."""
    text = f"cannot start this job: another one of yours has the request_id {request_id!r}"
    return ConflictError("REQUEST_ID_USED", text)


def queue_full(most: int) -> Busy:
    """Tell that as many jobs wait as may."""
    return Busy(f"cannot keep another job: {most} wait, which is all that may", RETRY_AFTER)


def share_full(most: int) -> Busy:
    """Tell that as many of the caller's jobs wait as may."""
    return _of_share(f"cannot keep another job: {most} of yours wait, which is your share")


def room_full(bytes_: int) -> Busy:
    """Tell that the caller's jobs have more of the room than is left for all others."""
    return _of_share(f"cannot keep another job: yours take {bytes_} bytes, more than is left")


def _of_share(text: str) -> Busy:
    busy = Busy(text, RETRY_AFTER)
    busy.reason = "SHARE_EXHAUSTED"
    return busy


@contextmanager
def named(path: object) -> Iterator[None]:
    """Turn what the disk or the database refuses into an error that the operator can mend.

    Raises:
        HostError: reason JOBS_DISK_FULL, DESCRIPTORS_EXHAUSTED, or JOBS_UNUSABLE for all else.

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
        text = f"cannot keep more in {path}: {os.strerror(number or 0)}"
        return HostError("JOBS_DISK_FULL", text, "give it a larger disk, or lower job_bytes")
    text = f"cannot use the jobs in {path}: {cause}"
    if number in TOO_MANY_OPEN:
        remedy = "raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)"
        return HostError("DESCRIPTORS_EXHAUSTED", text, remedy)
    return HostError("JOBS_UNUSABLE", text, "give a directory of the server's own user")
