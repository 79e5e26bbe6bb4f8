"""init: PID 1 of one sandbox. Furnishes it, starts programs, reaps, brings files out, ends.

Decides nothing: it executes tapes and reports. Never trusts the program, which shares its pid
namespace but neither its ids nor its memory. Single-threaded; cloned from a zygote, so it must not
import anything.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from sandboxd.kernel import files, processes, syscalls, terminals
from sandboxd.kernel.processes import ABOUT_TO_EXEC
from sandboxd.runtime import channel as channels
from sandboxd.runtime.channel import Closed, Message, ProtocolError
from sandboxd.runtime.resident import Resident
from sandboxd.runtime.tapes import StageFailed, execute

if TYPE_CHECKING:
    import socket

LEAST_OURS = 10
"""From this number on descriptors are ours until exec; below are those that a program may get."""


def run(channel: socket.socket, fds: dict[str, int], sandbox_tape: list[Any]) -> NoReturn:
    """Be PID 1 until the last program has ended or the daemon is gone; never returns.

    Whatever goes wrong, the process ends here: it must not return into the zygote's code.
    """
    try:
        syscalls.set_name("sandboxd-init")
        execute(sandbox_tape, fds)
        children_fd = syscalls.signal_descriptor(signal.SIGCHLD)
        channels.send(channel, "ready")
        while not _serve(channel, children_fd, fds):
            pass
    except StageFailed as failure:
        _report(channel, failure)
    except (Closed, ProtocolError):
        pass
    except OSError as error:
        _report(channel, StageFailed("init", error.errno or 0, str(error.filename or "")))
    except Exception as error:  # noqa: BLE001 - the last resort of a process that must not return
        _report(channel, StageFailed("init", 0, f"{type(error).__name__}: {error}"))
    finally:
        os._exit(0)


def _report(channel: socket.socket, failure: StageFailed) -> None:
    with suppress(Closed, OSError):  # if nobody listens any more, the exit says the rest
        channels.send(channel, "failed", *failure.report)


def _serve(channel: socket.socket, children_fd: int, fds: dict[str, int]) -> bool:
    """Serve one program from its start to its end; tell whether it was the last."""
    message = channels.receive(channel)
    if message.name == "stay":
        resident = Resident(
            channel,
            fds,
            lambda *given: _start_given(channel, *given),
            lambda number, outputs: _hand_out(channel, number, outputs),
        )
        resident.attend(children_fd)
    if message.name != "start":
        return False
    number, job_tape, program_tape, outputs, terminal, last = message.fields
    execute(job_tape, fds | message.fds)
    pid = _start_given(channel, message, fds, [number, program_tape], terminal)
    if pid is not None:
        status, clock = _reap_until(pid, channel, children_fd)
        kill_all()
        if outputs:
            channels.send(channel, "stopped", number)  # what follows is not the program's time
            _hand_out(channel, number, outputs)
        _tell_end(channel, number, status, clock)
    return bool(last)


def _start_given(
    channel: socket.socket,
    message: Message,
    fds: dict[str, int],
    program: list[Any],
    terminal: list[Any] | None,
) -> int | None:
    """Start a program (its number, its tape) with the descriptors that came, which are closed."""
    number, tape = program
    try:
        if any(name.startswith("fd") for name in message.fds):
            _clear_low_numbers(message.fds)
        if terminal is not None:
            _open_terminal(channel, number, terminal, message.fds)
        return _start(channel, number, tape, fds | message.fds)
    finally:
        message.close()


def _clear_low_numbers(fds: dict[str, int]) -> None:
    """Move descriptors away from the numbers that a program with more than three may get."""
    for name, fd in fds.items():
        if fd < LEAST_OURS:
            fds[name] = processes.above(LEAST_OURS, fd)
            os.close(fd)


def _open_terminal(
    channel: socket.socket, number: int, terminal: list[Any], fds: dict[str, int]
) -> None:
    """Open the program's terminal: its master for the daemon, its slave as the program's stdio."""
    rows, columns, echo = terminal
    try:
        master_fd, slave_fd = terminals.open_pair(rows, columns, echo=echo)
    except OSError as error:
        raise StageFailed("terminal", error.errno or 0, str(error.filename)) from error
    channels.send(channel, "terminal", number, fds={"master": master_fd})
    os.close(master_fd)
    fds.update(stdin=slave_fd, stdout=os.dup(slave_fd))


def _start(
    channel: socket.socket, number: int, program_tape: list[Any], fds: dict[str, int]
) -> int | None:
    """Clone the program straight into its cgroup and report; None when it did not start.

    CLONE_VFORK holds init back until the program has executed or ended, so that one read of the
    report pipe tells everything.
    """
    report_fd, report_end_fd = os.pipe2(os.O_CLOEXEC)
    if report_end_fd < LEAST_OURS:
        low_fd, report_end_fd = report_end_fd, processes.above(LEAST_OURS, report_end_fd)
        os.close(low_fd)
    try:
        pid, pidfd = syscalls.clone3(syscalls.CLONE_VFORK, fds.get("program_cgroup"))
    except OSError as error:
        os.close(report_fd)
        os.close(report_end_fd)
        raise StageFailed("init", error.errno or 0, "clone3") from error
    if pid == 0:
        _become_program(program_tape, fds, report_end_fd)
    clock = time.monotonic_ns()
    os.close(report_end_fd)
    os.close(pidfd)
    record = os.read(report_fd, 65536)
    os.close(report_fd)
    if record == ABOUT_TO_EXEC:
        channels.send(channel, "started", number, clock)
        return pid
    os.waitpid(pid, 0)
    failure = record.removeprefix(ABOUT_TO_EXEC)
    if not failure:
        # Died between clone and exec without a word: the daemon knows whether the kernel's OOM
        # killer did it.
        raise StageFailed("program", 0, "the program died before exec")
    stage, number_of_error, detail = json.loads(failure)
    if stage not in {"exec", "working_directory"}:
        raise StageFailed(stage, number_of_error, detail)
    channels.send(channel, "not_started", number, number_of_error, detail)
    return None


def _become_program(program_tape: list[Any], fds: dict[str, int], report_fd: int) -> NoReturn:
    """Execute the program tape; its last operation is exec, which does not return."""
    try:
        execute(program_tape, fds | {"report": report_fd})
    except StageFailed as failure:
        os.write(report_fd, json.dumps(failure.report).encode())
    finally:
        os._exit(127)


def _reap_until(pid: int, channel: socket.socket, children_fd: int) -> tuple[int, int]:
    """Reap orphans until the program ends; give its wait status and the clock."""
    poll = select.poll()
    poll.register(children_fd, select.POLLIN)
    poll.register(channel, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == children_fd:
                os.read(children_fd, 4096)
            else:
                _obey(channels.receive(channel), pid)
        for ended, status in _ended_children():
            if ended == pid:
                return status, time.monotonic_ns()


def _obey(message: Message, pid: int) -> None:
    match message.name, message.fields:
        case "kill", _:
            _signal_all()
        case "signal", (_, number):
            with suppress(ProcessLookupError):
                os.kill(-pid, number)  # a session of its own, so a process group of that number


def _ended_children() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def kill_all() -> None:
    """Kill every process of this pid namespace but ourselves, and reap them all.

    kill(-1) holds the kernel's task list, and a fork that sees a pending signal starts over: so
    nothing can be born behind it.
    """
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return  # nobody is left: every orphan would be our child
    _signal_all()
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _signal_all() -> None:
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def _hand_out(channel: socket.socket, number: int, outputs: list[Any]) -> None:
    """Send the asked files, opened beneath the working directory and through no link."""
    directory, wanted = outputs
    for found in files.collect(directory, wanted):
        fds = {} if found.fd is None else {"file": found.fd}
        channels.send(channel, "file", number, found.path, found.fault, found.executable, fds=fds)
        if found.fd is not None:
            os.close(found.fd)


def _tell_end(channel: socket.socket, number: int, status: int, clock: int) -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    space = os.statvfs("/workspace")
    full = [
        name
        for name, left in (("scratch_bytes", space.f_bavail), ("file_count", space.f_favail))
        if not left
    ]
    channels.send(
        channel,
        "ended",
        number,
        status,
        clock,
        int(used.ru_utime * 1e6),
        int(used.ru_stime * 1e6),
        full,
    )
