"""Messages cross a channel whole and typed, or not at all, and no descriptor is ever lost."""

from __future__ import annotations

import array
import json
import math
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.model.tape import Encoded, encode
from sandboxd.runtime import channel as channels
from sandboxd.runtime.channel import (
    MAX_DATAGRAM_BYTES,
    MAX_DESCRIPTORS,
    MAX_MESSAGE_BYTES,
    Closed,
    Message,
    ProtocolError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[socket.socket, socket.socket]

texts = st.text(max_size=50) | st.binary(max_size=20).map(os.fsdecode)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=10)


@pytest.fixture
def ends() -> Iterator[Pair]:
    ours, theirs = channels.pair()
    with ours, theirs:
        yield ours, theirs


def open_descriptors() -> set[str]:
    return {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}


def sent_raw(ends: Pair, content: bytes, fds: list[int] | None = None) -> None:
    ancillary = []
    if fds:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    ends[0].sendmsg([content], ancillary)


@given(texts, st.lists(values, max_size=5))
def test_whatever_is_sent_is_received(name: str, fields: list[Any]) -> None:
    ours, theirs = channels.pair()
    with ours, theirs:
        channels.send(ours, name, *fields)
        assert channels.receive(theirs) == Message(name, tuple(fields), {})


@given(st.lists(st.tuples(values, st.booleans()), max_size=6))
def test_parts_that_are_text_already_come_through_as_the_same(
    parts: list[tuple[Any, bool]],
) -> None:
    fields = [Encoded(encode(value)) if is_text else value for value, is_text in parts]
    ours, theirs = channels.pair()
    with ours, theirs:
        channels.send(ours, "mixed", *fields)
        assert channels.receive(theirs) == Message("mixed", tuple(v for v, _ in parts), {})


@pytest.mark.parametrize(
    "size", [MAX_DATAGRAM_BYTES - 100, MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES + 1, 3 << 20]
)
def test_a_message_of_any_size_comes_through_with_its_descriptors(ends: Pair, size: int) -> None:
    before = open_descriptors()
    text = "x" * size
    channels.send(ends[0], "large", text, fds={"a": 0, "b": 1})
    message = channels.receive(ends[1])
    assert message.fields == (text,)
    assert set(message.fds) == {"a", "b"}
    for fd, original in ((message.fds["a"], 0), (message.fds["b"], 1)):
        assert os.fstat(fd).st_ino == os.fstat(original).st_ino
        assert not os.get_inheritable(fd)
    message.close()
    assert open_descriptors() == before


def test_descriptors_keep_their_names(ends: Pair) -> None:
    fds = {f"name-{n}": os.open("/dev/null", os.O_RDONLY) for n in range(MAX_DESCRIPTORS - 1)}
    channels.send(ends[0], "many", fds=fds)
    message = channels.receive(ends[1])
    assert list(message.fds) == list(fds)
    message.close()
    for fd in fds.values():
        os.close(fd)


def test_the_other_sides_end_is_told(ends: Pair) -> None:
    ends[0].close()
    with pytest.raises(Closed):
        channels.receive(ends[1])
    with pytest.raises(Closed):
        channels.send(ends[1], "hello")


def test_what_was_sent_before_the_end_is_still_received(ends: Pair) -> None:
    channels.send(ends[0], "last")
    ends[0].close()
    assert channels.receive(ends[1]).name == "last"


def test_nothing_there_is_told_where_nobody_waits(ends: Pair) -> None:
    ends[1].settimeout(0)
    with pytest.raises(BlockingIOError):
        channels.receive(ends[1])


@pytest.mark.parametrize(
    "content",
    [
        b"no JSON",
        b"{}",
        b"[]",
        b'["name"]',
        b"[1, []]",
        b'["name", {}]',
        b'["name", [1]]',
        b'["name", null]',
        b'"name"',
        b"null",
        b"\xff\xfe",
        b'["name", ["fd"]]',
        b"[" * 20000,
        b"+",
    ],
)
def test_what_is_no_message_is_refused(ends: Pair, content: bytes) -> None:
    before = open_descriptors()
    sent_raw(ends, content)
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])
    assert open_descriptors() == before


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "b", "c"]])
def test_descriptors_that_do_not_match_their_names_are_closed(ends: Pair, names: list[str]) -> None:
    before = open_descriptors()
    sent_raw(ends, json.dumps(["name", names]).encode(), [0, 1])
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])
    assert open_descriptors() == before


def test_descriptors_of_what_is_no_message_are_closed(ends: Pair) -> None:
    before = open_descriptors()
    sent_raw(ends, b"no JSON", [0, 1, 2])
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])
    assert open_descriptors() == before


def test_more_descriptors_than_allowed_are_refused_and_closed(ends: Pair) -> None:
    before = open_descriptors()
    sent_raw(ends, b'["name", []]', [0] * (MAX_DESCRIPTORS + 3))
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])
    assert open_descriptors() == before


def test_a_datagram_that_is_too_long_is_refused(ends: Pair) -> None:
    sent_raw(ends, json.dumps(["name", [], "x" * MAX_DATAGRAM_BYTES]).encode())
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])


def test_a_large_message_in_memory_that_can_change_is_refused(ends: Pair) -> None:
    before = open_descriptors()
    fd = os.memfd_create("open", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, b'["name", []]')
    sent_raw(ends, b"+", [fd])
    os.close(fd)
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])
    assert open_descriptors() == before


def test_a_large_message_in_a_pipe_or_file_is_refused_without_waiting(ends: Pair) -> None:
    before = open_descriptors()
    read_fd, write_fd = os.pipe()
    for fd in (read_fd, write_fd, os.open("/dev/zero", os.O_RDONLY)):
        sent_raw(ends, b"+", [fd])
        os.close(fd)
        with pytest.raises(ProtocolError):
            channels.receive(ends[1])
    assert open_descriptors() == before


def test_a_large_message_above_the_greatest_size_is_refused(ends: Pair) -> None:
    fd = channels.sealed_memory(b" " * (MAX_MESSAGE_BYTES + 1))
    sent_raw(ends, b"+", [fd])
    os.close(fd)
    with pytest.raises(ProtocolError):
        channels.receive(ends[1])


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(content: bytes) -> None:
    ours, theirs = channels.pair()
    with ours, theirs:
        ours.send(content)
        try:
            message = channels.receive(theirs)
        except (ProtocolError, Closed):
            return
        assert isinstance(message.name, str)


def test_fields_are_checked_by_count_and_type() -> None:
    yes = True
    message = Message("name", (1, "x", yes, None, [1]), {})
    assert message.expect(int, str, bool, (str, type(None)), list) == message.fields
    for wrong in ((int,), (str, str, bool, (str, type(None)), list), (int, str, int, str, list)):
        with pytest.raises(ProtocolError):
            message.expect(*wrong)
    with pytest.raises(ProtocolError):
        Message("name", (True,), {}).expect(int)


def test_sealed_memory_cannot_change() -> None:
    fd = channels.sealed_memory(b"content")
    assert os.pread(fd, 100, 0) == b"content"
    for attempt in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0)):
        with pytest.raises(PermissionError):
            attempt()
    os.close(fd)


def test_infinite_numbers_are_no_surprise(ends: Pair) -> None:
    sent_raw(ends, b'["name", [], NaN, Infinity]')
    message = channels.receive(ends[1])
    assert math.isnan(message.fields[0])
    with pytest.raises(ProtocolError):
        message.expect(int, int)


def test_what_was_sent_before_an_end_with_something_unread_still_comes() -> None:
    ours, theirs = channels.pair()
    with ours:
        channels.send(ours, "never read")
        channels.send(theirs, "last words")
        theirs.close()
        assert channels.receive(ours).name == "last words"
        with pytest.raises(Closed):
            channels.receive(ours)
