"""zygote: has built one root and moved into it; clones sandboxes out of itself.

Decides nothing. PID 1 of a pid namespace of its own: its death ends every sandbox that it cloned,
at once and by the kernel. Root in the outer user namespace, so it writes each sandbox's id maps
itself. Single-threaded for ever; imports nothing after it has started.
"""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from sandboxd.kernel import cgroups, idmap, syscalls
from sandboxd.kernel.namespaces import SANDBOX_FLAGS
from sandboxd.runtime import channel as channels
from sandboxd.runtime import init
from sandboxd.runtime.channel import Closed, Message
from sandboxd.runtime.tapes import StageFailed, execute

if TYPE_CHECKING:
    import socket

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def run(channel: socket.socket, root_tape: list[Any], program_fd: int | None) -> NoReturn:
    """Build the root, then clone a sandbox per request until the daemon is gone; never returns.

    `program_fd` is the compiled zygote, which then takes over.
    """
    try:
        syscalls.set_name("sandboxd-zygote")
        syscalls.set_parent_death_signal(signal.SIGKILL)
        execute(root_tape, {})
        if program_fd is not None:
            keep_only([channel.fileno(), program_fd])
            _become(program_fd, channel.fileno())
        keep_only([channel.fileno()])
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps inits; pidfds still fire
        gc.disable()
        gc.freeze()  # or the collector would write to, and so copy, every page of every clone
        channels.send(channel, "root_ready")
        while True:
            message = channels.receive(channel)
            if message.name == "furnish":
                execute(message.fields[0], {})
            else:
                _clone(channel, message)
    except StageFailed as failure:
        channels.send(channel, "failed", *failure.report)
    except Closed:
        pass
    finally:
        os._exit(0)


def _become(program_fd: int, channel_fd: int) -> NoReturn:
    """Execute the compiled zygote, which is given the channel and nothing else."""
    os.set_inheritable(channel_fd, True)  # noqa: FBT003 - its signature
    try:
        os.execve(program_fd, ["sandboxd-zygote", str(channel_fd)], {})  # noqa: S606 - our own
    except OSError as error:
        raise StageFailed("zygote_program", error.errno or 0, "execve") from error


def keep_only(fds: list[int]) -> None:
    """Close every descriptor but these, and make 0, 1, 2 the root's own /dev/null."""
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for target in (0, 1, 2):
        os.dup2(null_fd, target, inheritable=True)
    close_all_but([0, 1, 2, *fds])


def close_all_but(fds: list[int]) -> None:
    """Close every descriptor that is not listed."""
    kept = sorted(fds)
    for fd, following in pairwise(kept):
        if following > fd + 1:
            os.closerange(fd + 1, following)
    syscalls.close_from(kept[-1] + 1)


def _clone(channel: socket.socket, message: Message) -> None:
    """Clone one sandbox, map its ids, and hand its pidfd to the daemon."""
    number, uid_map, gid_map, owner, tape = message.fields
    fds = message.fds
    stage = "clone"
    go_fd = pidfd = -1
    try:
        go_fd = os.eventfd(0, os.EFD_CLOEXEC)
        if "sandbox" in fds:
            fds["program_cgroup"] = os.open("program", _PLACE, dir_fd=fds["sandbox"])
            try:
                fds["init_cgroup"] = os.open("init", _PLACE, dir_fd=fds["sandbox"])
            except FileNotFoundError:  # a tree without controllers: see cgroups.leaf_for
                fds["init_cgroup"] = os.open(".", _PLACE, dir_fd=fds["sandbox"])
        pid, pidfd = syscalls.clone3(SANDBOX_FLAGS, fds.get("init_cgroup"))
        if pid == 0:
            _become_init(go_fd, fds, tape)
        stage = "id_maps"
        idmap.write_maps(pid, uid_map, gid_map)
        if owner is not None and "sandbox" in fds:
            stage = "cgroup_hand_over"
            cgroups.hand_over(fds["sandbox"], owner)
        os.eventfd_write(go_fd, 1)
        stage = "cloned"
        channels.send(channel, "cloned", number, fds={"pidfd": pidfd})
    except OSError as error:
        if pidfd >= 0:
            with suppress(ProcessLookupError):  # its death may be why a step failed
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        detail = error.filename if isinstance(error.filename, str) else stage
        channels.send(channel, "failed", number, stage, error.errno or 0, detail)
    finally:
        for fd in (go_fd, pidfd):
            if fd >= 0:
                os.close(fd)
        message.close()


def _become_init(go_fd: int, fds: dict[str, int], tape: list[Any]) -> NoReturn:
    """Wait for the maps, keep what init needs, and be init."""
    try:
        os.eventfd_read(go_fd)
        fds.pop("sandbox", None)
        fds.pop("init_cgroup", None)
        channel = channels.adopt(fds.pop("channel"))
        close_all_but([0, 1, 2, channel.fileno(), *fds.values()])
        init.run(channel, fds, tape)
    finally:
        os._exit(1)
