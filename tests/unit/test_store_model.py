"""The store against a model of a few lines: puts, uses, deletes, time, full disks, crashes."""

from __future__ import annotations

import os
import shutil
import tempfile
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxd.store.blobs import Held, Upload

SHM = "/dev/shm"
LIFE, SHARE, MOST = 40.0, 30, 50
TENANTS = "abc"
CONTENTS = [bytes([n]) * size for n, size in enumerate((0, 1, 5, 9, 10, 14, 20, 30))]
NAMES = {content: sha256(content).hexdigest() for content in CONTENTS}

tenants = st.sampled_from(TENANTS)
contents = st.sampled_from(CONTENTS)


class Refused(Exception):  # noqa: N818 - what it is
    """The model finds no room."""


class Store(RuleBasedStateMachine):
    """Every rule does the same to the store and to the model, a second after the one before."""

    def __init__(self) -> None:
        super().__init__()
        # In memory, where a sync costs nothing.
        self.directory = Path(tempfile.mkdtemp(dir=SHM if os.access(SHM, os.W_OK) else None))
        self.now = 1_000_000.0
        self.held: dict[tuple[str, bytes], float] = {}
        self.used: list[tuple[str, bytes, Held]] = []
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
        for key, last_use in list(self.held.items()):
            if last_use < self.now - LIFE and not self.is_used(key):
                del self.held[key]

    def is_used(self, key: tuple[str, bytes]) -> bool:
        return any((tenant, content) == key for tenant, content, _ in self.used)

    def is_used_by_any(self, content: bytes) -> bool:
        return any(content == used for _, used, _ in self.used)

    def make_room(self, tenant: str, more: int) -> None:
        own = sum(len(content) for owner, content in self.held if owner == tenant)
        coming = sum(len(content) for owner, content, _ in self.coming if owner == tenant)
        excess = own + coming + more - SHARE
        for _, _, key in sorted((u, NAMES[k[1]], k) for k, u in self.held.items()):
            if excess > 0 and key[0] == tenant and not self.is_used(key):
                del self.held[key]
                excess -= len(key[1])
        if excess > 0:
            raise Refused
        latest: dict[bytes, float] = {}
        for (_, content), last_use in self.held.items():
            latest[content] = max(last_use, latest.get(content, 0))
        coming = sum(len(content) for _, content, _ in self.coming)
        excess = sum(map(len, latest)) + coming + more - MOST
        for _, _, content in sorted((u, NAMES[c], c) for c, u in latest.items()):
            if excess > 0 and not self.is_used_by_any(content):
                self.held = {k: u for k, u in self.held.items() if k[1] != content}
                excess -= len(content)
        if excess > 0:
            raise Refused

    def tried(self, change: Callable[[], Any]) -> bool:
        """Change the model as a whole or not at all; tell whether it could be."""
        before = dict(self.held)
        try:
            change()
        except Refused:
            self.held = before
            return False
        return True

    # --- the rules ----------------------------------------------------------------------------

    @rule(tenant=tenants, content=contents)
    def put(self, tenant: str, content: bytes) -> None:
        self.tick()
        upload = self.store.upload(tenant, SHARE)
        upload.expect(NAMES[content], len(content))
        fits = self.tried(lambda: self.make_room(tenant, len(content)))
        assert fits == _works(lambda: upload.write(content))
        if fits:
            upload.commit()
            self.held[tenant, content] = self.now
        upload.discard()

    @rule(tenant=tenants, content=contents)
    def begin(self, tenant: str, content: bytes) -> None:
        self.tick()
        upload = self.store.upload(tenant, SHARE)
        fits = self.tried(lambda: self.make_room(tenant, len(content)))
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
            self.held[tenant, content] = self.now
        upload.discard()

    @rule(tenant=tenants, content=contents, reads=st.booleans())
    def hold(self, tenant: str, content: bytes, reads: bool) -> None:  # noqa: FBT001 - drawn
        self.tick()
        digest = Digest(NAMES[content], len(content))
        if (tenant, content) not in self.held:
            assert not _works(lambda: self.store.hold(tenant, digest))
            return
        held = self.store.hold(tenant, digest)
        self.held[tenant, content] = self.now
        self.used.append((tenant, content, held))
        if reads:
            self.release(held)

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        self.tick()
        self.release(self.used[data.draw(st.integers(0, len(self.used) - 1))][2])

    def release(self, held: Held) -> None:
        index = next(n for n, use in enumerate(self.used) if use[2] is held)
        tenant, content, _ = self.used.pop(index)
        fd = held.open()
        assert os.pread(fd, 100, 0) == content
        os.close(fd)
        self.store.release(held)
        if (tenant, content) in self.held:
            self.held[tenant, content] = self.now

    @rule(tenant=tenants, content=contents)
    def delete(self, tenant: str, content: bytes) -> None:
        self.tick()
        was_there = self.held.pop((tenant, content), None) is not None
        assert self.store.delete(tenant, Digest(NAMES[content])) == was_there

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
        self.store = self.opened()

    @invariant()
    def they_agree(self) -> None:
        self.tick()
        for tenant in TENANTS:
            found = {h.sha256: h.last_use for h in self.store.page(tenant, "", 100)}
            assert found == {NAMES[c]: u for (t, c), u in self.held.items() if t == tenant}
            assert self.store.bytes_of(tenant) <= SHARE
        there = {c for _, c in self.held} | {c for _, c, _ in self.used}
        files = {
            path.name: path.read_bytes() for path in (self.directory / "blobs/content").iterdir()
        }
        assert sum(len(c) for c in {c for _, c in self.held}) <= MOST
        assert files == {NAMES[content]: content for content in there}


def _works(call: Callable[[], Any]) -> bool:
    try:
        call()
    except (Busy, PreconditionError):
        return False
    return True


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
