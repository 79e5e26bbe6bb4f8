"""The store of blobs: what it keeps, refuses, forgets and reports; promises one by one."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from sandboxd.errors import BlobDamaged, Busy, HostError, PreconditionError, RequestError
from sandboxd.model.blob import Digest, parse_digest
from sandboxd.store.blobs import PIECE_BYTES, STEP_BYTES, BlobStore
from sandboxd.store.charge import LEAST_BYTES, charged_bytes, largest_within
from sandboxd.store.pins import Pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandboxd.store.blobs import Held

KIB = 1 << 10
MIB = 1 << 20
STORE_BYTES = 100 * KIB


class Clock:
    """A clock that only goes when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[BlobStore]:
    """Give a store of 100 KiB, in which a minute's rest is the end."""
    store = BlobStore(
        tmp_path / "blobs", max_bytes=STORE_BYTES, time_to_live=timedelta(minutes=1), clock=clock
    )
    yield store
    store.close()


def put(store: BlobStore, content: bytes, tenant: str = "a", share: int | None = None) -> Digest:
    upload = store.upload(tenant, share)
    try:
        upload.write(content)
        return upload.commit()
    finally:
        upload.discard()


def read(store: BlobStore, digest: Digest, tenant: str = "a") -> bytes:
    with store.hold(tenant, digest) as held:
        reader = held.read()
        try:
            return b"".join(reader)
        finally:
            reader.close()


def digest_of(content: bytes) -> Digest:
    return Digest(sha256(content).hexdigest(), len(content))


def has(store: BlobStore, digest: Digest, tenant: str = "a") -> bool:
    return any(h.sha256 == digest.sha256 for h in store.page(tenant, "", 100))


def files(store: BlobStore, below: str = "content") -> list[str]:
    """Give the digests of the files there."""
    with store.working() as shelf:
        return sorted(name.partition(".")[0] for name in os.listdir(shelf.directory / below))


def path_of(store: BlobStore, digest: Digest, tenant: str = "a") -> Path:
    with store.working() as shelf:
        holding = shelf.ledger.find(tenant, digest)
        assert holding is not None
        return shelf.path(holding.file)


# --- kept and read --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", b"hello"])
def test_what_is_put_is_read_by_its_digest(store: BlobStore, content: bytes) -> None:
    digest = put(store, content)
    assert digest == digest_of(content)
    assert read(store, digest) == content
    assert read(store, Digest(digest.sha256)) == content, "the size may be left out"


def test_large_ones_come_and_go_in_pieces(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", max_bytes=64 * MIB)
    content = os.urandom(2 * PIECE_BYTES + 17)
    upload = store.upload("a")
    upload.expect(size_bytes=len(content))
    for start in range(0, len(content), 100_000):
        upload.write(content[start : start + 100_000])
    digest = upload.commit()
    with store.hold("a", digest) as held:
        reader = held.read()
        pieces = list(reader)
        reader.close()
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, 17]
    assert b"".join(pieces) == content
    store.close()


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 4, b"3456"),
        (3, 0, b""),
        (9, 99, b"9"),
        (10, None, b""),
    ],
)
def test_a_part_is_what_lies_there(
    store: BlobStore, offset: int, limit: int | None, expected: bytes
) -> None:
    with store.hold("a", put(store, b"0123456789")) as held:
        reader = held.read(offset, limit)
        assert b"".join(reader) == expected
        reader.close()


@pytest.mark.parametrize(("offset", "limit"), [(-1, None), (11, None), (0, -1)])
def test_a_part_beyond_the_blob_is_refused(
    store: BlobStore, offset: int, limit: int | None
) -> None:
    with store.hold("a", put(store, b"0123456789")) as held, pytest.raises(RequestError):
        held.read(offset, limit)


def test_a_descriptor_is_read_only_and_the_file_nobodys_to_write(store: BlobStore) -> None:
    with store.hold("a", put(store, b"bytes")) as held:
        fd = held.open()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o400
    assert os.read(fd, 10) == b"bytes"
    os.close(fd)


def test_everything_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    digest = put(first, b"bytes")
    first.close()
    second = BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    assert read(second, digest) == b"bytes"
    second.close()


# --- what was expected ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "field"),
    [
        (digest_of(b"other"), "digest.sha256"),
        (Digest(digest_of(b"bytes").sha256, 4), "digest.size_bytes"),
        (Digest(digest_of(b"bytes").sha256, 6), "digest.size_bytes"),
        (Digest("", 4), "digest.size_bytes"),
    ],
)
def test_an_upload_that_is_not_what_was_said_leaves_nothing(
    store: BlobStore, expected: Digest, field: str
) -> None:
    upload = store.upload("a")
    upload.expect(expected.sha256, expected.size_bytes)

    def upload_all() -> None:
        upload.write(b"bytes")
        upload.commit()

    with pytest.raises(RequestError) as caught:
        upload_all()
    upload.discard()
    assert [violation.field for violation in caught.value.violations] == [field]
    assert (files(store), files(store, "incoming")) == ([], [])


def test_an_upload_that_ends_early_leaves_nothing(store: BlobStore) -> None:
    upload = store.upload("a")
    upload.write(b"half")
    upload.discard()
    upload.discard()
    assert files(store, "incoming") == []


# --- tenants --------------------------------------------------------------------------------------


def test_a_tenant_sees_nothing_of_others(store: BlobStore) -> None:
    digest = put(store, b"secret", "a")
    assert store.missing("b", [digest]) == [digest]
    assert store.page("b", "", 100) == []
    assert not store.delete("b", digest)
    with pytest.raises(PreconditionError) as foreign:
        store.hold("b", digest)
    with pytest.raises(PreconditionError) as nobodys:
        store.hold("b", digest_of(b"nobody's"))
    assert foreign.value.reason == nobodys.value.reason == "BLOB_UNKNOWN"
    assert read(store, digest, "a") == b"secret"


def test_equal_bytes_of_two_are_two_files_so_that_nothing_shows(store: BlobStore) -> None:
    digest = put(store, b"bytes", "a")
    put(store, b"bytes", "b")
    assert files(store) == 2 * [digest.sha256]
    assert store.bytes_of("a") == store.bytes_of("b") == LEAST_BYTES
    assert path_of(store, digest, "a").stat().st_ino != path_of(store, digest, "b").stat().st_ino
    assert store.delete("a", digest)
    assert files(store) == [digest.sha256], "its own file is gone, whoever has the same"
    assert read(store, digest, "b") == b"bytes"
    assert store.delete("b", digest)
    assert files(store) == []


def test_a_use_by_one_tenant_does_not_spare_anothers(store: BlobStore, clock: Clock) -> None:
    share = 2 * LEAST_BYTES
    shared, own = put(store, b"1", "a", share), put(store, b"2", "a", share)
    put(store, b"1", "b")
    clock.now += 5
    assert store.missing("a", [own]) == []
    clock.now += 5
    with store.hold("b", shared):
        put(store, b"3", "a", share)
    assert not has(store, shared, "a"), "a's oldest goes, though b uses the same bytes"
    assert read(store, shared, "b") == b"1"


# --- quotas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "charged"),
    [
        (0, 16 * KIB),
        (1, 16 * KIB),
        (12 * KIB, 16 * KIB),
        (12 * KIB + 1, 17 * KIB),
        (16 * KIB, 17 * KIB),
        (MIB, MIB + KIB),
        (MIB + 1, MIB + 5 * KIB),
    ],
)
def test_a_blob_counts_its_blocks_and_what_is_written_about_it(size: int, charged: int) -> None:
    assert charged_bytes(size) == charged


@pytest.mark.parametrize("share", [0, LEAST_BYTES - 1, LEAST_BYTES, 50 * KIB, MIB, MIB + KIB])
def test_the_largest_within_a_share_fits_and_the_next_does_not(share: int) -> None:
    largest = largest_within(share)
    assert largest < 0 or charged_bytes(largest) <= share
    assert charged_bytes(largest + 1) > share


def test_empty_ones_count_too(store: BlobStore, clock: Clock) -> None:
    """The disk has so many inodes."""
    first = put(store, b"")
    clock.now += 2
    for n in range(STORE_BYTES // LEAST_BYTES):
        put(store, bytes([n]))
    assert not has(store, first)
    assert len(files(store)) == STORE_BYTES // LEAST_BYTES


def test_uploads_that_have_sent_nothing_count_too(store: BlobStore) -> None:
    begun = [store.upload("a") for _ in range(STORE_BYTES // LEAST_BYTES)]
    with pytest.raises(Busy) as caught:
        put(store, b"x", "b")
    assert caught.value.reason == "BLOBS_FULL"
    empty = store.upload("b")
    with pytest.raises(Busy):
        empty.commit()
    empty.discard()
    begun.pop().discard()
    put(store, b"x", "b")


def test_the_longest_unused_makes_room_in_a_share(store: BlobStore, clock: Clock) -> None:
    share = 2 * LEAST_BYTES
    first, second = put(store, b"1", "a", share), put(store, b"2", "a", share)
    clock.now += 2
    read(store, first)
    third = put(store, b"3", "a", share)
    assert [has(store, d) for d in (first, second, third)] == [True, False, True]


def test_the_longest_unused_of_all_makes_room_in_the_store(store: BlobStore, clock: Clock) -> None:
    first = put(store, b"1" * 60 * KIB, "a")
    clock.now += 2
    second = put(store, b"2" * 30 * KIB, "b")
    clock.now += 2
    third = put(store, b"3" * 50 * KIB, "b")
    assert [has(store, first, "a"), has(store, second, "b"), has(store, third, "b")] == [
        False,
        True,
        True,
    ]
    assert len(files(store)) == 2


def test_a_blob_of_several_counts_for_each_in_the_store_too(store: BlobStore, clock: Clock) -> None:
    for tenant in "abcd":
        put(store, b"1" * 20 * KIB, tenant)
        clock.now += 2
    put(store, b"2" * 30 * KIB, "e")
    kept = [has(store, digest_of(b"1" * 20 * KIB), tenant) for tenant in "abcd"]
    assert kept == [False, True, True, True]


def test_what_is_in_use_never_makes_room(store: BlobStore, clock: Clock) -> None:
    used = put(store, b"1" * 60 * KIB)
    with store.hold("a", used):
        clock.now += 2
        with pytest.raises(Busy) as full:
            put(store, b"2" * 50 * KIB, "b")
        with pytest.raises(Busy) as share:
            put(store, b"2" * 30 * KIB, "a", 70 * KIB)
        assert (full.value.reason, share.value.reason) == ("BLOBS_FULL", "SHARE_EXHAUSTED")
        assert read(store, used) == b"1" * 60 * KIB
    put(store, b"2" * 50 * KIB, "b")
    assert not has(store, used)


def test_a_refusal_costs_nobody_anything(store: BlobStore, clock: Clock) -> None:
    old = put(store, b"0" * 20 * KIB)
    used = put(store, b"1" * 60 * KIB)
    clock.now += 2
    with store.hold("a", used), pytest.raises(Busy):
        put(store, b"2" * 50 * KIB)
    assert has(store, old)
    assert read(store, old) == b"0" * 20 * KIB


def test_what_comes_counts_before_it_is_there(store: BlobStore) -> None:
    share = 50 * KIB
    first, second = store.upload("a", share), store.upload("a", share)
    first.write(b"1" * 30 * KIB)
    with pytest.raises(Busy):
        second.write(b"2" * 30 * KIB)
    second.write(b"2" * 12 * KIB)
    assert [first.commit().size_bytes, second.commit().size_bytes] == [30 * KIB, 12 * KIB]
    assert store.bytes_of("a") == charged_bytes(30 * KIB) + charged_bytes(12 * KIB)


def test_what_can_never_be_kept_is_refused_as_soon_as_it_is_known(store: BlobStore) -> None:
    upload = store.upload("a", 50 * KIB)
    with pytest.raises(RequestError, match=r"digest\.size_bytes: must be at most 49152"):
        upload.expect(size_bytes=48 * KIB + 1)
    with pytest.raises(RequestError, match=r"data: must be at most 49152"):
        upload.write(b"1" * (48 * KIB + 1))
    upload.discard()
    with pytest.raises(RequestError):
        put(store, b"1" * STORE_BYTES)
    with pytest.raises(RequestError, match="there is no room for any"):
        store.upload("a", LEAST_BYTES - 1)


def test_an_announcement_alone_takes_nothing_from_others(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", max_bytes=4 * STEP_BYTES)
    kept = put(store, bytes(2 * STEP_BYTES), "b")
    upload = store.upload("a")
    upload.expect(size_bytes=3 * STEP_BYTES)
    upload.write(b"x")
    assert has(store, kept, "b")
    upload.discard()
    store.close()


def test_putting_it_again_costs_nothing_and_is_a_use(store: BlobStore, clock: Clock) -> None:
    first = put(store, b"1" * 50 * KIB)
    clock.now += 2
    put(store, b"2" * 50 * KIB)
    clock.now += 2
    third = put(store, b"3")
    assert (has(store, first), has(store, third)) == (False, True)
    for _ in range(3):
        put(store, b"3")
    assert store.bytes_of("a") == charged_bytes(50 * KIB) + LEAST_BYTES


# --- what is used still counts --------------------------------------------------------------------


def on_disk(store: BlobStore) -> int:
    with store.working() as shelf:
        return sum(
            path.stat().st_size
            for below in ("content", "incoming", "damaged")
            for path in (shelf.directory / below).iterdir()
        )


@pytest.mark.parametrize("again", [True, False])
def test_what_is_deleted_or_replaced_in_use_counts_to_its_last_use(
    store: BlobStore,
    again: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    content, share = b"1" * 20 * KIB, 45 * KIB
    digest = put(store, content, "a", share)
    with store.hold("a", digest) as held:
        reader = held.read()
        if again:
            assert put(store, content, "a", share) == digest
        else:
            assert store.delete("a", digest)
        assert store.bytes_of("a") == (2 if again else 1) * charged_bytes(len(content))
        assert on_disk(store) <= store.bytes_of("a")
        with pytest.raises(Busy) as caught:
            put(store, b"2" * 30 * KIB, "a", share)
        assert caught.value.reason == "SHARE_EXHAUSTED"
        assert b"".join(reader) == content
        reader.close()
    assert store.bytes_of("a") == again * charged_bytes(len(content))
    assert on_disk(store) == again * len(content)
    assert has(store, digest) == again


def test_stalled_readers_cannot_take_more_disk_than_their_share(store: BlobStore) -> None:
    content, share, stalled = b"1" * 20 * KIB, 50 * KIB, []
    for _ in range(2):
        held = store.hold("a", put(store, content, "a", share))
        stalled.append((held, held.open()))
    for _ in range(3):
        with pytest.raises(Busy):
            put(store, content, "a", share)
    assert on_disk(store) == 40 * KIB
    for held, fd in stalled:
        os.close(fd)
        held.release()
    assert on_disk(store) == 20 * KIB


def test_what_leaves_goes_though_its_last_user_was_killed(tmp_path: Path) -> None:
    """A store that is closed lets go of its pins as one does whose process dies."""
    mine, others = (BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES) for _ in "12")
    digest = put(mine, b"bytes")
    others.hold("a", digest)
    assert mine.delete("a", digest)
    assert (mine.bytes_of("a"), len(files(mine))) == (LEAST_BYTES, 1)
    others.close()
    assert (mine.bytes_of("a"), files(mine)) == (0, [])
    mine.close()


# --- time -----------------------------------------------------------------------------------------


def test_what_nobody_uses_is_gone_after_its_time(store: BlobStore, clock: Clock) -> None:
    digest, other = put(store, b"bytes"), put(store, b"other")
    clock.now += 59
    assert read(store, digest) == b"bytes"
    clock.now += 59
    assert store.missing("a", [digest, other]) == [other]
    clock.now += 61
    with pytest.raises(PreconditionError):
        store.hold("a", digest)
    assert files(store) == []


def test_what_is_in_use_stays_and_its_time_begins_after(store: BlobStore, clock: Clock) -> None:
    digest = put(store, b"bytes")
    with store.hold("a", digest):
        clock.now += 600
        assert has(store, digest)
    clock.now += 59
    assert has(store, digest)


def test_a_deleted_blob_is_read_to_its_end_by_whoever_uses_it(store: BlobStore) -> None:
    digest = put(store, b"bytes")
    with store.hold("a", digest) as held:
        assert store.delete("a", digest)
        assert not store.delete("a", digest)
        fd = held.open()
        assert os.read(fd, 10) == b"bytes"
        os.close(fd)
        assert not has(store, digest)
        with pytest.raises(PreconditionError):
            store.hold("a", digest)
    assert files(store) == []


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"bxtes", b"byte", b"bytes!", b"", None])
@pytest.mark.parametrize("how", ["whole", "part", "descriptor"])
def test_wrong_bytes_are_never_given(store: BlobStore, damage: bytes | None, how: str) -> None:
    digest = put(store, b"bytes", "a")
    put(store, b"bytes", "b")
    path = path_of(store, digest)
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)

    def use(held: Held) -> None:
        if how == "descriptor":
            held.open()
        elif how == "part":
            held.read(2, 2)
        else:
            assert list(held.read()) == []

    with store.hold("a", digest) as held, pytest.raises(BlobDamaged) as caught:
        use(held)
    assert caught.value.reason == "BLOB_DAMAGED"
    assert files(store, "damaged") == ([] if damage is None else [digest.sha256])
    assert store.missing("a", [digest]) == [digest]
    assert read(store, digest, "b") == b"bytes", "which is another file"
    put(store, b"bytes", "a")
    assert read(store, digest, "a") == b"bytes"


def test_damage_after_a_first_good_look_is_seen(store: BlobStore) -> None:
    digest = put(store, b"bytes")
    with store.hold("a", digest) as held:
        os.close(held.open())
        path = path_of(store, digest)
        path.chmod(0o600)
        path.write_bytes(b"bxtes")
        with pytest.raises(BlobDamaged):
            held.open()


def test_a_blob_is_hashed_once_for_all_the_jobs_that_use_it(store: BlobStore) -> None:
    with store.hold("a", put(store, b"bytes")) as held:
        found = []
        for _ in range(2):
            reader = held.read()
            found.append(reader.is_known_good)
            reader.close()
            os.close(held.open())
    assert found == [False, True]


# --- starts, and other processes ------------------------------------------------------------------


def test_a_start_clears_what_the_dead_have_left(tmp_path: Path) -> None:
    first = BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    kept, lost = put(first, b"kept"), put(first, b"lost")
    lost_path = path_of(first, lost)
    first.close()
    lost_path.unlink()
    (tmp_path / "blobs/content" / ("0" * 64 + ".0123")).write_bytes(b"of nobody")
    (tmp_path / "blobs/incoming/0123.4567").write_bytes(b"half")
    second = BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    assert [h.digest for h in second.page("a", "", 10)] == [kept]
    assert (files(second), files(second, "incoming")) == ([kept.sha256], [])
    second.close()


def test_two_processes_share_a_directory(tmp_path: Path, clock: Clock) -> None:
    """Two stores in one process are to the kernel what two processes are."""
    room = 2 * LEAST_BYTES
    one, two = (BlobStore(tmp_path / "blobs", max_bytes=room, clock=clock) for _ in "12")
    used = put(one, b"1")
    coming = one.upload("a")
    coming.write(b"2")
    with two.hold("a", used):
        for store in (one, two):
            with pytest.raises(Busy):
                put(store, b"3")
        three = BlobStore(tmp_path / "blobs", max_bytes=room, clock=clock)
        assert len(files(three, "incoming")) == 1, "a living process still writes it"
        three.close()
        one.delete("a", used)
        assert files(one) == [used.sha256]
        with pytest.raises(Busy):
            put(one, b"3")
    assert files(one) == []
    assert read(two, coming.commit()) == b"2"
    one.close()
    two.close()


@pytest.mark.parametrize("again", [True, False])
def test_what_another_process_takes_away_meanwhile_is_not_held(
    tmp_path: Path,
    again: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The clock is read between the look for a blob and the claim to it."""
    directory, acts = tmp_path / "blobs", []

    def clock() -> float:
        if acts:
            acts.pop()()
        return 0.0

    other = BlobStore(directory, max_bytes=STORE_BYTES)
    one = BlobStore(directory, max_bytes=STORE_BYTES, clock=clock)
    digest = put(other, b"bytes")
    acts.append(lambda: put(other, b"bytes") if again else other.delete("a", digest))
    if again:
        assert read(one, digest) == b"bytes"
    else:
        with pytest.raises(PreconditionError):
            one.hold("a", digest)
    assert acts == []
    assert files(one) == again * [digest.sha256]
    one.close()
    other.close()


def test_what_could_not_be_written_down_leaves_no_file(store: BlobStore) -> None:
    """The ledger's log may not grow, and a commit is what makes it grow."""
    kept = [put(store, bytes([n])) for n in range(3)]
    upload = store.upload("a")
    upload.write(b"more")
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * KIB, bounds[1]))
    try:
        with pytest.raises(HostError) as caught:
            upload.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)
    upload.discard()
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert files(store) == sorted(digest.sha256 for digest in kept)
    assert read(store, put(store, b"more")) == b"more"


def test_a_pin_is_gone_with_its_process(tmp_path: Path) -> None:
    mine, other = Pins(tmp_path / "pins"), Pins(tmp_path / "pins")
    other.pin("x")
    with mine.claimed("x") as is_free:
        assert not is_free
    other.close()
    with mine.claimed("x") as is_free:
        assert is_free
    mine.close()


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs").chmod(0o755)
    with pytest.raises(HostError) as caught:
        BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    assert caught.value.reason == "BLOBS_UNUSABLE"
    with pytest.raises(HostError, match="cannot use the blobs in"):
        BlobStore(tmp_path / "no" / "blobs", max_bytes=STORE_BYTES)


def test_a_broken_ledger_is_the_operators_to_mend(tmp_path: Path) -> None:
    BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES).close()
    (tmp_path / "blobs/ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(HostError) as caught:
        BlobStore(tmp_path / "blobs", max_bytes=STORE_BYTES)
    assert caught.value.reason == "BLOBS_UNUSABLE"
    assert isinstance(caught.value.__cause__, sqlite3.Error)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "x" * 64, "0" * 65])
def test_a_digest_is_64_lowercase_hexadecimal_digits(text: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        parse_digest(text)


def test_a_digest_is_read_with_and_without_its_prefix() -> None:
    digest = digest_of(b"bytes")
    assert parse_digest(str(digest)) == parse_digest(digest.sha256) == Digest(digest.sha256)
