"""What the tests see of a store from outside: its files, and which of them are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sandboxd.model.blob import Digest
    from sandboxd.store.blobs import BlobStore


def on_disk(store: BlobStore) -> list[Path]:
    """Give the files of what is stored and of what comes."""
    with store.working() as shelf:
        return [
            path for name in ("content", "incoming") for path in (shelf.directory / name).iterdir()
        ]


def in_use(store: BlobStore, digest: Digest) -> bool:
    """Tell whether any process uses somebody's blob of this digest."""
    names = [path.name for path in on_disk(store) if path.name.startswith(digest.sha256)]
    with store.working() as shelf:
        for name in names:
            with shelf.pins.claimed(name) as is_free:
                if not is_free:
                    return True
    return False
