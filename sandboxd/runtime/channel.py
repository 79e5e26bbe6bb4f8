"""The channel between daemon, launcher, zygotes and inits: small typed messages, descriptors along.

One SOCK_SEQPACKET socket pair each. A message is a JSON array, a name first; descriptors travel as
SCM_RIGHTS and are named in the message. What exceeds a datagram travels in a sealed memfd. The
whole protocol, as a script (d daemon, l launcher, z zygote, i init; `+` the descriptors)::

    d exec l                                     the socket's number is its one argument
    d > l   enter ORDERS                         [+ user_namespace, to be entered again]
    l > d   entered                              + user_namespace
    d > l   zygote NUMBER ROOT_TAPE              + channel [program]
    l > d   zygote NUMBER                        + pidfd
    d > l   hold                                 + lock, to be kept open
    z > d   root_ready                           or failed STAGE ERRNO DETAIL

    d > z   clone NUMBER MAPS OWNER TAPE         + channel [sandbox] [CONTROLLER/LEAF/tasks ...]
    z > d   cloned NUMBER                        + pidfd;  or failed NUMBER STAGE ERRNO DETAIL
    d > z   furnish TAPE                         to be executed; a zygote that cannot ends
    i > d   ready                                or failed STAGE ERRNO DETAIL

    d > i   start NUMBER JOB_TAPE PROGRAM_TAPE OUTPUTS TERMINAL LAST
                                                 + policy [stdin stdout stderr] [files] [notices]
    i > d   terminal NUMBER                      + master, where there is one instead of pipes
    i > d   started NUMBER CLOCK                 or failed STAGE ERRNO DETAIL
                                                 or not_started NUMBER ERRNO DETAIL
    d > i   kill                                 where no cgroup can do it
    d > i   signal NUMBER SIGNAL                 to the program's process group
    i > d   stopped NUMBER                       if outputs are asked for; then, for each,
    i > d   file NUMBER PATH FAULT EXECUTABLE    + file
    i > d   ended NUMBER STATUS CLOCK USER SYSTEM FULL
    i exits after the last program

    d > i   stay                                 in place of start: init outlives its programs
    d > i   exec NUMBER PROGRAM_TAPE TERMINAL    + as start
    i > d   terminal, started, not_started, ended, as above;  or undone NUMBER STAGE ERRNO DETAIL
    d > i   do NUMBER TAPE                       [+ files]
    d > i   read NUMBER DIRECTORY WANTED
    i > d   file, as above, for each;  then done NUMBER, or undone NUMBER STAGE ERRNO DETAIL
    d > i   signal NUMBER SIGNAL;  end NUMBER    to a program's group; kill a program's session
    d > i   all SIGNAL                           to every process

End of file on a channel means that the other side is gone: init then ends, and with it, by the
kernel, everything in its sandbox. What init says may be forged by a program that took it over, so
the daemon checks every field of it (`Message.expect`).
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sandboxd.model.tape import Encoded, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DATAGRAM_BYTES = 32 << 10
"""Above this a message travels in a memfd; well below the least socket buffer of any kernel."""
MAX_MESSAGE_BYTES = 8 << 20
MAX_DESCRIPTORS = 32

_SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE  # noqa: RUF100
)
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_LARGE = b"+"
_CUT, _LACKING = int(socket.MSG_TRUNC), int(socket.MSG_CTRUNC)
"""As plain numbers, which are compared in a tenth of the time."""


class ProtocolError(Exception):
    """The other side broke the protocol; nothing that it says counts any more."""


class Closed(Exception):  # noqa: N818 - an end, not an error
    """The other side is gone."""


class Message(NamedTuple):
    """One message as received; whoever receives it owns its descriptors."""

    name: str
    fields: tuple[Any, ...]
    fds: dict[str, int]

    def expect(self, *types: type | tuple[type, ...]) -> tuple[Any, ...]:
        """Give the fields, after checking their count and types (a bool is no int)."""
        if len(self.fields) != len(types):
            raise ProtocolError(f"{self.name}: {len(self.fields)} fields, not {len(types)}")
        for value, wanted in zip(self.fields, types, strict=True):
            if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
                raise ProtocolError(f"{self.name}: a field is a {type(value).__name__}")
        return self.fields

    def close(self) -> None:
        """Close the descriptors that came along."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel, close-on-exec both."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def sealed_memory(content: bytes, name: str = "sandboxd") -> int:
    """Give a descriptor of anonymous memory that nobody can change any more."""
    with _sealed(name) as fd:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    return fd


def sealed_copy(source_fd: int, size: int, name: str) -> int:
    """Give a descriptor of anonymous memory with the first `size` bytes of a file."""
    with _sealed(name) as fd:
        offset = 0
        while offset < size:
            sent = os.sendfile(fd, source_fd, offset, size - offset)
            if not sent:
                raise OSError(errno.EIO, os.strerror(errno.EIO), name)
            offset += sent
    return fd


@contextmanager
def _sealed(name: str) -> Iterator[int]:
    """Have memory that is sealed when the context ends, and gone if it fails."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield fd
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:  # no memory, or a bound on it
        os.close(fd)
        raise


def send(
    channel: socket.socket,
    name: str,
    *fields: Any,  # noqa: ANN401 - whatever JSON carries, or text that is JSON already
    fds: dict[str, int] | None = None,
) -> None:
    """Send one message; the caller keeps its descriptors.

    Raises:
        Closed: the other side is gone.
        OSError: the socket's buffer is full (non-blocking), or no descriptor is left.

    """
    fds = fds or {}
    content = _joined((name, list(fds), *fields)).encode()
    numbers = list(fds.values())
    large_fd = None
    if len(content) > MAX_DATAGRAM_BYTES:
        large_fd = sealed_memory(content)
        numbers.append(large_fd)
        content = _LARGE
    ancillary = []
    if numbers:
        ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers)))
    try:
        channel.sendmsg([content], ancillary, socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError):
        raise Closed from None
    finally:
        if large_fd is not None:
            os.close(large_fd)


def _joined(parts: tuple[Any, ...]) -> str:
    """Write a list of which some parts are text already."""
    pieces, plain = [], []
    for part in (*parts, Encoded()):
        if type(part) is not Encoded:
            plain.append(part)
            continue
        if plain:
            pieces.append(encode(plain)[1:-1])
            plain = []
        pieces.append(part)
    return f"[{','.join(filter(None, pieces))}]"


def receive(channel: socket.socket) -> Message:
    """Receive one message.

    Raises:
        Closed: the other side is gone.
        ProtocolError: what came is no message; its descriptors are closed.
        BlockingIOError: nothing is there (non-blocking).
        OSError: EMFILE, a message is lost because no descriptor was left for those it brought.

    """
    try:
        content, ancillary, flags, _ = _take_datagram(channel)
    except ConnectionResetError:
        # The other side left something of ours unread. Linux says so first, and once: what it had
        # sent before is still there.
        content, ancillary, flags, _ = _take_datagram(channel)
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    try:
        return _decode(content, flags, numbers)
    except BaseException:
        for fd in numbers:
            os.close(fd)
        raise


def _take_datagram(channel: socket.socket) -> tuple[bytes, list[Any], int, Any]:
    return channel.recvmsg(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)


def _decode(content: bytes, flags: int, numbers: array.array[int]) -> Message:
    if flags & _LACKING and len(numbers) < MAX_DESCRIPTORS:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a message's descriptors")
    if flags & (_CUT | _LACKING):
        raise ProtocolError("a message was cut")
    if not content:
        raise Closed
    if content == _LARGE:
        content = _read_large(numbers)
    return _parse(content, numbers.tolist())


def _read_large(numbers: array.array[int]) -> bytes:
    if not numbers:
        raise ProtocolError("a large message came without its memory")
    fd = numbers.pop()
    try:
        # Only sealed memory is read: a file could block, a growing one never ends.
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        if not sealed or os.fstat(fd).st_size > MAX_MESSAGE_BYTES:
            raise ProtocolError("a large message's memory is not sealed, or too large")
        return os.pread(fd, MAX_MESSAGE_BYTES, 0)
    except OSError:
        raise ProtocolError("a large message's memory is no memory") from None
    finally:
        os.close(fd)


def _parse(content: bytes, numbers: list[int]) -> Message:
    try:
        # As file names are decoded: what is no UTF-8 survives.
        parsed = json.loads(content.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        raise ProtocolError("a message is no JSON") from None
    if not isinstance(parsed, list) or len(parsed) < 2 or not isinstance(parsed[0], str):
        raise ProtocolError("a message is no array with a name")
    names = parsed[1]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError("a message's descriptors have no names")
    if len(names) != len(numbers) or len(set(names)) != len(names):
        raise ProtocolError(f"{len(numbers)} descriptors came under {len(names)} names")
    return Message(parsed[0], tuple(parsed[2:]), dict(zip(names, numbers, strict=True)))


def adopt(fd: int) -> socket.socket:
    """Make a received descriptor a channel again, without asking the kernel what it is."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)
