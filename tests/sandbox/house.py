"""A supervisor on an event loop in a thread of its own, and what tests ask of it and its host."""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import Future as ConcurrentFuture
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sandboxd.host import Settings, probe_host
from sandboxd.identity import IdMode
from sandboxd.model.job import InputFile, Job, OutputPath
from sandboxd.model.limits import MIB, Limits
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandboxd.model.outcome import RunResult

IS_COMPILED = os.environ.get("SANDBOXD_TEST_ZYGOTE", "compiled") == "compiled"
"""Which zygote clones the sandboxes, where a test does not say so itself."""
PATIENCE = 60.0
"""Seconds after which anything that a test waits for counts as lost."""
SLOWNESS = int(os.environ.get("SANDBOXD_TEST_SLOWNESS", "1"))
"""How many times slower than a real machine this one is: an emulated guest is some twentyfold."""
SPIN = "while True: pass"
FORK_UNTIL_REFUSED = """
import errno, os, sys, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError as error:
    print(count, errno.errorcode[error.errno])
"""


def fewer(count: int) -> int:
    """Give how many of many are enough on a machine this slow."""
    return max(2, count * 4 // SLOWNESS) if SLOWNESS > 1 else count


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


class Running:
    """A job under way: its output as it comes, and its end."""

    def __init__(self) -> None:
        self.output = b""
        self.future: ConcurrentFuture[RunResult]
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def take(self, _stream: int, piece: bytes) -> None:
        self._pieces.put(piece)

    def wait_for(self, text: bytes = b"\n") -> bytes:
        """Wait until the program has written this; give all that it wrote so far."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            try:
                self.output += self._pieces.get(timeout=0.05)
            except queue.Empty:
                if self.future.done():
                    self.future.result()
                assert not self.future.done(), f"ended after {self.output!r}"
                assert time.monotonic() < deadline, f"only wrote {self.output!r}"
        return self.output

    def result(self) -> RunResult:
        return self.future.result(PATIENCE)

    def cancel(self) -> None:
        """Cancel the job; returns at once."""
        self.future.cancel()


class House:
    """One supervisor and the thread that it lives in."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.host = probe_host(settings or Settings(compiled=IS_COMPILED))
        self.loop = asyncio.new_event_loop()
        self.supervisor = Supervisor(self.host)
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.do(self.supervisor.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.do(self.supervisor.__aexit__(None, None, None))
        finally:
            self._stop()

    def _stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def do(self, work: Any) -> Any:
        """Run a coroutine on the supervisor's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def start(self, *argv: str, **fields: Any) -> Running:
        """Start a job and return at once."""
        running = Running()
        work = self.supervisor.run(Job(argv=argv, **fields), on_output=running.take)
        running.future = asyncio.run_coroutine_threadsafe(work, self.loop)
        return running

    def run(self, *argv: str, **fields: Any) -> RunResult:
        """Run a job to its end."""
        return self.start(*argv, **fields).result()

    def python(self, code: str, *arguments: str, **fields: Any) -> RunResult:
        """Run a Python program to its end."""
        return self.run("/usr/bin/python3", "-I", "-c", code, *arguments, **fields)

    def shell(self, script: str, **fields: Any) -> RunResult:
        """Run a shell script to its end."""
        return self.run("/bin/sh", "-c", script, **fields)

    def output(self, *argv: str, **fields: Any) -> str:
        """Run a job that must succeed, and give what it wrote."""
        return text_of(self.run(*argv, **fields))

    def evaluate(self, code: str, **fields: Any) -> str:
        """Run a Python program that must succeed, and give what it wrote."""
        return text_of(self.python(code, **fields))

    def build(self, compiler: str, source: str, *options: str) -> bytes:
        """Compile one C or C++ program in a sandbox, and give the binary."""
        suffix = "cpp" if "+" in compiler else "c"
        result = self.run(
            *(compiler, f"main.{suffix}", "-o", "main", *options),
            files=(InputFile(f"main.{suffix}", source.encode()),),
            outputs=(OutputPath("main"),),
            limits=Limits(memory_bytes=1024 * MIB, cpu_time=seconds(60)),
        )
        assert result.files, result
        assert result.files[0].content is not None, result
        return result.files[0].content

    def run_built(self, binary: bytes, *arguments: str, **fields: Any) -> RunResult:
        """Run a binary to its end."""
        files = (InputFile("main", binary, executable=True),)
        return self.run("./main", *arguments, files=files, **fields)

    # --- what the host shows ----------------------------------------------------------------------

    def host_ids(self) -> range:
        """Name the host ids that jobs may have."""
        if self.host.id_mode is IdMode.SINGLE:
            return range(os.getuid(), os.getuid() + 1)
        line = self.host.identity.uid_map[1]
        return range(line.outside, line.outside + line.size)

    def launcher(self) -> int:
        """Tell which process is this supervisor's launcher."""
        return int(self.supervisor._nursery._process.pid)  # noqa: SLF001

    def sandboxed(self) -> dict[int, int]:
        """Give every process of this supervisor's sandboxes, with the host id it acts under."""
        ids = self.host_ids()
        below = descendants(self.launcher())
        return {pid: uid for pid, uid in processes() if uid in ids and pid in below}

    def settle(self) -> None:
        """Wait until nothing is left of jobs that have ended: it goes behind their answers."""
        self.do(self.supervisor.settled())

    def cgroups(self) -> set[str]:
        """Name every cgroup directory that this supervisor has made."""
        return cgroups_below(self.supervisor._tree.paths.values())  # noqa: SLF001


def cgroups_below(places: Iterable[str]) -> set[str]:
    """Name every directory below these; one that goes meanwhile is gone."""
    return {found for place in places for found, _, _ in os.walk(place)}


def text_of(result: RunResult) -> str:
    assert getattr(result.ending, "exit_code", None) == 0, result
    return result.stdout.data.decode()


def has(program: str) -> bool:
    """Tell whether a program lies where sandboxes look."""
    found = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
    return found is not None and os.path.realpath(found).startswith("/usr/")


def processes() -> Iterator[tuple[int, int]]:
    """Give every process of the host, with the user id that it acts under."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                yield int(name), int(status_of(int(name))["Uid"].split()[0])


def status_of(pid: int) -> dict[str, str]:
    return fields_of(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))


def fields_of(status: str) -> dict[str, str]:
    lines = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in lines}


def descendants(pid: int) -> set[int]:
    """Name every living process below one."""
    children: dict[int, list[int]] = {}
    for other, _ in processes():
        with suppress(OSError):
            status = status_of(other)
            if not status["State"].startswith("Z"):
                children.setdefault(int(status["PPid"]), []).append(other)
    found: set[int] = set()
    pending = [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found.update(below)
        pending += below
    return found


def eventually(
    holds: Callable[[], Any], patience: float = PATIENCE, seen: Callable[[], Any] | None = None
) -> None:
    """Look until something holds; fail with what is `seen` when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, (seen or holds)()
        time.sleep(0.005)  # a look, not a wait: the deadline alone decides


def wait_cancelled(running: Running) -> None:
    """Wait until a cancelled job is over."""
    with suppress(CancelledError):
        running.future.result(PATIENCE)
