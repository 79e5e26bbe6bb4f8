"""A disk that is full under the jobs that are kept: what is refused, and what is told at last."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jobs_kit import opened, over, shell
from post import posted

from sandboxd.client import Client
from sandboxd.errors import HostError
from sandboxd.model.limits import Limits
from sandboxd.model.stored import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = Limits(output_bytes=16 << 20)


@pytest.fixture
def small() -> Iterator[Path]:
    command = [sys.executable, str(Path(__file__).with_name("small.py"))]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        command, stdin=-1, stdout=-1, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Path(f"/proc/{process.pid}/root/mnt")
        assert process.stdin is not None
        process.stdin.close()


def fill(path: Path) -> None:
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.usefixtures("house")
async def test_a_full_disk_refuses_new_jobs_and_ends_those_that_write(
    small: Path, tmp_path: Path
) -> None:
    (small / "jobs").mkdir()
    (tmp_path / "jobs").mkdir()
    # The database lies elsewhere: SQLite resolves links as text, which those of /proc do not bear.
    (tmp_path / "jobs" / "jobs").symlink_to(small / "jobs")
    store = opened(tmp_path / "jobs")
    filler = small / "filler"
    async with posted(tmp_path, jobs=store) as post, Client(post.unix) as client:
        script = "echo begun; sleep 0.3; head -c 8000000 /dev/zero; sleep 60"
        writes = await client.jobs.start(shell(script, limits=LARGE))
        async for _ in client.jobs.watch(writes.id):
            break
        fill(filler)
        with pytest.raises(HostError) as refused:
            await client.jobs.start(shell("true"))
        assert refused.value.reason == "JOBS_DISK_FULL"
        assert os.listdir(small / "jobs") == [writes.id]
        ended = await over(client, writes.id)
        assert ended.state is JobState.FAULT
        assert ended.fault is not None
        assert ended.fault.reason == "JOBS_DISK_FULL"
        kept = [piece.data async for piece in client.jobs.watch(writes.id)]
        assert b"".join(kept).startswith(b"begun\n")
        filler.unlink()
        later = await over(client, (await client.jobs.start(shell("echo fine"))).id)
        assert later.state is JobState.ENDED
    store.close()
