"""What one job has on disk beside its row: a directory with its request, its output, its result.

The request may hold secrets, so it goes as soon as the job begins to run, of which there is no
second time; the webhook's secret goes once somebody was told. The directory is the server's alone.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from sandboxd.jobs.output import Output
from sandboxd.model.stored import Webhook

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES = 4 << 10
LEAST_BYTES = 32 << 10
"""What a job counts at least: rows, a directory, and the inodes of its files."""


class Place:
    """The directory of one job."""

    def __init__(self, directory: Path) -> None:
        """Name it; nothing is made yet."""
        self.directory = directory
        self.output = Output(directory)
        self._request = directory / "request"
        self._webhook = directory / "webhook"
        self._result = directory / "result"

    def make(self, request: bytes, webhook: Webhook | None) -> None:
        """Make it, with what is asked; when this returns all of it is on disk."""
        self.directory.mkdir(0o700)
        write(self._request, request)
        if webhook is not None:
            write(self._webhook, json.dumps([webhook.url, webhook.secret]).encode())
        sync_directory(self.directory)
        sync_directory(self.directory.parent)

    def remove(self) -> None:
        """Remove all of it; may be done twice."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.directory)

    def request(self) -> bytes:
        """Give what was asked."""
        return self._request.read_bytes()

    def forget_request(self) -> None:
        """Remove what was asked, secrets and all; may be done twice."""
        self._request.unlink(missing_ok=True)

    def webhook(self) -> Webhook | None:
        """Give where to tell of the end, unless that is done."""
        try:
            url, secret = json.loads(self._webhook.read_bytes())
        except FileNotFoundError:
            return None
        return Webhook(url, secret)

    def forget_webhook(self) -> None:
        """Remove that, with its secret; may be done twice."""
        self._webhook.unlink(missing_ok=True)

    def keep_result(self, result: bytes) -> None:
        """Write how it went; when this returns that and all output is on disk."""
        write(self._result, result)
        self.output.sync()
        sync_directory(self.directory)

    def result(self) -> bytes:
        """Give how it went."""
        return self._result.read_bytes()

    @property
    def has_webhook(self) -> bool:
        """Whether somebody is to be told of the end."""
        return self._webhook.exists()

    @property
    def left_bytes(self) -> int:
        """Tell what counts that is left when the job is over."""
        found = self.output.disk_bytes
        with suppress(FileNotFoundError):
            found += self._result.stat().st_size
        return charged_bytes(found)


def charged_bytes(size_bytes: int) -> int:
    """Tell what a job of so many bytes counts."""
    return LEAST_BYTES + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def write(path: Path, content: bytes) -> None:
    """Write a file, whole and on disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
