"""Other ways to run a program apart from the rest: one process each, found where installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

PROGRAM = "/bin/true"
SHOWN = ("/usr", "/bin", "/lib", "/lib64")
"""What a container sees of the host, read-only."""

Run = Callable[[], None]
"""Runs the program once, to its end."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "unshare": (
        *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--ipc"),
        *("--net", "--uts", "--cgroup", PROGRAM),
    ),
    "bwrap": (
        *("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
        PROGRAM,
    ),
    "systemd-run": ("systemd-run", "--user", "--wait", "--collect", "--quiet", PROGRAM),
    "nsjail": ("nsjail", "--mode", "o", "--chroot", "/", "--really_quiet", "--", PROGRAM),
}
CONTAINERS = ("runc", "crun")


def spawn(argv: Sequence[str]) -> None:
    """Run a program as cheaply as this process can, and wait for it."""
    path = shutil.which(argv[0]) or argv[0]
    status = os.waitpid(os.posix_spawn(path, list(argv), os.environ), 0)[1]
    if status:
        raise SystemExit(f"cannot measure: {' '.join(argv)} ended with {status:#x}")


@contextmanager
def others() -> Iterator[tuple[dict[str, Run], dict[str, str]]]:
    """Give what works here by its name, and of the rest why it does not."""
    with tempfile.TemporaryDirectory() as directory:
        runs: dict[str, Run] = {}
        absent: dict[str, str] = {}
        for name in (*COMMANDS, *CONTAINERS):
            if not shutil.which(name):
                absent[name] = "not installed"
                continue
            try:
                runs[name] = _working(name, Path(directory, name))
            except subprocess.CalledProcessError as failed:
                lines = (failed.stdout + failed.stderr).strip().splitlines()
                absent[name] = lines[-1] if lines else f"ends with {failed.returncode}"
            except subprocess.TimeoutExpired:
                absent[name] = "does not come to an end"
        yield runs, absent


def _working(name: str, directory: Path) -> Run:
    """Try it once.

    Raises:
        CalledProcessError, TimeoutExpired: it does not work here.

    """
    if name in COMMANDS:
        _try(COMMANDS[name])
        return partial(spawn, COMMANDS[name])
    container = Container(name, directory)
    _try(container.command())
    return container


class Container:
    """Runs the program in containers of an OCI runtime, each with a name of its own."""

    def __init__(self, runtime: str, directory: Path) -> None:
        """Lay out what the runtime is given: its own proposal for users, our program, our files."""
        self._runtime, self._directory, self._count = runtime, directory, 0
        root = directory / "rootfs"
        for place in (*SHOWN, "/proc", "/dev", "/sys"):
            (root / place.lstrip("/")).mkdir(parents=True)
        _try((runtime, "spec", "--rootless"), directory)
        path = directory / "config.json"
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, args=[PROGRAM])
        config["root"].update(path=str(root), readonly=True)
        config["mounts"] += [
            {"destination": place, "type": "bind", "source": place, "options": ["rbind", "ro"]}
            for place in SHOWN
        ]
        path.write_text(json.dumps(config))

    def command(self) -> tuple[str, ...]:
        """Give the command that runs the next container."""
        self._count += 1
        state = ("--root", str(self._directory / "state"))
        name = f"sandboxd-benchmark-{os.getpid()}-{self._count}"
        return (self._runtime, *state, "run", "--bundle", str(self._directory), name)

    def __call__(self) -> None:
        """Run one."""
        spawn(self.command())


def _try(command: Sequence[str], directory: Path | None = None) -> None:
    subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=20, check=True)
