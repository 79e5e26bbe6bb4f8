"""Uploads random blobs for ever, and prints the digest of each that is acknowledged; to be killed.

uploader.py DIRECTORY TENANT
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from sandboxd.store.blobs import BlobStore

MOST_BYTES = 64 << 10
PIECE_BYTES = 4 << 10
STORE_BYTES = 1 << 30


def main(directory: str, tenant: str) -> None:
    store = BlobStore(Path(directory), max_bytes=STORE_BYTES)
    say("ready")
    while True:
        upload = store.upload(tenant)
        for _ in range(random.randrange(MOST_BYTES // PIECE_BYTES)):  # noqa: S311 - no secret
            upload.write(os.urandom(PIECE_BYTES))
        say(upload.commit().sha256)


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")  # at once: a line is what somebody relies on


if __name__ == "__main__":
    main(*sys.argv[1:])
