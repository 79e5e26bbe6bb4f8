"""The output of one job on disk: the bytes of both streams as they came, and a table of pieces.

A piece's place among the bytes is its position, so a reader finds any position by halving the
table. Bytes are written before their row: what a kill cuts off has no row, and was never there.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ROW = struct.Struct("<QQQIB3x")
"""Position, offset in its stream, nanoseconds, length, stream."""
BATCH_BYTES = 256 << 10
"""Read at a time."""
BATCH_ROWS = 4096
MAX_PIECE_BYTES = 64 << 10


class Piece(NamedTuple):
    """A piece of output."""

    position: int
    """How many bytes of both streams came before."""
    stream: int
    """1 or 2: stdout or stderr."""
    offset: int
    """How many bytes of this stream came before."""
    time_ns: int
    """When it was read, since the program's exec."""
    data: bytes

    def rest(self, position: int) -> Piece:
        """Give the part from a position within it on."""
        cut = position - self.position
        return Piece(position, self.stream, self.offset + cut, self.time_ns, self.data[cut:])


class Output:
    """The two files of one job, in a directory that is its own."""

    def __init__(self, directory: Path) -> None:
        """Name the files; they are made by what is written first."""
        self._data = directory / "output"
        self._rows = directory / "pieces"

    def append(self, pieces: Iterable[Piece]) -> None:
        """Write pieces that follow one another; each process sees them from now on."""
        pieces = list(pieces)
        _append(self._data, b"".join(piece.data for piece in pieces))
        rows = [ROW.pack(p.position, p.offset, p.time_ns, len(p.data), p.stream) for p in pieces]
        _append(self._rows, b"".join(rows))

    def sync(self) -> None:
        """Have all of it on disk."""
        for path in (self._data, self._rows):
            with suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    @property
    def size_bytes(self) -> int:
        """Tell how many bytes of output there are."""
        try:
            fd = os.open(self._rows, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            count = os.fstat(fd).st_size // ROW.size
            return _end_of(fd, count - 1) if count else 0
        finally:
            os.close(fd)

    @property
    def disk_bytes(self) -> int:
        """Tell what both files take."""
        found = 0
        for path in (self._data, self._rows):
            with suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def read(self, position: int, most_bytes: int = BATCH_BYTES) -> list[Piece]:
        """Give pieces from a position on, about so many bytes; none where the output ends."""
        try:
            rows_fd = os.open(self._rows, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        try:
            rows = _rows_from(rows_fd, position, most_bytes)
        finally:
            os.close(rows_fd)
        if not rows:
            return []
        begin, end = rows[0][0], rows[-1][0] + rows[-1][3]
        try:
            fd = os.open(self._data, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # forgotten this moment
            return []
        try:
            data = os.pread(fd, end - begin, begin)
        finally:
            os.close(fd)
        pieces = [
            Piece(at, stream, offset, time_ns, data[at - begin : at - begin + length])
            for at, offset, time_ns, length, stream in rows
            if at + length <= begin + len(data)  # else power went before the bytes were on disk
        ]
        if pieces and position > pieces[0].position:
            pieces[0] = pieces[0].rest(position)
        return pieces

    def all(self) -> Iterator[Piece]:
        """Give all pieces."""
        position = 0
        while pieces := self.read(position):
            yield from pieces
            position = pieces[-1].position + len(pieces[-1].data)

    def streams(self) -> tuple[bytes, bytes]:
        """Give all of stdout, and all of stderr."""
        found = (bytearray(), bytearray())
        for piece in self.all():
            found[piece.stream - 1].extend(piece.data)
        return bytes(found[0]), bytes(found[1])


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours of one stream up to a bound: a row costs as much as 32 bytes of output."""
    if not pieces:
        return []
    runs = [[pieces[0]]]
    size = len(pieces[0].data)
    for before, piece in pairwise(pieces):
        size += len(piece.data)
        if piece.stream == before.stream and size <= MAX_PIECE_BYTES:
            runs[-1].append(piece)
        else:
            runs.append([piece])
            size = len(piece.data)
    return [run[0]._replace(data=b"".join(piece.data for piece in run)) for run in runs]


def _append(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _end_of(rows_fd: int, index: int) -> int:
    position, _, _, length, _ = ROW.unpack(os.pread(rows_fd, ROW.size, index * ROW.size))
    return int(position + length)


def _rows_from(rows_fd: int, position: int, most_bytes: int) -> list[tuple[int, ...]]:
    """Give the rows of what lies behind a position, about so many bytes."""
    low, count = 0, os.fstat(rows_fd).st_size // ROW.size
    high = count
    while low < high:  # the first row that ends behind it
        middle = (low + high) // 2
        if _end_of(rows_fd, middle) <= position:
            low = middle + 1
        else:
            high = middle
    wanted = min(count - low, BATCH_ROWS)
    found: list[tuple[int, ...]] = []
    size = 0
    for row in ROW.iter_unpack(os.pread(rows_fd, wanted * ROW.size, low * ROW.size)):
        size += row[3]
        if found and size > most_bytes:
            break
        found.append(row)
    return found
