"""The place of jobs by itself: turns, room, time, output, and what the dead have left."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from sandboxd.errors import Busy, ConflictError, NotFoundError
from sandboxd.jobs.output import MAX_PIECE_BYTES, Output, Piece, joined
from sandboxd.jobs.places import LEAST_BYTES
from sandboxd.jobs.store import JobStore
from sandboxd.jobs.values import Asked, End, Page, Wish
from sandboxd.model.stored import JobState, Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.jobs.ledger import Record

ROOT = Path(__file__).parent.parent.parent


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    store = opened(tmp_path, clock=clock)
    yield store
    store.close()


def opened(directory: Path, **changed: Any) -> JobStore:
    usual: dict[str, Any] = {
        "max_bytes": 1 << 30,
        "queue_length": 1000,
        "keep_time": timedelta(hours=1),
    }
    return JobStore(directory / "jobs", **usual | changed)


def asked(text: bytes = b"", **fields: Any) -> Asked:
    return Asked(request=text, digest=fields.pop("digest", "d"), **fields)


def began(store: JobStore, record: Record) -> Record:
    assert store.begin(record)
    return store.get(record.tenant, record.id)


def test_turns_are_by_priority_then_by_time(store: JobStore, clock: Clock) -> None:
    started = []
    for priority in (0, 5, 0, -5, 5):
        clock.now += 1
        started.append(store.start("a", asked(priority=priority)).id)
    order = [started[index] for index in (1, 4, 0, 2, 3)]
    assert [record.id for record in store.next_of("a", 3)] == order[:3]
    assert [record.id for record in store.next_of("a", 10)] == order
    assert store.positions("a") == {found: place for place, found in enumerate(order)}


def test_before_a_third_job_at_most_three_of_each_other_tenant(store: JobStore) -> None:
    own = [store.start("a", asked()).id for _ in range(3)]
    for tenant, count in (("b", 5), ("c", 1)):
        for _ in range(count):
            store.start(tenant, asked())
    assert list(store.positions("a").values()) == [0 + 1 + 1, 1 + 2 + 1, 2 + 3 + 1]
    assert set(store.positions("a")) == set(own)


def test_room_is_for_all_and_each_leaves_as_much_as_it_has(tmp_path: Path) -> None:
    store = opened(tmp_path, max_bytes=8 * LEAST_BYTES, queue_length=6)
    for _ in range(4):
        store.start("a", asked())
    with pytest.raises(Busy) as busy:
        store.start("a", asked())
    assert busy.value.reason == "SHARE_EXHAUSTED"
    for _ in range(2):
        store.start("b", asked())
    with pytest.raises(Busy) as busy:
        store.start("c", asked())
    assert busy.value.reason == "QUEUE_FULL"
    store.begin(store.next_of("a", 1)[0])
    store.start("c", asked())
    with pytest.raises(Busy) as busy:
        store.start("c", asked(), places=1)
    assert busy.value.reason in {"SHARE_EXHAUSTED", "QUEUE_FULL"}
    assert len(os.listdir(tmp_path / "jobs" / "jobs")) == 7, "what is refused leaves nothing"
    store.close()


def test_many_threads_that_ask_the_same_get_the_same(store: JobStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: store.start("a", asked(request_id="r")).id, range(50)))
    assert len(set(found)) == 1
    assert len(os.listdir(tmp_path / "jobs" / "jobs")) == 1
    with pytest.raises(ConflictError):
        store.start("a", asked(request_id="r", digest="another"))
    assert store.start("b", asked(request_id="r", digest="another")).id != found[0]


def test_one_begins_once_and_ends_once(store: JobStore) -> None:
    record = began(store, store.start("a", asked(b"secret")))
    assert not store.begin(record)
    with pytest.raises(FileNotFoundError):
        store.place(record.id).request()
    store.finish(record, End(state=JobState.ENDED, outcome=b"o", result=b"r"))
    first = store.get("a", record.id)
    store.finish(record, End(state=JobState.INTERRUPTED))
    assert store.get("a", record.id) == first
    assert store.cancel("a", record.id, Wish()) == first
    assert (first.state, store.place(record.id).result()) == (JobState.ENDED, b"r")


def test_a_job_is_gone_when_its_time_is_over(store: JobStore, clock: Clock) -> None:
    record = began(store, store.start("a", asked(request_id="r")))
    store.finish(record, End(state=JobState.ENDED, result=b""))
    clock.now += 3599
    store.expire()
    assert store.get("a", record.id).state == JobState.ENDED
    clock.now += 1
    with pytest.raises(NotFoundError):
        store.get("a", record.id)
    assert store.page("a", Page(None, 10)) == []
    again = store.start("a", asked(request_id="r", digest="another"))
    assert again.id != record.id
    store.expire()
    assert {path.name for path in (store.place("x").directory.parent).iterdir()} == {again.id}


def test_one_of_which_somebody_is_to_be_told_is_kept_until_then(
    store: JobStore, clock: Clock
) -> None:
    record = began(store, store.start("a", asked(webhook=Webhook("http://a", "s"))))
    store.finish(record, End(state=JobState.ENDED, result=b""))
    clock.now += 7200
    store.expire()
    (due,) = store.hooks_due(10)
    store.hook_later(due, timedelta(seconds=5))
    assert store.hooks_due(10) == []
    assert store.seconds_to_hook() == pytest.approx(5)
    clock.now += 5
    (due,) = store.hooks_due(10)
    assert due.hook_tries == 1
    store.hook_later(due, None)
    store.expire()
    assert not store.place(record.id).directory.exists()


DIES = """
import os, sys
from datetime import timedelta
from pathlib import Path
from sandboxd.jobs.store import JobStore
from sandboxd.jobs.values import Asked
store = JobStore(Path(sys.argv[1]), max_bytes=1 << 30, queue_length=10, keep_time=timedelta(1))
waits, runs = (store.start("a", Asked(request=b"secret", digest="d")) for _ in range(2))
assert store.begin(runs)
print(waits.id, runs.id, flush=True)
sys.stdin.read()
os._exit(1)
"""


def test_what_the_dead_have_left_is_taken_over_and_what_the_living_have_is_not(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", DIES, str(tmp_path / "jobs")]
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        waits, runs = other.stdout.readline().split()
        store = opened(tmp_path)
        assert not store.take_over()
        assert store.next_of("a", 10) == []
        elsewhere = store.cancel("a", runs, Wish(9, 0.0))
        assert (elsewhere.state, elsewhere.owner != store.own_name) == (JobState.RUNNING, True)
        other.kill()
        other.wait()
    assert store.take_over()
    assert not store.take_over()
    assert [record.id for record in store.next_of("a", 10)] == [waits]
    assert store.get("a", runs).state == JobState.INTERRUPTED
    files = [path.name for path in (tmp_path / "jobs" / "jobs").rglob("request")]
    assert len(files) == 1
    store.close()


def test_an_idle_process_adopts_what_waits_and_the_other_lets_it_be(
    store: JobStore, tmp_path: Path, clock: Clock
) -> None:
    records = []
    for _ in range(3):
        clock.now += 1
        records.append(store.start("a", asked(b"what to run")))
    other = opened(tmp_path, clock=clock)
    assert other.adopt(2) == {"a"}
    assert [record.id for record in store.next_of("a", 9)] == [records[2].id]
    assert [record.id for record in other.next_of("a", 9)] == [r.id for r in records[:2]]
    assert not store.begin(records[0])
    store.finish(records[0], End(state=JobState.FAULT))
    assert other.get("a", records[0].id).state == JobState.QUEUED
    assert other.place(records[0].id).request() == b"what to run"
    assert other.begin(records[0])
    assert store.adopt(9) == {"a"}
    assert other.adopt(0) == set()
    other.close()


def test_wishes_reach_the_owner_once(store: JobStore, tmp_path: Path, clock: Clock) -> None:
    other = opened(tmp_path, clock=clock)
    record = began(store, store.start("a", asked()))
    other.cancel("a", record.id, Wish(15, 2.5))
    assert other.wishes() == {}
    assert store.wishes() == {record.id: Wish(15, 2.5)}
    assert store.wishes() == {}
    other.close()


pieces_of = some.lists(
    some.tuples(some.sampled_from([1, 2]), some.binary(min_size=1, max_size=40)), max_size=40
)


def laid_out(found: list[tuple[int, bytes]]) -> list[Piece]:
    position, offsets, pieces = 0, {1: 0, 2: 0}, []
    for number, (stream, data) in enumerate(found):
        pieces.append(Piece(position, stream, offsets[stream], number, data))
        position += len(data)
        offsets[stream] += len(data)
    return pieces


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=pieces_of, cuts=some.data(), most=some.integers(1, 100))
def test_from_any_position_comes_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[int, bytes]],
    cuts: some.DataObject,
    most: int,
) -> None:
    pieces = laid_out(found)
    output = Output(tmp_path_factory.mktemp("output"))
    at = cuts.draw(some.integers(0, len(pieces)))
    output.append(joined(pieces[:at]))
    output.append(pieces[at:])
    whole = b"".join(data for _, data in found)
    assert output.size_bytes == len(whole)
    position = begin = cuts.draw(some.integers(0, len(whole)))
    got = []
    while batch := output.read(position, most):
        got += batch
        position = batch[-1].position + len(batch[-1].data)
    assert b"".join(piece.data for piece in got) == whole[begin:]
    for piece in got:
        before = whole[: piece.position]
        assert piece.position == begin + len(b"".join(p.data for p in got[: got.index(piece)]))
        of_stream = b"".join(data for stream, data in found if stream == piece.stream)
        assert of_stream[piece.offset : piece.offset + len(piece.data)] == piece.data
        assert len(before) == piece.position
    assert output.streams() == tuple(
        b"".join(data for stream, data in found if stream == number) for number in (1, 2)
    )


def test_neighbours_are_joined_up_to_a_bound() -> None:
    pieces = laid_out([(1, b"a"), (1, b"b"), (2, b"c"), (1, b"d"), (1, b"e")])
    assert [(p.stream, p.offset, p.data) for p in joined(pieces)] == [
        (1, 0, b"ab"),
        (2, 0, b"c"),
        (1, 2, b"de"),
    ]
    large = laid_out([(1, bytes(MAX_PIECE_BYTES - 1)), (1, b"a"), (1, b"b")])
    assert [len(piece.data) for piece in joined(large)] == [MAX_PIECE_BYTES, 1]
    assert joined([]) == []
