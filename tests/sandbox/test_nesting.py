"""The policy `nested`: sandboxes in a sandbox work, and stay inside it with all that they do."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from house import (
    SLOWNESS,
    House,
    descendants,
    eventually,
    has,
    seconds,
    status_of,
    text_of,
    wait_cancelled,
)
from lane import unavailable

import sandboxd
from sandboxd.errors import HostError, PreconditionError
from sandboxd.host import Settings
from sandboxd.identity import IdMode
from sandboxd.model.job import Job
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import EnforcedLimit, Exited, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandboxd.model.outcome import RunResult

CHECKOUT = Path(sandboxd.__file__).resolve().parents[1]
INNER = (sys.executable, "-m", "sandboxd", "run")
ROOM = Limits(memory_bytes=512 * MIB, cpu_time=seconds(30), wall_time=seconds(60))
REFUSED = {str(number) for number in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS)}

INSIDE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWCGROUP, NEWUSER, NEWPID, NEWNET = 0x20000, 0x2000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
def did(result):
    return 0 if result >= 0 else ctypes.get_errno()
def mount(source, target, kind=None, flags=0, options=None):
    words = [word and word.encode() for word in (source, target, kind)]
    return did(libc.mount(*words, ctypes.c_ulong(flags), options and options.encode()))
def umount(target):
    return did(libc.umount2(target.encode(), 2))
def tried(work, *arguments):
    try:
        work(*arguments)
    except OSError as error:
        return error.errno
    return 0
def write(path, text):
    with open(path, 'w') as file:
        file.write(text)
def become_root(flags=0):
    user, group = os.getuid(), os.getgid()
    assert did(libc.unshare(NEWUSER | NEWNS | flags)) == 0, ctypes.get_errno()
    write('/proc/self/setgroups', 'deny')
    write('/proc/self/uid_map', f'0 {user} 1')
    write('/proc/self/gid_map', f'0 {group} 1')
    assert os.getuid() == os.getgid() == 0
"""
"""What a hostile program needs to become root of a user namespace of its own."""


@pytest.fixture(scope="module")
def nested() -> Iterator[House]:
    """Give a supervisor whose root shows this checkout and its interpreter."""
    if os.geteuid() == 0:
        unavailable("this lane runs as an ordinary user: see scripts/as_test_user.py")
    places = {CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)}
    unasked = "/usr/", "/tmp/"  # there anyway; refused, see `needs_checkout`
    binds = sorted(str(p) for p in places if p.is_dir() and not f"{p}/".startswith(unasked))
    try:
        with House(Settings(root_binds=tuple(binds))) as house:
            house.supervisor.check(Job(argv=("true",), policy="nested"))
            yield house
    except (HostError, PreconditionError) as error:
        unavailable(str(error))


def needs_checkout() -> None:
    """Skip where a sandbox cannot be shown this checkout."""
    if CHECKOUT.is_relative_to("/tmp"):
        pytest.skip("the checkout lies in /tmp, which a sandbox has for itself")


def inner(house: House, *arguments: str, **fields: Any) -> RunResult:
    """Run `sandboxd run` in a sandbox for sandboxes."""
    needs_checkout()
    return house.run(
        *INNER, *arguments, **{"limits": ROOM, "working_directory": str(CHECKOUT), **fields},
        policy="nested",
    )  # fmt: skip


def as_inner_root(house: House, code: str, flags: str = "0", **fields: Any) -> list[str]:
    """Run code as root of a user and a mount namespace of its own; give the words that it wrote."""
    whole = f"{INSIDE}\nbecome_root({flags})\n{code}"
    return house.evaluate(whole, policy="nested", **fields).split()


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""  # it has ended since it was listed


def nothing_is_left(house: House) -> bool:
    house.settle()
    return not house.sandboxed() and not any("/jobs/" in path for path in house.cgroups())


# --- it works, and says what it is ----------------------------------------------------------------


def test_a_sandbox_runs_in_a_sandbox(nested: House) -> None:
    script = "id -u; echo $$; echo in > /workspace/file && cat /workspace/file"
    assert text_of(inner(nested, "--", "/bin/sh", "-c", script)).splitlines() == ["1000", "2", "in"]


def test_an_inner_outcome_is_told_outside_as_it_is(nested: House) -> None:
    assert inner(nested, "--", "/bin/sh", "-c", "exit 7").ending == Exited(7)
    over = inner(nested, "--cpu-time", "0.2s", "--", "/bin/sh", "-c", "while :; do :; done")
    assert over.ending == Exited(124)
    assert b"limit exceeded: cpu_time" in over.stderr.data


def test_an_inner_memory_limit_holds_too(nested: House) -> None:
    hog = "import time; kept = b'x' * (1 << 28); time.sleep(60)"
    over = inner(nested, "--memory", "64MiB", "--", "/usr/bin/python3", "-I", "-c", hog)
    assert over.ending == Exited(124)
    assert b"limit exceeded: memory_bytes" in over.stderr.data


def test_an_inner_sandbox_has_nesting_closed(nested: House) -> None:
    assert inner(nested, "--", "unshare", "--user", "true").ending == Exited(1)


def test_the_inner_sandboxd_says_what_is_weaker_there(nested: House) -> None:
    needs_checkout()
    code = """
from sandboxd.host import probe_host
host = probe_host()
print(host.id_mode.value, host.cgroup_rung, *(weakness.subject for weakness in host.weaknesses))
"""
    found = nested.output(
        sys.executable, "-c", code, policy="nested", working_directory=str(CHECKOUT)
    )
    mode, rung, *weaker = found.split()
    assert (mode, rung) == ("single", "none")
    assert {"ids", "memory_bytes", "process_count", "cpu_time"} <= set(weaker)


def test_nesting_ends_at_the_second_sandbox_in_plain_words(nested: House) -> None:
    refused = inner(nested, "--policy", "nested", "--", "echo", "ran")
    assert refused.ending == Exited(125)
    assert refused.stdout.data == b""
    assert b"nesting ends there" in refused.stderr.data


def test_other_makers_of_sandboxes_work(nested: House) -> None:
    assert nested.output("unshare", "-Ur", "id", "-u", policy="nested") == "0\n"
    script = "mount -t tmpfs own /tmp && hostname inner && hostname && ls /tmp"
    whole = ("unshare", "-Urmnipuf", "--mount-proc", "/bin/sh", "-c", script)
    assert nested.output(*whole, policy="nested") == "inner\n"
    if has("bwrap"):
        kinds = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts")  # not net
        own = ("--ro-bind", "/", "/", *kinds, "--proc", "/proc", "--dev", "/dev")
        assert nested.output("bwrap", *own, "echo", "in", policy="nested") == "in\n"


def test_the_outcome_says_that_landlock_keeps_no_files(nested: House) -> None:
    outcome = nested.run("true", policy="nested").outcome
    assert EnforcedLimit("landlock", "files, TCP", "none") in outcome.enforced
    assert "none" not in {row.mechanism for row in nested.run("true").outcome.enforced}


def test_a_host_with_single_ids_refuses_it_before_anything_starts() -> None:
    if os.geteuid() == 0:
        unavailable("this lane runs as an ordinary user: see scripts/as_test_user.py")
    with House(Settings(id_mode=IdMode.SINGLE)) as house:
        with pytest.raises(PreconditionError) as refused:
            house.run("true", policy="nested")
        assert refused.value.reason == "NESTING_UNAVAILABLE"
        assert "subuids" in refused.value.remedy
        assert house.run("true").ending == Exited(0)


# --- the outer limits hold whatever is nested -----------------------------------------------------

BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


def test_a_fork_bomb_in_an_inner_sandbox_meets_the_outer_limit(nested: House) -> None:
    limits = Limits(process_count=40, cpu_time=seconds(3 * SLOWNESS), wall_time=seconds(20))
    bomb = ("--processes", "1000", "--wall-time", "60s", "--cpu-time", "60s", "--")
    result = inner(nested, *bomb, "/usr/bin/python3", "-I", "-c", BOMB, limits=limits)
    assert result.ending in {LimitExceeded("cpu_time"), LimitExceeded("wall_time")}
    assert "process_count" in result.outcome.limits_touched
    assert nothing_is_left(nested)


def test_a_memory_hog_in_an_inner_sandbox_meets_the_outer_limit(nested: House) -> None:
    hog = "import time; kept = b'x' * (1 << 30); time.sleep(60)"
    limits = Limits(memory_bytes=256 * MIB, cpu_time=seconds(30), wall_time=seconds(60))
    arguments = ("--memory", "2GiB", "--", "/usr/bin/python3", "-I", "-c", hog)
    result = inner(nested, *arguments, limits=limits)
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.usage.peak_memory_bytes <= 256 * MIB
    assert nothing_is_left(nested)


def test_files_in_an_own_tmpfs_count_as_the_jobs_memory(nested: House) -> None:
    code = f"""{INSIDE}
become_root()
assert mount('own', '/tmp', 'tmpfs', 0, 'size=4g') == 0
with open('/tmp/file', 'wb') as file:
    while True:
        file.write(bytes(1 << 20))
"""
    limits = Limits(
        memory_bytes=128 * MIB,
        file_size_bytes=1024 * MIB,
        cpu_time=seconds(30),
        wall_time=seconds(60),
    )
    result = nested.python(code, policy="nested", limits=limits)
    assert result.ending == LimitExceeded("memory_bytes")
    assert nothing_is_left(nested)


def test_nothing_nested_outlives_its_job(nested: House) -> None:
    script = "echo up; exec sleep 1000"
    whole = ("unshare", "-Urmpf", "--kill-child", "--mount-proc", "/bin/sh", "-c", script)
    running = nested.start(*whole, policy="nested")
    running.wait_for(b"up")
    assert nested.sandboxed()
    running.cancel()
    wait_cancelled(running)
    eventually(lambda: nothing_is_left(nested))


def test_namespaces_are_counted_however_deep_they_lie(nested: House) -> None:
    code = """
count = 0
wait, go = os.pipe()
for _ in range(300):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b'0' if libc.unshare(NEWUSER) else b'1')
        os.close(go)
        os.read(wait, 1)
        os._exit(0)
    os.close(writer)
    count += os.read(reader, 1) == b'1'
    os.close(reader)
print(count)
"""
    limits = Limits(process_count=400, memory_bytes=512 * MIB)
    (count,) = as_inner_root(nested, code, limits=limits)
    assert 100 < int(count) < 128


def test_processors_and_rlimits_cannot_be_widened(nested: House) -> None:
    code = """
import resource
print(tried(os.sched_setaffinity, 0, range(64)))
for name in ('NOFILE', 'FSIZE', 'STACK', 'MEMLOCK'):
    try:
        resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (1 << 40, 1 << 40))
    except (ValueError, OSError):  # Python's word for EPERM here
        print('refused')
    else:
        print('raised')
"""
    affinity, *limits = as_inner_root(nested, code)
    assert affinity == str(errno.EPERM)
    assert limits == ["refused"] * 4


# --- no way out -----------------------------------------------------------------------------------


def test_read_only_mounts_stay_read_only_for_an_inner_root(nested: House) -> None:
    code = """
for path in ('/', '/usr', '/dev/null'):
    print(mount(None, path, None, REMOUNT | BIND), mount(None, path, None, REMOUNT | BIND | NOSUID))
os.mkdir('/tmp/copy')
assert mount('/', '/tmp/copy', None, BIND | REC) == 0
print(mount(None, '/tmp/copy', None, REMOUNT | BIND), mount(None, '/tmp/copy/usr', None, REMOUNT))
print(mount('/usr', '/tmp/copy', None, BIND), tried(write, '/tmp/copy/new', 'x'))
print(tried(write, '/new', 'x'), tried(write, '/usr/new', 'x'), tried(write, '/etc/passwd', 'x'))
"""
    found = as_inner_root(nested, code)
    bind_of_usr = found.pop(8)
    assert bind_of_usr in {"0", str(errno.EINVAL)}
    assert set(found) <= REFUSED, found


def test_what_the_outer_sandbox_mounted_cannot_be_uncovered(nested: House) -> None:
    code = """
for path in ('/proc', '/usr', '/tmp', '/workspace', '/dev/shm', '/dev/null', '/'):
    print(umount(path))
print(mount('/', '/tmp', None, BIND))
"""
    locked = {str(errno.EINVAL), str(errno.EPERM), str(errno.EBUSY)}
    found = as_inner_root(nested, code)
    assert set(found) <= locked, found


def test_an_inner_root_cannot_climb_above_the_outer_root(nested: House) -> None:
    code = """
before = sorted(os.listdir('/'))
os.mkdir('/tmp/jail')
up = os.open('/', os.O_RDONLY)
os.chroot('/tmp/jail')
os.fchdir(up)
for _ in range(100):
    os.chdir('..')
os.chroot('.')
print(sorted(os.listdir('/')) == before, tried(os.stat, '/root'), tried(os.stat, '/etc/shadow'))
print(did(libc.syscall(304, -100, 0, 0)))
"""
    same, *refused = as_inner_root(nested, code)
    assert same == "True"
    assert set(refused) <= REFUSED


def test_init_is_out_of_reach_of_an_inner_root(nested: House) -> None:
    code = """
import signal
print(*(tried(os.kill, 1, number) for number in (0, signal.SIGTERM, signal.SIGKILL)))
print(did(libc.ptrace(16, 1, 0, 0)), did(libc.ptrace(0x4206, 1, 0, 0)))
for name in ('mem', 'environ', 'maps', 'auxv', 'ns/mnt', 'ns/user', 'fd/0', 'cwd/x', 'root/etc'):
    print(tried(os.open, '/proc/1/' + name, os.O_RDONLY))
fd = os.pidfd_open(1)
print(did(libc.setns(fd, NEWNS)), did(libc.setns(fd, NEWUSER)), did(libc.syscall(438, fd, 0, 0)))
print(tried(os.listdir, '/proc/1/fd'), tried(write, '/proc/1/oom_score_adj', '0'))
"""
    found = as_inner_root(nested, code)
    assert set(found) <= REFUSED, found


def test_only_the_programs_own_id_can_be_mapped(nested: House) -> None:
    code = f"""{INSIDE}
def mapped(line):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        libc.unshare(NEWUSER)
        os.write(writer, b'1')
        libc.pause()
    os.read(reader, 1)
    return tried(write, f'/proc/{{pid}}/uid_map', line)
print(mapped('0 0 1'), mapped('0 1001 1'), mapped('0 1000 2'), mapped('0 65534 1'), mapped('0 0 1'))
become_root()
print(tried(os.setuid, 1), tried(os.chown, '/tmp', 1, 1), tried(os.setgroups, [0]))
"""
    found = nested.evaluate(code, policy="nested").split()
    assert set(found) <= {str(errno.EPERM), str(errno.EINVAL)}, found


def test_an_inner_root_is_on_the_host_the_jobs_own_ordinary_user(nested: House) -> None:
    code = f"""{INSIDE}
become_root()
print('root', os.getuid(), flush=True)
libc.pause()
"""
    running = nested.start("/usr/bin/python3", "-I", "-c", code, policy="nested")
    running.wait_for(b"root 0\n")
    below = descendants(nested.launcher())
    programs = [pid for pid in below if b"libc.pause" in command_line(pid)]
    owners = {int(uid) for pid in programs for uid in status_of(pid)["Uid"].split()}
    running.cancel()
    wait_cancelled(running)
    assert len(programs) == 1
    assert owners <= set(nested.host_ids())


def test_there_is_no_device_and_no_way_to_make_one(nested: House) -> None:
    code = """
assert mount('own', '/tmp', 'tmpfs') == 0
for kind, device in ((0o020000, os.makedev(1, 1)), (0o060000, os.makedev(8, 0))):
    print(tried(os.mknod, '/tmp/device', kind | 0o666, device))
print(mount('own', '/tmp', 'devtmpfs'), mount('/dev/null', '/tmp', 'ext4'))
"""
    refused = REFUSED | {str(errno.ENOTBLK), str(errno.ENODEV)}
    found = as_inner_root(nested, code)
    assert set(found) <= refused, found


def test_sysfs_and_other_windows_of_the_kernel_cannot_be_mounted(nested: House) -> None:
    kinds = ("sysfs", "securityfs", "debugfs", "tracefs", "configfs", "pstore", "efivarfs")
    code = f"print(*(mount('own', '/tmp', kind) for kind in {kinds}))"
    found = as_inner_root(nested, code, "NEWNET")
    assert set(found) <= {str(errno.EPERM), str(errno.ENODEV), str(errno.EOPNOTSUPP)}, found


def test_no_cgroup_can_be_changed_through_a_mount_of_its_own(nested: House) -> None:
    code = """
names = ('memory', 'pids', 'cpu', 'cpuacct', 'cpu,cpuacct', 'cpuset', 'devices', 'freezer', 'blkio')
options = [('cgroup2', None), *(('cgroup', name) for name in (*names, 'none,name=systemd'))]
mounted = []
for kind, option in options:
    if mount('own', '/tmp', kind, 0, option):
        continue
    mounted.append(option or kind)
    for place, _, names in os.walk('/tmp'):
        print(tried(os.mkdir, place + '/new'))
        for name in names:
            if os.stat(f'{place}/{name}').st_mode & 0o222:
                print(tried(os.open, f'{place}/{name}', os.O_WRONLY))
    umount('/tmp')
print('mounted:', *mounted)
"""
    found = as_inner_root(nested, code, "NEWCGROUP")
    tries = found[: found.index("mounted:")]
    assert set(tries) <= REFUSED, found
    assert tries, f"nothing was tried: {found}"


def test_the_kernels_own_settings_stay_as_they_are(nested: House) -> None:
    code = """
for name in ('kernel/core_pattern', 'kernel/hostname', 'vm/overcommit_memory', 'fs/file-max',
             'user/max_user_namespaces', 'kernel/modprobe', 'kernel/sysrq'):
    print(tried(write, '/proc/sys/' + name, '|/bin/sh'))
for name in ('sysrq-trigger', 'kcore', 'kmsg', 'timer_list', 'irq/default_smp_affinity'):
    print(tried(os.open, '/proc/' + name, os.O_RDWR))
"""
    found = as_inner_root(nested, code)
    refused = REFUSED | {str(errno.EINVAL)}
    assert set(found) <= refused, found


def test_keys_of_others_stay_out_of_reach(nested: House) -> None:
    code = """
named = libc.syscall(250, 1, b'shared')
print(did(named), did(libc.syscall(250, 0, -4, 0)), did(libc.syscall(250, 5, -4, 0x3f3f3f3f)))
print(did(libc.syscall(248, b'user', b'name', b'x', 1, -3)), did(libc.syscall(250, 11, -3, 0, 0)))
"""
    found = as_inner_root(nested, code)
    assert set(found) <= REFUSED, found


@pytest.mark.parametrize("family", [16, 17, 38, 40])
def test_an_own_network_namespace_opens_no_further_socket_family(
    nested: House, family: int
) -> None:
    code = f"""
import socket
print(tried(socket.socket, {family}, socket.SOCK_RAW), tried(socket.socket, 2, socket.SOCK_RAW))
"""
    found = as_inner_root(nested, code, "NEWNET")
    refused = {errno.EPERM, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
    assert set(found) <= {str(number) for number in refused}
