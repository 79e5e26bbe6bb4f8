"""Jobs in this very process, without a server: what `sandboxd.run` and `sandboxd run` stand on.

One supervisor serves all calls of a process, on an event loop in a thread of its own, from the
first call to the process's end.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError
from sandboxd.host import Settings, probe_host
from sandboxd.model.job import Job
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandboxd.model.outcome import RunResult

_lock = threading.Lock()
_instance: _Local | None = None


def run(
    argv: Sequence[str],
    *,
    on_output: Callable[[int, bytes], None] | None = None,
    **fields: Any,  # noqa: ANN401 - the fields of Job, which checks them
) -> RunResult:
    """Run one program to its end in a fresh sandbox on this host, here and now.

    Takes the fields of `Job` by name (``limits=Limits(memory_bytes=64 << 20)``, ``stdin=b"..."``,
    ``files=``, ``outputs=`` ...). `on_output` is called with 1 or 2 and each piece of output, in
    another thread.

    Raises:
        JobError, PreconditionError: the job cannot be run as it asks.
        HostError: this host cannot sandbox; the text says what to do.
        StageError: building the sandbox failed; no program ran unprotected.

    """
    job = Job(argv=tuple(argv), **fields)
    return _local().run(job, on_output)


def _local() -> _Local:
    global _instance  # noqa: PLW0603 - one per process, by design
    with _lock:
        if _instance is None or _instance.pid != os.getpid():
            _instance = _Local()
        return _instance


class _Local:
    """The one supervisor of this process, and the thread that it lives in."""

    def __init__(self) -> None:
        if os.geteuid() == 0:
            remedy = "use `sandboxd run`, or `sandboxd serve` and a Client"
            text = "cannot run jobs inside a process of root's: it would have to give root up"
            raise HostError("EMBEDDED_AS_ROOT", text, remedy)
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._supervisor = Supervisor(probe_host(Settings()))
        try:
            self._wait(self._supervisor.__aenter__())
        except BaseException:
            self._stop_loop()
            raise
        atexit.register(self.close)

    def run(self, job: Job, on_output: Callable[[int, bytes], None] | None) -> RunResult:
        """Run one job; may be called from many threads at once."""
        result: RunResult = self._wait(self._supervisor.run(job, on_output=on_output))
        return result

    def close(self) -> None:
        """End the supervisor and its thread; in a forked child nothing of ours is left to end."""
        if self.pid == os.getpid() and self._thread.is_alive():
            self._wait(self._supervisor.__aexit__(None, None, None))
            self._stop_loop()

    def _wait(self, work: Any) -> Any:  # noqa: ANN401 - whatever the coroutine gives
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
