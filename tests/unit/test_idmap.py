"""Host ids: no two live sandboxes share one, root is never among them, the oldest come first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.identity import default_range
from sandboxd.kernel import idmap
from sandboxd.kernel.idmap import IDS_PER_SANDBOX, Line, Pairs, Range

starts = st.integers(1, 2**32 - 2**17)
sizes = st.integers(1, 2**16)


def ids_of(line: Line) -> range:
    return range(line.outside, line.outside + line[2])


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_pairs_never_overlap(one: int, other: int) -> None:
    def ids(pair: int) -> set[int]:
        return {id_ for line in idmap.sandbox_map(pair) for id_ in ids_of(line)}

    assert len(ids(one)) == IDS_PER_SANDBOX
    assert 0 not in ids(one), "0 is the daemon itself"
    if one != other:
        assert not ids(one) & ids(other)


@given(st.integers(0, 500))
def test_as_many_pairs_as_there_are_can_be_taken_and_no_more(count: int) -> None:
    pairs = Pairs()
    pairs.add(range(count))
    taken = [pairs.take() for _ in range(count)]
    lines = [line for pair in taken for line in idmap.sandbox_map(pair)]
    ids = [id_ for line in lines for id_ in ids_of(line)]
    assert sorted(ids) == list(range(1, 1 + IDS_PER_SANDBOX * count))
    with pytest.raises(IndexError):
        pairs.take()


@given(st.lists(st.booleans(), max_size=200))
def test_no_live_pair_is_handed_out_again_and_the_oldest_free_one_is_first(
    steps: list[bool],
) -> None:
    pairs = Pairs(range(8))
    live: list[int] = []
    freed: list[int] = []
    for take in steps:
        if take and len(pairs):
            pair = pairs.take()
            assert pair not in live
            live.append(pair)
            if pair in freed:
                assert pair == freed.pop(0), "the one that has been free for longest"
        elif live:
            pair = live.pop(0)
            pairs.give_back(pair)
            freed.append(pair)
    assert len(pairs) + len(live) == 8


def test_a_sandbox_maps_init_and_program_and_nothing_else() -> None:
    assert [line[:3] for line in idmap.sandbox_map(0)] == [(0, 1, 1), (1000, 2, 1)]
    assert [line[:3] for line in idmap.sandbox_map(7)] == [(0, 15, 1), (1000, 16, 1)]
    assert [line[:3] for line in idmap.sandbox_map(None)] == [(1000, 0, 1)]


@given(st.integers(1, 2**31), starts, sizes)
def test_the_outer_map_is_the_own_id_and_the_range(own: int, start: int, size: int) -> None:
    assert [line[:3] for line in idmap.outer_map(own, None)] == [(0, own, 1)]
    expected = [(0, own, 1), (1, start, size)]
    assert [line[:3] for line in idmap.outer_map(own, Range(start, size))] == expected


def test_a_map_is_written_as_the_kernel_reads_it() -> None:
    assert idmap.as_text((Line(0, 1001, 1), Line(1, 100000, 65536))) == "0 1001 1\n1 100000 65536\n"


def test_ranges_are_read_by_name_and_by_number_and_others_are_passed_over() -> None:
    text = """
other:1:5
me:100000:65536
1001:300000:10
me:400000
me:x:5
me:500000:-1
me:0:65536
me:600000:0
# me:1:1
"""
    assert idmap.parse_ranges(text, ("me", "1001")) == (Range(100000, 65536), Range(300000, 10))
    assert idmap.parse_ranges(text, ("nobody",)) == ()


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading_of_ranges(text: str) -> None:
    ranges = idmap.parse_ranges(text, ("me",))
    assert all(range_.start > 0 for range_ in ranges)


def test_the_largest_range_without_the_own_id_is_chosen() -> None:
    ranges = (Range(100, 10), Range(200, 50), Range(1000, 1000))
    assert idmap.largest(ranges, 1500) == Range(200, 50)
    assert idmap.largest(ranges, 999) == Range(1000, 1000)
    assert idmap.largest(ranges, 2000) == Range(1000, 1000)
    assert idmap.largest((), 1) is None


def test_init_keeps_a_saved_id_only_where_v1_needs_it() -> None:
    assert idmap.init_ids(keep_saved=True).arguments == (0, -1)
    assert idmap.init_ids(keep_saved=False).arguments == (0, 0)


@pytest.mark.parametrize(
    ("uid_map", "start"),
    [
        ("         0          0 4294967295\n", 1_878_982_656),
        ("         0     100000      65536\n", 2048),
        ("         0       1000          1\n", None),
        ("         0       1000          1\n         1     100000      65536\n", 2048),
    ],
    ids=["host", "pod", "one id", "two lines"],
)
def test_root_takes_a_default_range_that_is_mapped_where_it_is(
    uid_map: str, start: int | None
) -> None:
    found = default_range(uid_map)
    assert (found.start if found else None) == start
