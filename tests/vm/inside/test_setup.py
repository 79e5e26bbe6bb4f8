"""As root in a guest: `sandboxd setup` does what it says, once, and takes all of it back."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sandboxd.client import SyncClient
from sandboxd.model.outcome import Exited

SANDBOXD = str(Path(sys.executable).with_name("sandboxd"))
SOCKET = "unix:/run/sandboxd/sandboxd.sock"


class Entry(NamedTuple):
    """What a file is: enough to tell that it is as it was."""

    mode: int
    owner: tuple[int, int]
    content: str
    changed_ns: int = 0


def etc(*, times: bool = False) -> dict[str, Entry]:
    """Read everything below /etc."""
    found = {}
    for directory, _, names in os.walk("/etc"):
        for path in [directory, *(f"{directory}/{name}" for name in names)]:
            stat = os.lstat(path)
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            else:
                content = ""
            changed = stat.st_mtime_ns if times else 0
            found[path] = Entry(stat.st_mode, (stat.st_uid, stat.st_gid), content, changed)
    return found


def differences(before: dict[str, Entry], after: dict[str, Entry]) -> set[str]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def setup(*options: str) -> str:
    done = subprocess.run(
        [SANDBOXD, "setup", *options], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "options", [(), ("--mode", "user", "--user", "judge")], ids=["system", "user"]
)
def test_setup_is_said_done_once_and_taken_back(options: tuple[str, ...]) -> None:
    assert os.geteuid() == 0
    before = etc(times=True)
    said = setup("--dry-run", *options)
    assert said.startswith("would ")
    assert differences(before, etc(times=True)) == set()

    setup(*options)
    prepared = etc(times=True)
    assert differences(before, prepared)
    assert setup(*options) == "nothing to do\n"
    assert differences(prepared, etc(times=True)) == set()

    if not options:
        with SyncClient(SOCKET) as client:
            host = client.get_host()
            assert (host.cgroup_rung, host.id_mode) == ("v2", "range")
            assert client.run(["/bin/true"], require=("memory_bytes",)).ending == Exited(0)

    setup("--undo")
    assert (
        differences(etc(), {path: entry._replace(changed_ns=0) for path, entry in before.items()})
        == set()
    )
    assert setup("--undo") == "nothing to do\n"
