"""The files that init hands out at a program's end: read whole, and within bounds."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sandboxd.model.job import MAX_OUTPUT_BYTES
from sandboxd.model.outcome import FileFault, OutputFile
from sandboxd.runtime.channel import ProtocolError

if TYPE_CHECKING:
    from sandboxd.runtime.channel import Message

MAX_REPORTED_FILES = 4096


class Files:
    """What came so far; all contents together have at most `MAX_OUTPUT_BYTES`."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._taken: list[OutputFile] = []
        self._bytes = 0

    @property
    def taken(self) -> tuple[OutputFile, ...]:
        """Give all of them, in the order of their coming."""
        return tuple(self._taken)

    def take(self, message: Message) -> None:
        """Take one report of a file, with its content; raises `ProtocolError` for a wrong one."""
        _, path, fault, executable = message.expect(int, str, (str, type(None)), bool)
        fd = message.fds.get("file")
        if len(self._taken) >= MAX_REPORTED_FILES:
            raise ProtocolError("too many files")
        if fd is None:
            known = {fault_.value for fault_ in FileFault}
            if fault not in known:
                raise ProtocolError("a file without a descriptor has no known fault")
            self._taken.append(OutputFile(path, None, FileFault(fault)))
            return
        content = _read_regular(fd, MAX_OUTPUT_BYTES - self._bytes)
        if content is None:
            self._taken.append(OutputFile(path, None, FileFault.TOO_LARGE))
            return
        self._bytes += len(content)
        self._taken.append(OutputFile(path, content, None, executable))


def _read_regular(fd: int, budget: int) -> bytes | None:
    """Read a whole file that init opened; None when it is larger than what is left to answer."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ProtocolError("a file is not regular")
    if status.st_size > budget:
        return None
    pieces = []
    offset = 0
    while offset < status.st_size:
        piece = os.pread(fd, min(1 << 20, status.st_size - offset), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
