"""The server of a soak: a process of its own, watched; what it holds, and what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import watch

import sandboxd
from sandboxd.host import Settings, probe_host
from sandboxd.runtime.hostids import LOCK_PLACE

START_PATIENCE = 20.0
STOP_PATIENCE = 30.0
LOOK = 0.05


class SoakServer:
    """One `sandboxd serve` at a time; one that ends by itself is counted, and replaced."""

    def __init__(self, slot_count: int) -> None:
        """Choose places for its socket, its log and its temporary files; nothing is started."""
        self.restarts = 0
        self._slot_count = slot_count
        host = probe_host(Settings())
        self._trees = [*host.tree.paths.values()]
        self._locks = LOCK_PLACE.format(uid=host.identity.uid)
        self._directory = tempfile.TemporaryDirectory()
        self._place = Path(self._directory.name)
        self._temporary = self._place / "tmp"
        self._temporary.mkdir()
        self._log = self._place / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"unix:{self._place}/s.sock"

    @property
    def errors(self) -> list[str]:
        """Give the lines of its log that tell of an error, or of more than one line could say."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith(("INFO ", "WARNING "))]

    async def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--listen", self.address, "--audit", str(self._place / "audit")]
        options += ["--slots", str(self._slot_count), "--pool", str(self._slot_count)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - nothing else goes on yet
                [sys.executable, "-m", "sandboxd", "serve", *options],
                stderr=log,
                env={**os.environ, "TMPDIR": str(self._temporary)},
            )
        deadline = time.monotonic() + START_PATIENCE
        async with sandboxd.Client(self.address) as client:
            while True:
                with suppress(sandboxd.HostError):
                    await client.get_host()
                    return
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"cannot soak: no server\n{self._log.read_text()}")
                await asyncio.sleep(LOOK)

    async def restart_if_dead(self) -> None:
        """Count one that has ended by itself, and start another."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                self.restarts += 1
                await self.start()

    def held(self) -> watch.Counts:
        """Tell what it and the machine hold now."""
        if self._process is None:
            return {}
        pid = self._process.pid
        groups = watch.of_processes(below := watch.descendants(pid))
        daemon = watch.of_process(pid)
        nothing = {"count": 0, "resident_kib": 0}
        return {
            **{f"daemon_{name}": value for name, value in daemon.items()},
            "launcher_resident_kib": groups.get("sandboxd-launch", nothing)["resident_kib"],
            "zygote_resident_kib": groups.get("sandboxd-zygote", nothing)["resident_kib"],
            "inits": groups.get("sandboxd-init", nothing)["count"],
            "programs": groups.get("program", nothing)["count"],
            "processes": len(below),
            "cgroup_directories": sum(map(_directory_count, self._open_below(self._trees))),
            "temporary_files": sum(len(files) for *_, files in os.walk(self._temporary)),
            "id_blocks": len(self._open_below([self._locks])),
            **watch.of_kernel(),
        }

    def _open_below(self, places: list[str]) -> set[str]:
        """Name what it has open below some directories: its own cgroups and locks of id blocks."""
        found = set()
        fds = f"/proc/{self._process.pid}/fd" if self._process else ""
        for name in os.listdir(fds):
            with suppress(OSError):  # closed meanwhile
                found.add(os.readlink(f"{fds}/{name}"))
        return {path for path in found if path.startswith(tuple(f"{place}/" for place in places))}

    def stop(self) -> list[str]:
        """Let it drain and end; name everything that it leaves behind."""
        if self._process is None:
            return []
        below = watch.descendants(self._process.pid)
        cgroups = self._open_below(self._trees)
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_PATIENCE)
        left = [f"process {pid}" for pid in below if Path(f"/proc/{pid}").exists()]
        if self._process.poll() != 0:
            left.append(f"the server, with exit code {self._process.poll()}")
            self._process.kill()
        left += [f"cgroup {path}" for path in cgroups if Path(path).exists()]
        left += [f"temporary file {path.name}" for path in self._temporary.iterdir()]
        left += ["its socket"] * Path(self.address.removeprefix("unix:")).exists()
        return left


def _directory_count(place: str) -> int:
    return sum(len(below) for _, below, _ in os.walk(place))
