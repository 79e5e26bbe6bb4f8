"""The store against a model of a few lines: puts, uses, deletes, time, full disks, crashes."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandboxd.errors import Busy, PreconditionError
from sandboxd.model.blob import Digest
from sandboxd.store.blobs import BlobStore
from sandboxd.store.charge import charged_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.store.blobs import Held, Upload

SHM = "/dev/shm"
KIB = 1 << 10
LIFE, SHARE, MOST = 40.0, 60 * KIB, 100 * KIB
TENANTS = "abc"
SIZES = (0, 1, 5 * KIB, 13 * KIB, 20 * KIB, 28 * KIB, 40 * KIB, 56 * KIB)
CONTENTS = [bytes([n]) * size for n, size in enumerate(SIZES)]
NAMES = {content: sha256(content).hexdigest() for content in CONTENTS}

tenants = st.sampled_from(TENANTS)
numbers = st.integers(0, len(CONTENTS) - 1)


class Refused(Exception):  # noqa: N818 - what it is
    """The model finds no room."""


@dataclass(eq=False)
class Row:
    """One file of a tenant."""

    tenant: str
    content: bytes
    last_use: float
    uses: int = 0
    leaves: bool = False

    @property
    def charge(self) -> int:
        return charged_bytes(len(self.content))


class Store(RuleBasedStateMachine):
    """Every rule does the same to the store and to the model, a second after the one before."""

    def __init__(self) -> None:
        super().__init__()
        # In memory, where a sync costs nothing.
        self.directory = Path(tempfile.mkdtemp(dir=SHM if os.access(SHM, os.W_OK) else None))
        self.now = 1_000_000.0
        self.rows: list[Row] = []
        self.used: list[tuple[Row, Held]] = []
        self.coming: list[tuple[str, bytes, Upload]] = []
        self.store = self.opened()

    def opened(self) -> BlobStore:
        return BlobStore(
            self.directory / "blobs",
            max_bytes=MOST,
            time_to_live=timedelta(seconds=LIFE),
            clock=lambda: self.now,
        )

    def teardown(self) -> None:
        for _, _, upload in self.coming:
            upload.discard()
        self.store.close()
        shutil.rmtree(self.directory)

    # --- the model ----------------------------------------------------------------------------

    def tick(self) -> None:
        self.now += 1
        dead = [row for row in self.rows if row.leaves or row.last_use < self.now - LIFE]
        self.remove_unused(dead)

    def remove_unused(self, rows: list[Row]) -> None:
        for row in rows:
            if not row.uses:
                self.rows.remove(row)

    def find(self, tenant: str, content: bytes) -> Row | None:
        key = tenant, content
        return next((r for r in self.rows if (r.tenant, r.content) == key and not r.leaves), None)

    def part_with(self, row: Row | None) -> None:
        if row is not None:
            row.leaves = True
            self.remove_unused([row])

    def make_room(self, tenant: str, more: int) -> None:
        self.make_room_among(
            [row for row in self.rows if row.tenant == tenant], tenant, more, SHARE
        )
        self.make_room_among(self.rows, TENANTS, more, MOST)

    def make_room_among(self, rows: list[Row], tenants: str, more: int, most: int) -> None:
        coming = sum(charged_bytes(len(c)) for tenant, c, _ in self.coming if tenant in tenants)
        excess = sum(row.charge for row in rows) + coming + more - most
        for row in sorted(rows, key=lambda row: (row.last_use, NAMES[row.content])):
            if excess > 0 and not row.uses:
                self.rows.remove(row)
                excess -= row.charge
        if excess > 0:
            raise Refused

    def tried(self, change: Callable[[], Any]) -> bool:
        """Change the model as a whole or not at all; tell whether it could be."""
        before = list(self.rows)
        try:
            change()
        except Refused:
            self.rows = before
            return False
        return True

    def put_row(self, tenant: str, content: bytes) -> None:
        self.part_with(self.find(tenant, content))
        self.rows.append(Row(tenant, content, self.now))

    # --- the rules ----------------------------------------------------------------------------

    @rule(tenant=tenants, number=numbers)
    def put(self, tenant: str, number: int) -> None:
        self.tick()
        content = CONTENTS[number]
        upload = self.store.upload(tenant, SHARE)
        upload.expect(NAMES[content], len(content))
        fits = self.tried(lambda: self.make_room(tenant, charged_bytes(len(content))))
        assert fits == _works(lambda: upload.write(content))
        if fits:
            upload.commit()
            self.put_row(tenant, content)
        upload.discard()

    @rule(tenant=tenants, number=numbers)
    def begin(self, tenant: str, number: int) -> None:
        self.tick()
        content = CONTENTS[number]
        upload = self.store.upload(tenant, SHARE)
        fits = self.tried(lambda: self.make_room(tenant, charged_bytes(len(content))))
        assert fits == _works(lambda: upload.write(content))
        if fits:
            self.coming.append((tenant, content, upload))
        else:
            upload.discard()

    @precondition(lambda self: self.coming)
    @rule(data=st.data(), how=st.sampled_from(["commit", "discard"]))
    def finish(self, data: st.DataObject, how: str) -> None:
        index = data.draw(st.integers(0, len(self.coming) - 1))
        tenant, content, upload = self.coming.pop(index)
        self.now += 1  # and nothing expires: a commit looks for nothing
        if how == "commit":
            upload.commit()
            self.put_row(tenant, content)
        upload.discard()

    @rule(tenant=tenants, number=numbers, reads=st.booleans())
    def hold(self, tenant: str, number: int, reads: bool) -> None:  # noqa: FBT001 - drawn
        self.tick()
        content = CONTENTS[number]
        digest = Digest(NAMES[content], len(content))
        row = self.find(tenant, content)
        if row is None:
            assert not _works(lambda: self.store.hold(tenant, digest))
            return
        held = self.store.hold(tenant, digest)
        row.last_use = self.now
        row.uses += 1
        self.used.append((row, held))
        if reads:
            self.release(len(self.used) - 1)

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.tick()
        self.release(data.draw(st.integers(0, len(self.used) - 1)))

    def release(self, index: int) -> None:
        row, held = self.used.pop(index)
        fd = held.open()
        assert os.pread(fd, max(SIZES) + 1, 0) == row.content
        os.close(fd)
        self.store.release(held)
        row.uses -= 1
        current = self.find(row.tenant, row.content)
        if current is not None:
            current.last_use = self.now
        if row.leaves:
            self.remove_unused([row])

    @rule(tenant=tenants, number=numbers)
    def delete(self, tenant: str, number: int) -> None:
        self.tick()
        content = CONTENTS[number]
        row = self.find(tenant, content)
        self.part_with(row)
        assert self.store.delete(tenant, Digest(NAMES[content])) == (row is not None)

    @rule(seconds=st.integers(1, int(LIFE) + 1))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def crash(self) -> None:
        """Leave what a kill leaves: nothing is discarded or released, all descriptors closed."""
        left = sorted((self.directory / "blobs/incoming").iterdir())
        assert len(left) == len(self.coming)
        for _, _, upload in self.coming:
            os.close(upload._file._fd)  # noqa: SLF001 - as the kernel does, behind our back
        self.store.close()
        self.coming, self.used = [], []
        for row in self.rows:
            row.uses = 0
        self.store = self.opened()

    @invariant()
    def they_agree(self) -> None:
        self.tick()
        for tenant in TENANTS:
            found = {h.sha256: h.last_use for h in self.store.page(tenant, "", 100)}
            own = [row for row in self.rows if row.tenant == tenant]
            assert found == {NAMES[row.content]: row.last_use for row in own if not row.leaves}
            assert self.store.bytes_of(tenant) == sum(row.charge for row in own) <= SHARE
        directory = self.directory / "blobs/content"
        files = sorted((path.name[:64], path.read_bytes()) for path in directory.iterdir())
        assert sum(row.charge for row in self.rows) <= MOST
        assert files == sorted((NAMES[row.content], row.content) for row in self.rows)


def _works(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (Busy, PreconditionError):
        return False
    return True


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
