"""Kept files and live output of `sandboxd run`: what a sandbox gave goes to the caller's machine.

Both come from a program that nobody trusts: names never lead out of the chosen directory, and a
reader of ours that stalls stalls no deadline.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from sandboxd.errors import PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandboxd.model.outcome import OutputFile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Writer:
    """Writes output in a thread of its own, from the first piece on; the event loop never waits.

    What it holds back is bounded, because what is kept of a job's output is.
    """

    def __init__(self) -> None:
        """Prepare; the thread starts with the first piece, as giving root up allows none before."""
        self._pieces: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def write(self, stream: int, piece: bytes) -> None:
        """Queue one piece for our stdout (1) or stderr (2)."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._drain, daemon=True)
            self._thread.start()
        self._pieces.put((stream, piece))

    def finish(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()

    def _drain(self) -> None:
        while (item := self._pieces.get()) is not None:
            stream, piece = item
            with suppress(BrokenPipeError), os.fdopen(os.dup(stream), "wb") as file:
                file.write(piece)


def keep(files: Iterable[OutputFile], directory: str, *, quiet: bool) -> None:
    """Write the files that came back below a directory, through no link and no dot-dot.

    Raises:
        PreconditionError: one cannot be written there.

    """
    for file in files:
        if file.fault is not None:
            if not quiet:
                click.echo(f"sandboxd: cannot keep {file.path!r}: {file.fault.value}", err=True)
            continue
        if file.blob is not None:
            if not quiet:
                click.echo(f"sandboxd: stored {file.path!r} as {file.blob}", err=True)
            continue
        try:
            _write_below(directory, file)
        except (OSError, ValueError) as error:
            message = f"cannot keep {file.path!r} below {directory}: {error}"
            remedy = "choose another --keep-to"
            raise PreconditionError("KEEP_UNWRITABLE", file.path, message, remedy) from error


def _write_below(directory: str, file: OutputFile) -> None:
    *parents, name = file.path.split("/")
    if {"", ".", ".."} & {*parents, name}:
        raise ValueError("it leads elsewhere")
    os.makedirs(directory, exist_ok=True)
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent in parents:
            with suppress(FileExistsError):
                os.mkdir(parent, dir_fd=directory_fd)
            below_fd = os.open(parent, _DIRECTORY, dir_fd=directory_fd)
            os.close(directory_fd)
            directory_fd = below_fd
        # A new file that replaces what is there: that may be a pipe, or linked from elsewhere.
        new_name = f".sandboxd-{os.urandom(6).hex()}"
        mode = 0o755 if file.executable else 0o644
        with os.fdopen(os.open(new_name, _NEW_FILE, mode, dir_fd=directory_fd), "wb") as kept:
            kept.write(file.content or b"")
        os.rename(new_name, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
