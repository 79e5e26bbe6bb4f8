"""Mounts: the root that a zygote builds once, and what each sandbox mounts on top of it.

Decides ordered lists of operations; none hides an earlier one. Does them, one function a verb.
Every mount is nosuid; what can be is nodev and read-only, with everything below it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sandboxd.kernel import syscalls
from sandboxd.kernel.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_MOVE,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
)
from sandboxd.model.tape import Operation, Tape, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable

NEW_ROOT = "/proc"
"""Where the new root is put together: nothing that we bind lies below it, so nothing is hidden, and
it is in every sandbox, too, so that a sandboxd in there finds it."""

SCRATCH = "/tmp"  # noqa: S108 - inside the sandbox
_SCRATCH_PARTS = {"workspace": "/workspace", "shm": "/dev/shm", "tmp": SCRATCH}  # noqa: S108
"""One tmpfs holds all that a program may write, so that one size and one inode count bound it; its
parts are bound to their places, the one that covers the tmpfs itself last."""
SCRATCH_INODES = 1 + len(_SCRATCH_PARTS)
PAGE_BYTES = 4096

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""None keeps anything; tty is whatever terminal its opener has, here never the host's."""
_DEVICE_LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}

_READ_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_DEVICE_NODE = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
_SAFE = MS_NOSUID | MS_NODEV

GENERATED_FILES = {
    "/etc/passwd": (
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        "sandbox:x:1000:1000:sandbox:/workspace:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    ),
    "/etc/group": "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
    "/etc/resolv.conf": "",
    "/etc/hostname": "sandbox\n",
}

PROC_MASKED_FILES = (
    *("config.gz", "interrupts", "kallsyms", "kcore", "key-users", "keys", "kmsg"),
    *("kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "modules", "sched_debug"),
    *("slabinfo", "sysrq-trigger", "timer_list", "vmallocinfo"),
)
PROC_MASKED_DIRECTORIES = ("acpi", "asound", "bus", "driver", "fs", "irq", "scsi", "sys", "tty")


class Source(NamedTuple):
    """One thing of the host that the root shows: its path there, what it is, a link's target."""

    path: str
    kind: str
    """``directory``, ``file`` or ``link``."""
    target: str = ""


def root_tape(sources: Iterable[Source]) -> Tape:
    """Build a root from the host's own system directories and move into it, for good.

    `sources` come parents first. The host's tree is gone afterwards; the root mount itself is
    read-only, because its superblock is shared by every sandbox made from it.
    """
    sources = tuple(sources)
    return (
        Operation("private_mounts", "mount", ("", "/", "", MS_REC | MS_PRIVATE, "")),
        Operation(
            "root_tmpfs",
            "mount",
            ("root", NEW_ROOT, "tmpfs", _SAFE, "mode=755,size=4m,nr_inodes=4096"),
        ),
        *(op for source in sources for op in _shown(source)),
        *_generated_files({source.path for source in sources}),
        *_devices(),
        *(
            Operation("mount_points", "make_directory", (NEW_ROOT + path, 0o755))
            for path in ("/proc", *sorted(_SCRATCH_PARTS.values()))
        ),
        # Maps are written through this one, and the kernel allows a sandbox its own /proc only
        # while a fully visible one is in sight. The zygote's pid namespace shows the zygote alone.
        Operation(
            "root_proc", "mount", ("proc", NEW_ROOT + "/proc", "proc", _SAFE | MS_NOEXEC, "")
        ),
        Operation(
            "root_read_only",
            "mount",
            ("", NEW_ROOT, "", MS_REMOUNT | MS_BIND | MS_RDONLY | _SAFE, ""),
        ),
        Operation("pivot", "pivot", (NEW_ROOT,)),
    )


def proc_renewed() -> Tape:
    """Mount the zygote's own /proc anew.

    Each sandbox opens files below /proc/sys/user through it, whose entries the kernel keeps by user
    namespace, all of one name in one list: the list is walked at each open. The new one comes
    first, and elsewhere: the kernel mounts none where none is in sight.
    """
    return (
        Operation("root_proc", "mount", ("proc", SCRATCH, "proc", _SAFE | MS_NOEXEC, "")),
        Operation("root_proc", "unmount", ("/proc",)),
        Operation("root_proc", "mount", (SCRATCH, "/proc", "", MS_MOVE, "")),
    )


def _shown(source: Source) -> list[Operation]:
    inside = NEW_ROOT + source.path
    stage = "root_binds"
    parent = Operation(stage, "make_directory", (os.path.dirname(inside), 0o755))
    if source.kind == "link":
        return [parent, Operation(stage, "make_link", (source.target, inside))]
    if source.kind == "file":  # a copy: every mount would be copied for every sandbox
        return [parent, Operation(stage, "copy_file", (source.path, inside))]
    place = Operation(stage, "make_directory", (inside, 0o755))
    return [parent, place, Operation(stage, "bind", (source.path, inside, _READ_ONLY))]


def _generated_files(shown: set[str]) -> Iterable[Operation]:
    yield Operation("root_files", "make_directory", (NEW_ROOT + "/etc", 0o755))
    for path, text in GENERATED_FILES.items():
        if path not in shown:
            yield Operation("root_files", "make_file", (NEW_ROOT + path, text, 0o644))


def _devices() -> Iterable[Operation]:
    yield Operation("devices", "make_directory", (NEW_ROOT + "/dev", 0o755))
    yield Operation("devices", "make_directory", (NEW_ROOT + "/dev/pts", 0o755))
    yield Operation("devices", "make_link", ("pts/ptmx", NEW_ROOT + "/dev/ptmx"))
    for name in _DEVICES:
        inside = f"{NEW_ROOT}/dev/{name}"
        yield Operation("devices", "make_file", (inside, "", 0o666))
        yield Operation("devices", "bind", (f"/dev/{name}", inside, _DEVICE_NODE))
    for name, part in _DEVICE_LINKS.items():
        inside = f"{NEW_ROOT}/dev/{name}"
        yield Operation("devices", "make_link", ("/proc/self/fd" + part, inside))


def sandbox_proc(mode: str, *, is_shared: bool = False) -> tuple[Operation, ...]:
    """Mount the sandbox's own /proc: ``subset`` (processes only), ``compat`` (masked), ``nested``.

    The first two hide other users' processes, init among them: /proc/1 would tell the launcher's
    command line. The third covers and hides nothing: the kernel allows no further /proc where this
    one is covered anywhere, and a sandboxd inside could not see its own inits to count for them.
    Where several programs share the sandbox init alone is covered: to hide by user is to hide from
    other Landlock domains, too, and each program has one of its own.
    """
    if mode == "nested":
        return (Operation("proc", "mount", ("proc", "/proc", "proc", _SAFE | MS_NOEXEC, "")),)
    hiding, subset = "hidepid=invisible", ["subset=pid"] if mode == "subset" else []
    options = ",".join([*([] if is_shared else [hiding]), *subset])
    read_only = _SAFE | MS_NOEXEC | MS_RDONLY
    proc = (
        Operation("proc", "mount", ("proc", "/proc", "proc", _SAFE | MS_NOEXEC, options)),
        *([Operation("proc", "mask_directory", ("/proc/1", read_only))] if is_shared else []),
    )
    if mode == "subset":
        return proc
    return (
        *proc,
        *(Operation("proc_masks", "mask", (f"/proc/{name}",)) for name in PROC_MASKED_FILES),
        *(
            Operation("proc_masks", "mask_directory", (f"/proc/{name}", read_only))
            for name in PROC_MASKED_DIRECTORIES
        ),
    )


def scratch(program_id: int) -> tuple[Operation, ...]:
    """Make the writable places, all on one tmpfs that is small until the job says its size."""
    directories = (
        Operation(
            "scratch",
            "make_owned",
            (f"{SCRATCH}/{name}", 0o755 if name == "workspace" else 0o1777, program_id),
        )
        for name in _SCRATCH_PARTS
    )
    binds = (
        Operation("scratch", "mount", (f"{SCRATCH}/{name}", place, "", MS_BIND, ""))
        for name, place in _SCRATCH_PARTS.items()
    )
    options = f"mode=755,size={PAGE_BYTES},nr_inodes={SCRATCH_INODES}"
    tmpfs = Operation("scratch", "mount", ("scratch", SCRATCH, "tmpfs", _SAFE, options))
    return (tmpfs, *directories, *binds)


def scratch_size(size_bytes: int, inode_count: int) -> Operation:
    """Size the scratch tmpfs: what is placed and what the program may add.

    Never less than a page and the inodes already there: to tmpfs, size=0 and nr_inodes=0 mean
    "no limit", and then none can be set again. The mount flags are repeated or they are lost.
    """
    pages = max(1, -(-size_bytes // PAGE_BYTES))
    options = f"size={pages * PAGE_BYTES},nr_inodes={SCRATCH_INODES + max(0, inode_count)}"
    return Operation("scratch_size", "mount", ("", SCRATCH, "", MS_REMOUNT | _SAFE, options))


def scratch_read_only() -> Operation:
    """Let the program write nothing at all."""
    return Operation("scratch_size", "mount", ("", SCRATCH, "", MS_REMOUNT | MS_RDONLY | _SAFE, ""))


def sources_for(paths: Iterable[str]) -> tuple[Source, ...]:
    """Look at the host's paths and give those that exist as sources; looks, but changes nothing."""
    found = []
    for path in paths:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if stat.S_ISLNK(mode):
            found.append(Source(path, "link", os.readlink(path)))
        elif stat.S_ISDIR(mode):
            found.append(Source(path, "directory"))
        elif stat.S_ISREG(mode) and os.access(path, os.R_OK):
            found.append(Source(path, "file"))
    return tuple(found)


# --- do -------------------------------------------------------------------------------------------


def bind(source: str, target: str, attributes: int) -> None:
    """Bind a tree and set attributes on all of it: a plain remount would leave submounts writable.

    The kernel refuses to clear attributes that were locked outside, and nothing here does.
    """
    syscalls.mount(source, target, "", MS_BIND | MS_REC)
    syscalls.set_mount_attributes(target, attributes)


def unmount(target: str) -> None:
    """Take a mount away; whoever has a copy of it keeps that."""
    syscalls.unmount(target, syscalls.MNT_DETACH)


def make_directory(path: str, mode: int) -> None:
    """Make a directory, and those above it; one that exists already is fine."""
    os.makedirs(path, mode, exist_ok=True)


def make_file(path: str, text: str, mode: int) -> None:
    """Make a new file with this text."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def copy_file(source: str, target: str) -> None:
    """Copy a small file of the host's, as it is now."""
    source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    target_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        while os.sendfile(target_fd, source_fd, None, 1 << 20):
            pass
    finally:
        os.close(source_fd)
        os.close(target_fd)


def make_link(target: str, path: str) -> None:
    """Make a symbolic link; an equal one that exists already is fine."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        if os.readlink(path) != target:
            raise


def make_owned(path: str, mode: int, id_: int) -> None:
    """Make a directory that belongs to the program."""
    os.mkdir(path)
    os.chown(path, id_, id_)
    os.chmod(path, mode)  # after the umask, and after chown, which would clear bits


def mask(path: str) -> None:
    """Cover a file with /dev/null; one that this kernel does not have needs no cover."""
    with suppress(FileNotFoundError):  # whatever else is in the way, it must not stay uncovered
        os.stat(path)
        syscalls.mount("/dev/null", path, "", MS_BIND)


def mask_directory(path: str, flags: int) -> None:
    """Cover a directory with an empty read-only tmpfs, where there is one."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(path).st_mode):
            options = f"size={PAGE_BYTES},nr_inodes=1,mode=555"
            syscalls.mount("empty", path, "tmpfs", flags, options)


def pivot(new_root: str) -> None:
    """Make `new_root` the root and let the old tree go.

    Stacking old on new at "." needs no directory for the old one; after the detach nothing of the
    host can be reached by any path.
    """
    os.chdir(new_root)
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".", syscalls.MNT_DETACH)
    os.chdir("/")


VERBS = {
    "mount": Verb(syscalls.mount, "mount {2} {0} on {1}, flags {3}, options {4}"),
    "unmount": Verb(unmount, "take away what is mounted on {0}"),
    "bind": Verb(bind, "bind {0} on {1} with attributes {2}, recursively"),
    "make_directory": Verb(make_directory, "make directory {0}"),
    "make_file": Verb(make_file, "make file {0}"),
    "copy_file": Verb(copy_file, "copy {0} to {1}"),
    "make_link": Verb(make_link, "make link {1} to {0}"),
    "make_owned": Verb(make_owned, "make directory {0} of user {2}"),
    "mask": Verb(mask, "cover {0} with /dev/null"),
    "mask_directory": Verb(mask_directory, "cover {0} with nothing"),
    "pivot": Verb(pivot, "make {0} the root and let the host's tree go"),
}
