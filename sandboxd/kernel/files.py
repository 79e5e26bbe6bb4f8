"""Files that go into a sandbox and come out of it, handled inside by init, never by a host path.

Decides which names a pattern wants. Does the placing and the opening: every path is resolved
beneath a directory descriptor and through no link, because the program may have made the tree.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel import syscalls
from sandboxd.model.tape import Operation, Verb, descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILES = 1024
"""The most files that one job brings back; the pattern that wants more is reported as too large."""
MAX_VISITED = 65536
"""The most directory entries that one glob looks at."""
MAX_DEPTH = 64
MAX_PATH_BYTES = 4095

NEW_FILE = ".sandboxd-new"
"""What a file is called until it takes the place of another."""

MISSING = "missing"
LINK = "link"
DIRECTORY = "directory"
PIPE = "pipe"
NOT_REGULAR = "not_regular"
TOO_LARGE = "too_large"
NOT_ALLOWED = "not_allowed"

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OUTPUT_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY


class Found(NamedTuple):
    """One file on its way out: its path, and an open descriptor or the fault that prevented it."""

    path: str
    fd: int | None
    fault: str | None
    executable: bool


def make_working_directory(path: str, id_: int) -> Operation:
    """Make the working directory, and its parents, below a writable place."""
    return Operation("working_directory", "make_directories", (path.removeprefix("/"), id_))


def place(  # noqa: PLR0913, PLR0917 - a verb's arguments, one by one
    path: str, mode: int, id_: int, offset: int, size: int, source: str = "files"
) -> Operation:
    """Place one file; its content is a part of the descriptor ``files``, or of another."""
    return Operation(
        "place_files",
        "place_file",
        (path.removeprefix("/"), mode, id_, descriptor(source), offset, size),
    )


def replace(path: str, mode: int, id_: int, offset: int, size: int) -> Operation:
    """Write one file in place of what is there, whole or not at all."""
    return Operation(
        "write_files",
        "replace_file",
        (path.removeprefix("/"), mode, id_, descriptor("files"), offset, size),
    )


def is_glob(path: str) -> bool:
    """Tell whether a path is a pattern."""
    return any(character in path for character in "*?[")


# --- do -------------------------------------------------------------------------------------------


def make_directories(path: str, id_: int) -> None:
    """Make the directories of `path` that are missing, as the program's own."""
    os.close(_open_directory(path, id_))


def place_file(  # noqa: PLR0913, PLR0917 - a verb takes its arguments one by one
    path: str, mode: int, id_: int, source_fd: int, offset: int, size: int
) -> None:
    """Make one new file, and the directories above it, as the program's own."""
    directory, _, name = path.rpartition("/")
    directory_fd = _open_directory(directory, id_)
    try:
        _make_file(directory_fd, name, mode, id_, source_fd, offset, size)
    finally:
        os.close(directory_fd)


def replace_file(  # noqa: PLR0913, PLR0917 - the same
    path: str, mode: int, id_: int, source_fd: int, offset: int, size: int
) -> None:
    """Make a file beside the one that is there, if one is, and put it in its place."""
    directory, _, name = path.rpartition("/")
    directory_fd = _open_directory(directory, id_)
    try:
        with suppress(FileNotFoundError):  # of one that was cut off, or a program's
            os.unlink(NEW_FILE, dir_fd=directory_fd)
        _make_file(directory_fd, NEW_FILE, mode, id_, source_fd, offset, size)
        os.rename(NEW_FILE, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except OSError as error:
        with suppress(OSError):
            os.unlink(NEW_FILE, dir_fd=directory_fd)
        raise OSError(error.errno, os.strerror(error.errno or 0), f"/{path}") from error
    finally:
        os.close(directory_fd)


def _make_file(  # noqa: PLR0913, PLR0917 - the same
    directory_fd: int, name: str, mode: int, id_: int, source_fd: int, offset: int, size: int
) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    fd = syscalls.open_beneath(directory_fd, name, flags, 0o600)
    try:
        while size > 0:
            sent = os.sendfile(fd, source_fd, offset, size)
            if sent == 0:
                raise OSError(errno.EIO, "content ends early", name)
            offset += sent
            size -= sent
        os.fchown(fd, id_, id_)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _open_directory(path: str, id_: int) -> int:
    directory_fd = os.open("/", _DIRECTORY_FLAGS | os.O_CLOEXEC)
    for name in path.split("/"):
        try:
            below_fd = _made_below(directory_fd, name, id_)
        finally:
            os.close(directory_fd)
        directory_fd = below_fd
    return directory_fd


def _made_below(directory_fd: int, name: str, id_: int) -> int:
    """Open a directory, after making it if it is missing."""
    made = False
    try:
        os.mkdir(name, 0o755, dir_fd=directory_fd)
        made = True
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno != errno.EROFS:  # a read-only parent of a writable place: must exist
            raise
    below_fd = syscalls.open_beneath(directory_fd, name, _DIRECTORY_FLAGS)
    if made:
        os.fchown(below_fd, id_, id_)
    return below_fd


def collect(directory: str, wanted: list[list[str | bool | int]]) -> Iterator[Found]:
    """Open what `wanted` asks for: each entry is [path or glob, optional, greatest size].

    A glob yields the regular files that match; a plain path yields the file or its fault.
    """
    root_fd = os.open("/", _DIRECTORY_FLAGS | os.O_CLOEXEC)
    try:
        directory_fd = syscalls.open_beneath(root_fd, directory.strip("/") or ".", _DIRECTORY_FLAGS)
    except OSError:
        directory_fd = -1
    left = MAX_FILES
    for path, optional, max_bytes in wanted:
        any_found = False
        for found in _matches(directory_fd, str(path), int(max_bytes)):
            if left == 0:
                yield Found(str(path), None, TOO_LARGE, executable=False)
                return
            left -= 1
            any_found = True
            yield found
        if not any_found and not optional:
            yield Found(str(path), None, MISSING, executable=False)


def _matches(directory_fd: int, path: str, max_bytes: int) -> Iterator[Found]:
    if directory_fd < 0:
        return
    if not is_glob(path):
        found = _open_output(directory_fd, path, max_bytes)
        if found.fault != MISSING:
            yield found
        return
    for name in sorted(_expand(directory_fd, path.split("/")), key=os.fsencode):
        found = _open_output(directory_fd, name, max_bytes)
        if found.fd is not None or found.fault == TOO_LARGE:
            yield found


def _open_output(directory_fd: int, path: str, max_bytes: int) -> Found:
    try:
        fd = syscalls.open_beneath(directory_fd, path, _OUTPUT_FLAGS)
    except OSError as error:
        return Found(path, None, _fault_of(error.errno), executable=False)
    status = os.fstat(fd)
    fault = _fault_of_mode(status.st_mode)
    if fault is None and status.st_size > max_bytes:
        fault = TOO_LARGE
    if fault is not None:
        os.close(fd)
        return Found(path, None, fault, executable=False)
    return Found(path, fd, None, executable=bool(status.st_mode & stat.S_IXUSR))


def _fault_of(number: int | None) -> str:
    if number in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        return MISSING
    if number == errno.ELOOP:
        return LINK
    if number == errno.ENXIO:  # a socket, or a device without a driver
        return NOT_REGULAR
    return NOT_ALLOWED


def _fault_of_mode(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return DIRECTORY
    return PIPE if stat.S_ISFIFO(mode) else NOT_REGULAR


def _expand(directory_fd: int, parts: list[str]) -> set[str]:
    found: set[str] = set()
    budget = [MAX_VISITED]
    _walk(directory_fd, "", parts, found, budget, 0)
    return found


def _walk(  # noqa: C901, PLR0913, PLR0917 - a recursion's state
    directory_fd: int, prefix: str, parts: list[str], found: set[str], budget: list[int], depth: int
) -> None:
    head, rest = parts[0], parts[1:]
    if head == "**":
        if rest:
            _walk(directory_fd, prefix, rest, found, budget, depth)
        below = parts
    else:
        below = rest
    for name, is_directory in _entries(directory_fd, budget, MAX_PATH_BYTES - len(prefix)):
        if len(found) > MAX_FILES:  # the rest would only fill init's memory
            return
        if head == "**":
            if not rest and not is_directory:
                found.add(prefix + name)
        elif not fnmatchcase(name, head):
            continue
        elif not rest:
            found.add(prefix + name)
            continue
        room = depth < MAX_DEPTH and budget[0] > 0
        if is_directory and below and room:
            try:
                below_fd = syscalls.open_beneath(directory_fd, name, _DIRECTORY_FLAGS)
            except OSError:
                continue
            _walk(below_fd, f"{prefix}{name}/", below, found, budget, depth + 1)
            os.close(below_fd)


def _entries(directory_fd: int, budget: list[int], longest: int) -> list[tuple[str, bool]]:
    """List a directory, within the budget; without names that make a path too long to open."""
    entries = []
    budget[0] -= 1  # an empty directory takes time as well
    with os.scandir(directory_fd) as scan:
        for entry in scan:
            budget[0] -= 1
            if budget[0] < 0:
                break
            if len(entry.name) <= longest:
                entries.append((entry.name, entry.is_dir(follow_symlinks=False)))
    return entries


VERBS = {
    "make_directories": Verb(make_directories, "make directory /{0} of user {1}"),
    "place_file": Verb(place_file, "place /{0}, {5} bytes of user {2}"),
    "replace_file": Verb(replace_file, "write /{0}, {5} bytes of user {2}, over what is there"),
}
