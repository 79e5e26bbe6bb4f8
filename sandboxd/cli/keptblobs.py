"""`sandboxd serve --blobs`: where the blobs are kept, from root's hands to the server's."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxd.errors import HostError
from sandboxd.store.blobs import BlobStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.cli.config import Config
    from sandboxd.host import Host


def make_place(directory: str, host: Host, what: str = "blobs") -> None:
    """Make the directory, as root for the service user; refuse one that jobs would see.

    `what` is to be kept there.

    Raises:
        HostError: it lies where every job can read, or cannot be made.

    """
    place, reason = Path(os.path.realpath(directory)), f"{what.upper()}_UNUSABLE"
    for source in host.root_sources:
        if place.is_relative_to(source.path):
            text = f"cannot keep {what} in {directory}: every job sees {source.path}"
            raise HostError(reason, text, "name a directory elsewhere")
    try:
        place.mkdir(0o700)
    except FileExistsError:
        return
    except OSError as error:
        text = f"cannot make {directory}: {error.strerror}"
        raise HostError(
            f"{what.upper()}_UNUSABLE", text, "make the directories above it"
        ) from error
    if host.identity.started_as_root:
        os.chown(place, host.identity.uid, host.identity.gid, follow_symlinks=False)


@contextmanager
def kept_blobs(config: Config) -> Iterator[BlobStore | None]:
    """Open the store while the context lasts, if there is to be one.

    Raises:
        HostError: it cannot be used.

    """
    if config.blobs is None:
        yield None
        return
    place = Path(os.path.realpath(config.blobs))
    store = BlobStore(place, max_bytes=config.blob_bytes, time_to_live=config.blob_ttl)
    try:
        yield store
    finally:
        store.close()
