"""Bait on the host: what an escaped program would touch, and whether anything did."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import tempfile
from pathlib import Path

from hoststate import BAIT_KEYS

SECRET = b"bait-secret"
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_IPC_CREAT, _IPC_RMID, _FAILED = 0o1000, 0, ctypes.c_void_p(-1).value


class Bait:
    """Listeners, a file, a process, shared memory and a queue; `close` removes all of it."""

    def __init__(self) -> None:
        """Lay it out."""
        self._directory = Path(tempfile.mkdtemp(prefix="bait-"))
        self._directory.chmod(0o755)
        self.file = self._directory / "secret"
        self.file.write_bytes(SECRET)
        self.environment = {"BAIT_FILE": str(self.file)}
        self._listeners = [self._listener(socket.AF_INET, ("127.0.0.1", 0), "BAIT_TCP")]
        if socket.has_ipv6:
            self._listeners.append(self._listener(socket.AF_INET6, ("::1", 0), "BAIT_TCP6"))
        path = str(self._directory / "socket")
        name = f"sandboxd-bait-{os.getpid()}"
        self._listeners.append(self._listener(socket.AF_UNIX, path, "BAIT_UNIX"))
        os.chmod(path, 0o777)  # noqa: S103 - nothing but namespaces shall keep others out
        self._listeners.append(self._listener(socket.AF_UNIX, f"\0{name}", "BAIT_ABSTRACT"))
        self._process = subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL)
        self.environment["BAIT_PID"] = str(self._process.pid)
        self._lay_memory()
        self._queue = f"/sandboxd-bait-{os.getpid()}"
        self._queue_fd = _checked(
            _libc.mq_open(self._queue.encode(), os.O_RDWR | os.O_CREAT, 0o666, None), "mq_open"
        )
        self.environment["BAIT_QUEUE"] = self._queue

    def _listener(self, family: int, address: object, name: str) -> socket.socket:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.bind(address)  # type: ignore[arg-type]  # each family has its own kind
        listener.listen()
        listener.setblocking(False)  # noqa: FBT003 - socket's signature
        bound = listener.getsockname()
        text = bound[1:].decode() if isinstance(bound, bytes) else bound
        self.environment[name] = str(text[1] if isinstance(text, tuple) else text)
        return listener

    def _lay_memory(self) -> None:
        key = BAIT_KEYS | os.getpid() & 0xFFFF
        self._memory = _checked(_libc.shmget(key, 4096, _IPC_CREAT | 0o666), "shmget")
        place = _libc.shmat(self._memory, None, 0)
        if place == _FAILED:
            raise OSError(ctypes.get_errno(), "shmat")
        self._shared = (ctypes.c_char * len(SECRET)).from_address(place)
        self._shared.raw = SECRET
        self.environment["BAIT_SHM"] = str(key)

    def touched(self) -> list[str]:
        """Name what an attack reached since it was laid out."""
        found = []
        for listener in self._listeners:
            try:
                listener.accept()[0].close()
                found.append(f"connected to {listener.getsockname()!r}")
            except BlockingIOError:
                pass
        if self.file.read_bytes() != SECRET:
            found.append(f"{self.file} was changed")
        if sorted(os.listdir(self._directory)) != ["secret", "socket"]:
            found.append(f"{self._directory} has other entries")
        if self._process.poll() is not None:
            found.append("the process was ended")
        if self._shared.raw != SECRET:
            found.append("the shared memory was changed")
        if Path(f"/proc/self/fdinfo/{self._queue_fd}").exists() and self._queued_bytes():
            found.append("the queue has a message")
        return found

    def _queued_bytes(self) -> int:
        state = os.pread(self._queue_fd, 256, 0)  # "QSIZE:0 ...", says mq_overview(7)
        return int(state.split(b"QSIZE:")[1].split()[0])

    def close(self) -> None:
        """Remove all of it."""
        for listener in self._listeners:
            listener.close()
        self._process.kill()
        self._process.wait()
        _libc.shmctl(self._memory, _IPC_RMID, None)
        _libc.mq_unlink(self._queue.encode())
        os.close(self._queue_fd)
        for name in ("secret", "socket"):
            (self._directory / name).unlink(missing_ok=True)
        self._directory.rmdir()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
