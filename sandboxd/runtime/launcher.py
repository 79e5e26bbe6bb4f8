"""launcher: a fresh interpreter, started by exec, that enters the outer user namespace once.

Starts and reaps zygotes, and outlives the daemon for as long as it takes to remove what the daemon
can no longer remove: zygotes (and with them every sandbox) and cgroups. Single-threaded for ever.
Started as root, it drops to the service user before it enters anything; what it needs from root,
the maps, a helper that was forked before writes for it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sandboxd.kernel import delegation, idmap, syscalls
from sandboxd.runtime import channel as channels
from sandboxd.runtime import zygote
from sandboxd.runtime.channel import Closed, Message

if TYPE_CHECKING:
    import socket


class Orders(NamedTuple):
    """What the daemon tells the launcher first: its message ``enter``, field by field."""

    mode: str
    """``range``, ``single`` or ``rejoin`` (the namespace exists: enter it again)."""
    from_root: bool
    """Whether we are root still, and must become the service user first."""
    drop_groups: bool
    """Whether the namespace allows setgroups(2): not where its maps were written unprivileged."""
    uid: int
    gid: int
    uid_map: str
    gid_map: str
    cgroup_paths: dict[str, str]
    """The daemon's own cgroups, to be removed when it is gone."""


def main() -> NoReturn:
    """Read the orders, enter the namespace, serve until the daemon is gone."""
    syscalls.set_name("sandboxd-launch")
    channel = channels.adopt(int(sys.argv[1]))
    try:
        message = channels.receive(channel)
    except Closed:  # the daemon is gone, or needs none after all
        os._exit(0)
    orders = Orders(*message.fields)
    syscalls.reset_all_signals()  # whatever started the daemon ignores, programs do not
    try:
        enter_user_namespace(orders, message.fds.pop("user_namespace", -1))
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.join_new_session_keyring()
        namespace_fd = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        channels.send(channel, "entered", fds={"user_namespace": namespace_fd})
        os.close(namespace_fd)
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else "enter"
        channels.send(channel, "failed", "outer_namespace", error.errno or 0, what)
        raise SystemExit(1) from error
    serve(channel)
    delegation.clear(orders.cgroup_paths)
    os._exit(0)  # the daemon waits for us: an interpreter that takes itself apart needs 5 ms more


def enter_user_namespace(orders: Orders, namespace_fd: int) -> None:
    """Become root of the outer user namespace, with the maps that the orders ask for."""
    if orders.mode == "rejoin":
        # The daemon's uid owns the namespace, which gives it every capability in it: no helper
        # and no newuidmap, so this works after a drop from root and under no_new_privs, too.
        syscalls.setns(namespace_fd, syscalls.CLONE_NEWUSER)
        os.close(namespace_fd)
        become_root_inside(drop_groups=orders.drop_groups)
        return
    helper = None if orders.mode == "single" else MapHelper(orders)
    if orders.from_root:
        os.setgroups([])
        os.setresgid(orders.gid, orders.gid, orders.gid)
        os.setresuid(orders.uid, orders.uid, orders.uid)
        # Changing ids made us undumpable, which gives our /proc files to the host's root.
        syscalls.set_dumpable(1)
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    if helper is None:
        idmap.write_own_map(os.getpid(), orders.uid, orders.gid)
    else:
        helper.write()
    become_root_inside(drop_groups=orders.drop_groups)


def become_root_inside(*, drop_groups: bool) -> None:
    """Take the namespace's own root ids."""
    if drop_groups:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.set_dumpable(1)


class MapHelper:
    """A child forked before the namespace is entered, which then writes the maps from outside."""

    def __init__(self, orders: Orders) -> None:
        """Fork it; it waits for `write`."""
        self._pid_to_map = os.getpid()
        wait_fd, self._go_fd = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._go_fd)
            self._be_helper(orders, wait_fd)
        os.close(wait_fd)

    def write(self) -> None:
        """Have the maps written; raises `PermissionError` when the helper was refused."""
        os.write(self._go_fd, b"1")
        os.close(self._go_fd)
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise PermissionError(1, "maps refused", "newuidmap, newgidmap")

    def _be_helper(self, orders: Orders, wait_fd: int) -> NoReturn:
        status = 1
        try:
            if os.read(wait_fd, 1):
                if orders.from_root:
                    idmap.write_maps(self._pid_to_map, orders.uid_map, orders.gid_map)
                else:
                    run_map_programs(self._pid_to_map, orders)
                status = 0
        finally:
            os._exit(status)


def run_map_programs(pid: int, orders: Orders) -> None:
    """Have newuidmap(1) and newgidmap(1) write the maps; raises `OSError` when one refuses."""
    for program, text in (("newuidmap", orders.uid_map), ("newgidmap", orders.gid_map)):
        child = os.posix_spawnp(program, [program, str(pid), *text.split()], os.environ)
        if os.waitpid(child, 0)[1]:
            raise PermissionError(1, "refused", program)


def serve(channel: socket.socket) -> None:
    """Start zygotes on request and reap children, until the daemon is gone."""
    children_fd = syscalls.signal_descriptor(signal.SIGCHLD)
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(children_fd, select.POLLIN)
    zygotes: set[int] = set()
    try:
        while True:
            for fd, _ in poll.poll():
                if fd == children_fd:
                    os.read(children_fd, 4096)
                    zygotes -= reap(os.WNOHANG)
                elif (message := channels.receive(channel)).name == "zygote":
                    zygotes |= start_zygote(channel, message)
                # A lock to "hold" is held by not closing it.
    except Closed:
        for pid in zygotes:
            os.kill(pid, signal.SIGKILL)
        reap(0)


def reap(flags: int) -> set[int]:
    """Reap what has ended; with no flags, everything, waiting for it."""
    ended: set[int] = set()
    try:
        while pid := os.waitpid(-1, flags)[0]:
            ended.add(pid)
    except ChildProcessError:
        pass
    return ended


def start_zygote(channel: socket.socket, message: Message) -> set[int]:
    """Clone a zygote into a pid and a mount namespace of its own; give its pid, none on failure."""
    number, root_tape = message.fields
    try:
        pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
    except OSError as error:
        channels.send(channel, "failed", "zygote", error.errno or 0, "clone3")
        message.close()
        return set()
    if pid == 0:
        _become_zygote(message, root_tape)
    channels.send(channel, "zygote", number, fds={"pidfd": pidfd})
    os.close(pidfd)
    message.close()
    return {pid}


def _become_zygote(message: Message, root_tape: list[Any]) -> NoReturn:
    try:
        syscalls.unblock_all_signals()
        channel = channels.adopt(message.fds["channel"])
        zygote.run(channel, root_tape, message.fds.get("program"))
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
