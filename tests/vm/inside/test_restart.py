"""The user unit, restarted under load: no orphan, no stale cgroup, and clients go on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
import pytest

from sandboxd.client import SyncClient
from sandboxd.errors import HostError
from sandboxd.model.outcome import Exited

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME = os.environ.get("XDG_RUNTIME_DIR", "")
SOCKET = f"unix:{RUNTIME}/sandboxd.sock"
CALLERS = 4
PATIENCE = 90.0
UNITS = Path(__file__).parents[3] / "deploy/systemd/user"


def systemctl(*arguments: str) -> str:
    command = ["systemctl", "--user", *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=PATIENCE
    ).stdout


def control_group() -> Path:
    group = systemctl("show", "--property=ControlGroup", "--value", "sandboxd.service").strip()
    assert group
    return Path("/sys/fs/cgroup") / group[1:]


def processes_in(place: Path) -> set[int]:
    """Name every process in a cgroup and below."""
    return {
        int(pid)
        for directory, _, _ in os.walk(place)
        for pid in Path(directory, "cgroup.procs").read_text(encoding="utf-8").split()
    }


@pytest.fixture
def unit() -> Iterator[None]:
    """Install the user's units by hand, as docs/operating.md says, and take them away again."""
    place = Path.home() / ".config/systemd/user"
    place.mkdir(parents=True, exist_ok=True)
    names = ("sandboxd.service", "sandboxd.socket")
    for name in names:
        text = (UNITS / name).read_text(encoding="utf-8")
        (place / name).write_text(text.replace("/opt/sandboxd/bin/python", sys.executable))
    systemctl("daemon-reload")
    systemctl("start", "sandboxd.socket", "sandboxd.service")
    yield
    systemctl("stop", "sandboxd.socket", "sandboxd.service")
    for name in names:
        (place / name).unlink()
    systemctl("daemon-reload")


class Load:
    """Callers that run one job after the other, and what they got."""

    def __init__(self) -> None:
        self.done = 0
        self.refused = 0
        self.wrong: list[str] = []
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        with SyncClient(SOCKET) as client:
            while not self.over.is_set():
                try:
                    ending = client.run(["/bin/sh", "-c", "sleep 0.2; exit 5"]).ending
                except Exception as error:  # noqa: BLE001 - what it was is what is asked
                    if _is_unavailable(error):
                        self.refused += 1
                        self.over.wait(0.05)
                    else:
                        self.wrong.append(repr(error))
                else:
                    if ending == Exited(5):
                        self.done += 1
                    else:
                        self.wrong.append(repr(ending))

    def wait_for(self, more: int) -> None:
        """Wait until this many further jobs were answered."""
        goal, deadline = self.done + more, time.monotonic() + PATIENCE
        while self.done < goal:
            assert time.monotonic() < deadline, (self.done, self.refused, self.wrong)
            self.over.wait(0.05)


def _is_unavailable(error: Exception) -> bool:
    """Tell UNAVAILABLE, by itself or as the client's own word for it: the server is draining."""
    if isinstance(error, grpc.RpcError):
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return isinstance(error, HostError)


@pytest.mark.usefixtures("unit")
def test_a_restart_under_load_leaves_no_orphan_and_callers_go_on() -> None:
    with Load() as load:
        load.wait_for(CALLERS)
        for _ in range(3):
            place = control_group()
            before = processes_in(place)
            instances = {path.name for path in place.glob("daemon-*")}
            assert len(instances) == 1
            systemctl("restart", "sandboxd.service")
            load.wait_for(2 * CALLERS)
            assert not before & processes_in(place)
            assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]
            now = {path.name for path in place.glob("daemon-*")}
            assert len(now) == 1
            assert not now & instances
    assert not load.wrong
    assert systemctl("show", "--property=NRestarts", "--value", "sandboxd.service").strip() == "0"
