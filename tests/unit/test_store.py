"""The store of blobs: what it keeps, refuses, forgets and reports; promises one by one."""

from __future__ import annotations

import os
import sqlite3
import stat
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from sandboxd.errors import BlobDamaged, Busy, HostError, PreconditionError, RequestError
from sandboxd.model.blob import Digest, parse_digest
from sandboxd.store.blobs import PIECE_BYTES, STEP_BYTES, BlobStore
from sandboxd.store.pins import Pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandboxd.store.blobs import Held

MIB = 1 << 20


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
    """Give a store of 100 bytes, in which a minute's rest is the end."""
    store = BlobStore(
        tmp_path / "blobs", max_bytes=100, time_to_live=timedelta(minutes=1), clock=clock
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
    with store.working() as shelf:
        return sorted(os.listdir(shelf.directory / below))


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
    first = BlobStore(tmp_path / "blobs", max_bytes=100)
    digest = put(first, b"bytes")
    first.close()
    second = BlobStore(tmp_path / "blobs", max_bytes=100)
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


def test_equal_bytes_are_one_file_that_lives_as_long_as_anybody_has_it(store: BlobStore) -> None:
    digest = put(store, b"bytes", "a")
    put(store, b"bytes", "b")
    assert files(store) == [digest.sha256]
    assert (store.bytes_of("a"), store.bytes_of("b")) == (5, 5)
    assert store.delete("a", digest)
    assert read(store, digest, "b") == b"bytes"
    assert store.delete("b", digest)
    assert files(store) == []


def test_a_use_by_one_tenant_does_not_spare_anothers(store: BlobStore, clock: Clock) -> None:
    shared, own = put(store, b"1" * 5, "a", 10), put(store, b"2" * 5, "a", 10)
    put(store, b"1" * 5, "b")
    clock.now += 5
    assert store.missing("a", [own]) == []
    clock.now += 5
    with store.hold("b", shared):
        put(store, b"3" * 5, "a", 10)
    assert not has(store, shared, "a"), "a's oldest goes, though b uses the same bytes"
    assert read(store, shared, "b") == b"1" * 5


# --- quotas ---------------------------------------------------------------------------------------


def test_the_longest_unused_makes_room_in_a_share(store: BlobStore, clock: Clock) -> None:
    first, second = put(store, b"1" * 5, "a", 10), put(store, b"2" * 5, "a", 10)
    clock.now += 2
    read(store, first)
    third = put(store, b"3" * 5, "a", 10)
    assert [has(store, d) for d in (first, second, third)] == [True, False, True]


def test_the_longest_unused_of_all_makes_room_in_the_store(store: BlobStore, clock: Clock) -> None:
    first = put(store, b"1" * 60, "a")
    clock.now += 2
    second = put(store, b"2" * 30, "b")
    clock.now += 2
    third = put(store, b"3" * 50, "b")
    assert [has(store, first, "a"), has(store, second, "b"), has(store, third, "b")] == [
        False,
        True,
        True,
    ]
    assert len(files(store)) == 2


def test_a_blob_of_several_counts_once_in_the_store(store: BlobStore) -> None:
    for tenant in "abcd":
        put(store, b"1" * 40, tenant)
    put(store, b"2" * 60, "e")
    assert all(has(store, digest_of(b"1" * 40), tenant) for tenant in "abcd")


def test_what_is_in_use_never_makes_room(store: BlobStore, clock: Clock) -> None:
    used = put(store, b"1" * 60)
    with store.hold("a", used):
        clock.now += 2
        with pytest.raises(Busy) as full:
            put(store, b"2" * 50, "b")
        with pytest.raises(Busy) as share:
            put(store, b"2" * 30, "a", 70)
        assert (full.value.reason, share.value.reason) == ("BLOBS_FULL", "SHARE_EXHAUSTED")
        assert read(store, used) == b"1" * 60
    put(store, b"2" * 50, "b")
    assert not has(store, used)


def test_a_refusal_costs_nobody_anything(store: BlobStore, clock: Clock) -> None:
    old = put(store, b"0" * 10)
    used = put(store, b"1" * 60)
    clock.now += 2
    with store.hold("a", used), pytest.raises(Busy):
        put(store, b"2" * 50)
    assert has(store, old)
    assert read(store, old) == b"0" * 10


def test_what_comes_counts_before_it_is_there(store: BlobStore) -> None:
    first, second = store.upload("a", 50), store.upload("a", 50)
    first.write(b"1" * 30)
    with pytest.raises(Busy):
        second.write(b"2" * 30)
    second.write(b"2" * 20)
    assert [first.commit().size_bytes, second.commit().size_bytes] == [30, 20]
    assert store.bytes_of("a") == 50


def test_what_can_never_be_kept_is_refused_as_soon_as_it_is_known(store: BlobStore) -> None:
    upload = store.upload("a", 50)
    with pytest.raises(RequestError, match=r"digest\.size_bytes: must be at most 50"):
        upload.expect(size_bytes=51)
    with pytest.raises(RequestError, match=r"data: must be at most 50"):
        upload.write(b"1" * 51)
    upload.discard()
    with pytest.raises(RequestError):
        put(store, b"1" * 101)


def test_an_announcement_alone_takes_nothing_from_others(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", max_bytes=4 * STEP_BYTES)
    kept = put(store, bytes(2 * STEP_BYTES), "b")
    upload = store.upload("a")
    upload.expect(size_bytes=4 * STEP_BYTES)
    upload.write(b"x")
    assert has(store, kept, "b")
    upload.discard()
    store.close()


def test_putting_it_again_costs_nothing_and_is_a_use(store: BlobStore, clock: Clock) -> None:
    first = put(store, b"1" * 50)
    clock.now += 2
    put(store, b"2" * 50)
    clock.now += 2
    third = put(store, b"3" * 1)
    assert (has(store, first), has(store, third)) == (False, True)
    for _ in range(3):
        put(store, b"3" * 1)
    assert store.bytes_of("a") == 51


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
    assert files(store) == []


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"bxtes", b"byte", b"bytes!", b"", None])
@pytest.mark.parametrize("how", ["whole", "part", "descriptor"])
def test_wrong_bytes_are_never_given(store: BlobStore, damage: bytes | None, how: str) -> None:
    digest = put(store, b"bytes", "a")
    put(store, b"bytes", "b")
    with store.working() as shelf:
        path = shelf.path(digest.sha256)
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
    assert store.missing("b", [digest]) == [digest]
    put(store, b"bytes", "b")
    assert read(store, digest, "b") == b"bytes"


def test_damage_after_a_first_good_look_is_seen(store: BlobStore) -> None:
    digest = put(store, b"bytes")
    with store.hold("a", digest) as held:
        os.close(held.open())
        with store.working() as shelf:
            path = shelf.path(digest.sha256)
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
    first = BlobStore(tmp_path / "blobs", max_bytes=100)
    kept, lost = put(first, b"kept"), put(first, b"lost")
    first.close()
    (tmp_path / "blobs/content" / lost.sha256).unlink()
    (tmp_path / "blobs/content" / ("0" * 64)).write_bytes(b"of nobody")
    (tmp_path / "blobs/incoming/0123.4567").write_bytes(b"half")
    second = BlobStore(tmp_path / "blobs", max_bytes=100)
    assert [h.digest for h in second.page("a", "", 10)] == [kept]
    assert (files(second), files(second, "incoming")) == ([kept.sha256], [])
    second.close()


def test_two_processes_share_a_directory(tmp_path: Path, clock: Clock) -> None:
    """Two stores in one process are to the kernel what two processes are."""
    one, two = (BlobStore(tmp_path / "blobs", max_bytes=10, clock=clock) for _ in "12")
    used = put(one, b"1" * 5)
    coming = one.upload("a")
    coming.write(b"2" * 5)
    with two.hold("a", used):
        with pytest.raises(Busy):
            put(one, b"3" * 6)
        with pytest.raises(Busy):
            put(two, b"3" * 1)
        three = BlobStore(tmp_path / "blobs", max_bytes=10, clock=clock)
        assert len(files(three, "incoming")) == 1, "a living process still writes it"
        three.close()
        one.delete("a", used)
        assert files(one) == [used.sha256]
    assert files(one) == []
    assert read(two, coming.commit()) == b"2" * 5
    one.close()
    two.close()


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
        BlobStore(tmp_path / "blobs", max_bytes=100)
    assert caught.value.reason == "BLOBS_UNUSABLE"
    with pytest.raises(HostError, match="cannot use the blobs in"):
        BlobStore(tmp_path / "no" / "blobs", max_bytes=100)


def test_a_broken_ledger_is_the_operators_to_mend(tmp_path: Path) -> None:
    BlobStore(tmp_path / "blobs", max_bytes=100).close()
    (tmp_path / "blobs/ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(HostError) as caught:
        BlobStore(tmp_path / "blobs", max_bytes=100)
    assert caught.value.reason == "BLOBS_UNUSABLE"
    assert isinstance(caught.value.__cause__, sqlite3.Error)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "x" * 64, "0" * 65])
def test_a_digest_is_64_lowercase_hexadecimal_digits(text: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        parse_digest(text)


def test_a_digest_is_read_with_and_without_its_prefix() -> None:
    digest = digest_of(b"bytes")
    assert parse_digest(str(digest)) == parse_digest(digest.sha256) == Digest(digest.sha256)
