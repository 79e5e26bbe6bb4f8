"""What several workers have each, and what they tell together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import HostError
from sandboxd.host import Host
from sandboxd.identity import Identity, IdMode
from sandboxd.kernel.cgroups import Rung, Tree
from sandboxd.model.caller import Caller, Role, Share
from sandboxd.model.limits import built_in
from sandboxd.server.board import Board, Counts
from sandboxd.server.callers import Callers
from sandboxd.server.parts import part, part_of, part_of_callers
from sandboxd.server.seat import Orders

COUNTS = st.integers(1, 16)
IDENTITY = Identity(1000, 1000, IdMode.SINGLE, (), (), started_as_root=False)


def a_host(processor_count: int = 8, slot_count: int = 8, **values: int) -> Host:
    most = float(processor_count)
    return Host(
        version="1",
        kernel_release="6",
        identity=IDENTITY,
        tree=Tree(Rung.NONE, {}),
        landlock_abi=0,
        processors=tuple(range(0, 2 * processor_count, 2)),
        memory_bytes=1 << 30,
        slot_count=slot_count,
        queue_length=values.pop("queue_length", 100),
        defaults=built_in("default"),
        ceilings=replace(built_in("ceiling"), cpu_count=most),
        mechanisms={},
        policies={},
        root_sources=(),
        weaknesses=(),
        **values,
    )


def parts_of(host: Host, count: int) -> list[Host]:
    return [part_of(host, index, count) for index in range(count)]


@given(st.integers(0, 1000), COUNTS)
def test_parts_are_all_of_it_and_nearly_equal(total: int, count: int) -> None:
    parts = [part(total, index, count) for index in range(count)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)


@given(COUNTS, st.integers(0, 48), st.integers(0, 48))
def test_each_processor_and_each_slot_is_one_workers(count: int, more: int, slots: int) -> None:
    host = a_host(count + more, count + slots)
    parts = parts_of(host, count)
    assert tuple(number for own in parts for number in own.processors) == host.processors
    assert sum(own.slot_count for own in parts) == host.slot_count
    assert min(own.slot_count for own in parts) >= 1


@given(COUNTS, st.integers(0, 48), st.integers(0, 8))
def test_all_workers_refuse_the_same_jobs(count: int, more: int, shared: int) -> None:
    host = a_host(count + more, count, shared_cpu_count=min(shared, count + more))
    parts = parts_of(host, count)
    assert len({own.ceilings for own in parts}) == len({own.defaults for own in parts}) == 1
    assert parts[0].ceilings.cpu_count == host.processor_count // count
    assert len({own.processor_count - own.shared_cpu_count for own in parts}) == 1
    assert sum(own.shared_cpu_count for own in parts) >= host.shared_cpu_count


@pytest.mark.parametrize(("total", "parts"), [(0, [0, 0, 0]), (1, [1, 1, 1]), (7, [3, 2, 2])])
def test_a_queue_and_a_pool_are_nobodys_or_everybodys(total: int, parts: list[int]) -> None:
    hosts = parts_of(a_host(queue_length=total, pool_size=total), 3)
    assert [host.queue_length for host in hosts] == parts
    assert [host.pool_size for host in hosts] == parts


@pytest.mark.parametrize(
    ("processors", "slots", "named"), [(2, 8, "only 2 processors"), (8, 2, "only 2 slots")]
)
def test_a_worker_without_a_processor_or_a_slot_is_refused(
    processors: int, slots: int, named: str
) -> None:
    with pytest.raises(HostError, match=f"cannot serve with 3 workers: .*{named}") as caught:
        part_of(a_host(processors, slots), 0, 3)
    assert caught.value.reason == "TOO_MANY_WORKERS"


# --- callers --------------------------------------------------------------------------------------


def callers_with(share: Share) -> Callers:
    return Callers((Caller(name="judge", roles=frozenset(Role), uids=(5,), share=share),))


@given(
    COUNTS,
    st.builds(
        Share,
        slots=st.none() | st.integers(16, 99),
        memory_bytes=st.none() | st.integers(1, 1 << 40),
        queue_places=st.none() | st.just(0) | st.integers(16, 99),
        rate=st.none() | st.floats(0.1, 1e6),
        burst=st.integers(16, 99),
    ),
)
def test_the_parts_of_a_share_are_never_more_than_the_share(count: int, share: Share) -> None:
    own = part_of_callers(callers_with(share), count, "x").all[0].share
    for name in ("slots", "memory_bytes", "queue_places", "rate", "burst"):
        whole, each = getattr(share, name), getattr(own, name)
        assert (each is None) == (whole is None), name
        assert whole is None or each * count <= whole * (1 + 1e-9), name


def test_a_share_is_whole_where_one_process_serves() -> None:
    whole = callers_with(Share(slots=1, memory_bytes=5, queue_places=1, rate=0.5, burst=1))
    assert part_of_callers(whole, 1, "x") == whole


@pytest.mark.parametrize("share", [Share(slots=1), Share(queue_places=1)])
def test_a_share_too_small_to_be_divided_is_refused(share: Share) -> None:
    told = r"cannot use /c: judge: share\..* among 2 workers"
    with pytest.raises(HostError, match=told) as caught:
        part_of_callers(callers_with(share), 2, "/c")
    assert caught.value.reason == "CALLERS_INVALID"


# --- the board ------------------------------------------------------------------------------------


def test_the_board_tells_the_sum_and_forgets_who_is_gone() -> None:
    board = Board.made(2)
    other = Board(board.fd, 2)
    first, second = Counts(1, 2, 3, 4, 5, 6, 7), Counts(1, 20, 30, 40, 50, 60, 2**62)
    board.write(0, first, 8)
    other.write(1, second, 9)
    assert board.total() == other.total() == Counts(2, 22, 33, 44, 55, 66, 2**62 + 7)
    assert [board.gone_count(0), board.gone_count(1)] == [8, 9]
    assert 0 <= other.silent_seconds(0) < 60
    other.clear(1)
    assert board.total() == first
    assert [board.gone_count(0), board.gone_count(1)] == [8, 0]


def test_orders_arrive_as_they_were_given() -> None:
    orders = Orders(("127.0.0.1:1", "[::1]:2"), "/run/ä.sock", is_open=True)
    assert Orders.decoded(orders.encoded()) == orders
