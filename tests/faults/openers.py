"""Opens a store from many processes at once, which use it and are killed; prints what failed.

openers.py DIRECTORY ROUNDS PROCESSES SEED
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from sandboxd.errors import SandboxdError
from sandboxd.store.blobs import BlobStore

OPENED_EACH = 4
STORE_BYTES = 1 << 30
WITHIN_SECONDS = 0.1
"""Of a process's life: every second one is killed, at a moment up to then."""


def main(directory: str, rounds: str, processes: str, seed: str) -> None:
    chance = random.Random(int(seed))  # noqa: S311 - no secret
    for number in range(int(rounds)):
        if number % 2:  # a new store is where most can go wrong: each wants to make the ledger
            shutil.rmtree(directory)
        starts, go = os.pipe()
        pids = [begun(Path(directory), starts, go, index) for index in range(int(processes))]
        os.close(go)  # now
        os.close(starts)
        time.sleep(chance.uniform(0, WITHIN_SECONDS))
        for pid in pids[::2]:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def begun(directory: Path, starts: int, go: int, index: int) -> int:
    """Fork a process that waits until the pipe is closed."""
    pid = os.fork()
    if pid:
        return pid
    os.close(go)
    os.read(starts, 1)
    try:
        for _ in range(OPENED_EACH):
            use(directory, f"tenant-{index % 3}")
    except (SandboxdError, AssertionError) as error:
        os.write(1, f"{error!r}\n".encode())
    finally:
        os._exit(0)


def use(directory: Path, tenant: str) -> None:
    store = BlobStore(directory, max_bytes=STORE_BYTES)
    upload = store.upload(tenant)
    upload.write(os.urandom(1000))
    digest = upload.commit()
    with store.hold(tenant, digest) as held:
        fd = held.open()
        assert store.delete(tenant, digest)
        assert os.fstat(fd).st_nlink == 1, "what is open counts"
        os.close(fd)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
