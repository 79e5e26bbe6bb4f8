"""How many blobs may be on their way: of one caller, of all, and of a process's descriptors."""

from __future__ import annotations

import resource
from contextlib import ExitStack

import pytest

from sandboxd.errors import Busy
from sandboxd.model.limits import MAX_STREAMS, stream_count
from sandboxd.server.streams import MAX_STREAMS_OF_ONE, Streams


def begun(streams: Streams, tenants: list[str]) -> int:
    """Begin one stream for each of these, until one is refused; tell how many were begun."""
    entered = []
    with ExitStack() as open_streams:

        def begin_all() -> None:
            for tenant in tenants:
                open_streams.enter_context(streams.one_more(tenant))
                entered.append(tenant)

        with pytest.raises(Busy) as refused:
            begin_all()
    assert refused.value.reason == "STREAMS_EXHAUSTED"
    return len(entered)


def test_one_caller_has_some_and_all_together_have_more() -> None:
    streams = Streams()
    for _ in range(2):
        assert begun(streams, ["a"] * 1000) == MAX_STREAMS_OF_ONE
        assert begun(streams, [str(n) for n in range(1000)]) == MAX_STREAMS


@pytest.mark.parametrize("open_files", [80, 800])
def test_of_few_descriptors_they_take_an_eighth(open_files: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, before[1]))
    try:
        assert begun(Streams(), [str(n) for n in range(1000)]) == open_files // 8
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("open_files", "expected"), [(0, 0), (1024, 128), (4096, MAX_STREAMS), (1 << 20, MAX_STREAMS)]
)
def test_many_descriptors_change_nothing(open_files: int, expected: int) -> None:
    assert stream_count(open_files) == expected
