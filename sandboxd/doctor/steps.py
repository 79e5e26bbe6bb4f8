"""The kernel's part of a sandbox, step by step in a child of its own, up to the first failure.

Says which step fails and with which errno, more finely than a real sandbox can: that makes all its
namespaces by one call. Maps one id only, so no newuidmap is needed. Nothing outlives the child.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sandboxd.kernel import idmap, landlock, mounts, syscalls
from sandboxd.kernel.namespaces import SANDBOX_FLAGS
from sandboxd.kernel.seccomp import ALLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACE = mounts.NEW_ROOT
"""Where the file systems are tried: where a root is put together, too."""
_SAFE = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
_ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)
"""A filter of one instruction, which returns."""


_EVERY_NAMESPACE = SANDBOX_FLAGS | syscalls.CLONE_NEWCGROUP
_NO_FLAG = 1  # clone(2) has the exit signal there; unshare(2) takes none


class Tried(NamedTuple):
    """What came of one step: an errno, 0 if it succeeded, and what was attempted."""

    step: str
    errno: int
    detail: str


def try_steps(uid: int, gid: int) -> tuple[Tried, ...]:
    """Try one step after another as this user, in a child; the last one given may have failed."""
    answers = [Tried(*answer) for answer in in_child(lambda: _try_all(uid, gid))]
    if len(answers) < len(STEPS) and not (answers and answers[-1].errno):
        # The child was killed in the middle of a step, as some filters do.
        answers.append(Tried(list(STEPS)[len(answers)], 1, "the process was killed"))
    return tuple(answers)


def filter_refusal() -> int:
    """Give the errno with which a seccomp filter around us answers unshare(2); 0 without one.

    The flags hold every namespace and one bit that means nothing: the kernel itself answers
    EINVAL before it looks at anything else, so any other answer is a filter's.
    """
    try:
        syscalls.unshare(_EVERY_NAMESPACE | _NO_FLAG)
    except OSError as error:
        return 0 if error.errno == errno.EINVAL else error.errno or 0
    return 0


def in_child(work: Callable[[], Iterator[Any]]) -> list[Any]:
    """Fork; have the child do `work`; give what it yielded, up to wherever it got."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _answer(writer, work)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as answers:
        lines = answers.read().splitlines()
    os.waitpid(pid, 0)
    return [json.loads(line) for line in lines]


def _answer(fd: int, work: Callable[[], Iterator[Any]]) -> NoReturn:
    try:
        for value in work():
            os.write(fd, json.dumps(value).encode() + b"\n")
    finally:
        os._exit(0)  # a child that is a copy of us must not return into our code


def _try_all(uid: int, gid: int) -> Iterator[Tried]:
    for step, attempt in STEPS.items():
        try:
            attempt(uid, gid)
        except OSError as error:
            detail = error.filename if isinstance(error.filename, str) else step
            yield Tried(step, error.errno or 0, detail)
            return
        yield Tried(step, 0, "")


def _become_user(uid: int, gid: int) -> None:
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        syscalls.set_dumpable(1)  # or our /proc files would be root's


def _map_ids(uid: int, gid: int) -> None:
    idmap.write_own_map(os.getpid(), uid, gid)


def _enter_mount_namespace(_uid: int, _gid: int) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)


def _enter_pid_namespace(_uid: int, _gid: int) -> None:
    """Go on as PID 1 of a new namespace: only a process in there may mount its /proc."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    if pid := os.fork():
        os.waitpid(pid, 0)
        os._exit(0)


def _enter(flag: int) -> Callable[[int, int], None]:
    return lambda _uid, _gid: syscalls.unshare(flag)


def _clone(_uid: int, _gid: int) -> None:
    pid, pidfd = syscalls.clone3(0)
    if pid == 0:
        os._exit(0)
    os.close(pidfd)
    os.waitpid(pid, 0)


def _mount_tmpfs(_uid: int, _gid: int) -> None:
    syscalls.mount("trial", PLACE, "tmpfs", _SAFE, "mode=755,size=64k")


def _bind(_uid: int, _gid: int) -> None:
    os.mkdir(f"{PLACE}/usr")
    attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID
    mounts.bind("/usr", f"{PLACE}/usr", attributes | syscalls.MOUNT_ATTR_NODEV)


def _mount(kind: str, options: str = "") -> Callable[[int, int], None]:
    def mount(_uid: int, _gid: int) -> None:
        os.mkdir(f"{PLACE}/{kind}")
        syscalls.mount(kind, f"{PLACE}/{kind}", kind, _SAFE, options)

    return mount


def _restrict(_uid: int, _gid: int) -> None:
    syscalls.set_no_new_privileges(1)
    for operation in landlock.restriction(syscalls.landlock_abi(), (), network=False):
        landlock.restrict(*operation.arguments)


def _install_filter(_uid: int, _gid: int) -> None:
    syscalls.seccomp_set_filter(_ALLOW_ALL, 0)


STEPS: dict[str, Callable[[int, int], None]] = {
    "service_user": _become_user,
    "user_namespace": _enter(syscalls.CLONE_NEWUSER),
    "id_maps": _map_ids,
    "mount_namespace": _enter_mount_namespace,
    "network_namespace": _enter(syscalls.CLONE_NEWNET),
    "ipc_namespace": _enter(syscalls.CLONE_NEWIPC),
    "uts_namespace": _enter(syscalls.CLONE_NEWUTS),
    "cgroup_namespace": _enter(syscalls.CLONE_NEWCGROUP),
    "pid_namespace": _enter_pid_namespace,
    "clone3": _clone,
    "tmpfs": _mount_tmpfs,
    "bind_mounts": _bind,
    "proc": _mount("proc"),
    "devpts": _mount("devpts", "newinstance,ptmxmode=0666,mode=0620"),
    "keyring": lambda _uid, _gid: syscalls.join_new_session_keyring(),
    "landlock": _restrict,
    "seccomp": _install_filter,
}
"""Every step by its name, in the order in which a sandbox is made."""
