"""A sandbox shows nothing of the host, of another sandbox, or of its own init."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from house import House, Running, fields_of, status_of, wait_cancelled

from sandboxd.identity import IdMode
from sandboxd.model.job import DEFAULT_ENV, InputFile, Network
from sandboxd.model.outcome import Exited, Signaled

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
LINKS = f"import os; print(*(os.readlink('/proc/self/ns/' + n) for n in {NAMESPACES}))"
CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    libc.syscall(*map(ctypes.c_long, arguments))
    return ctypes.get_errno()
"""
PTRACE, UNSHARE, SETNS, MOUNT, KEYCTL, ADD_KEY, BPF, IO_URING = (
    101,
    272,
    308,
    165,
    250,
    248,
    321,
    425,
)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
CLONE_NEWUSER = 0x10000000
AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 16, 17, 38, 40


def status(house: House, **fields: object) -> dict[str, str]:
    """Give /proc/self/status of a program that changes nothing itself, unlike Python."""
    return fields_of(house.output("/bin/cat", "/proc/self/status", **fields))


def live(house: House) -> Running:
    running = house.start("/bin/sh", "-c", "echo ready; exec sleep 60")
    running.wait_for(b"ready")
    return running


def only_program(house: House, before: dict[int, int]) -> tuple[int, int]:
    """Give pid and host id of the one program that has started since `before`."""
    found = {
        pid: uid
        for pid, uid in house.sandboxed().items()
        if pid not in before
        and status_of(pid)["Name"] in {"sh", "sleep"}  # before or after its exec
    }
    assert len(found) == 1, found
    return next(iter(found.items()))


def test_all_seven_namespaces_differ_from_the_daemons_and_from_another_live_sandbox(
    house: House,
) -> None:
    ours = [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    script = f"{LINKS}; import sys, time; sys.stdout.flush(); time.sleep(60)"
    other = house.start("/usr/bin/python3", "-c", script)
    others = other.wait_for().decode().split()
    links = house.evaluate(LINKS).split()
    other.cancel()
    wait_cancelled(other)
    for name, our, other_link, link in zip(NAMESPACES, ours, others, links, strict=True):
        assert link.startswith(f"{name}:["), link
        assert len({our, other_link, link}) == 3, (our, other_link, link)


def test_concurrent_programs_have_different_host_ids_of_the_range(house: House) -> None:
    if house.host.id_mode is IdMode.SINGLE:
        pytest.skip("without subordinate ids every job has the daemon's own id")
    first_before = house.sandboxed()
    first = live(house)
    _, first_id = only_program(house, first_before)
    second_before = house.sandboxed()
    second = live(house)
    _, second_id = only_program(house, second_before)
    everybody = set(house.sandboxed().values())
    first.cancel()
    second.cancel()
    wait_cancelled(first)
    wait_cancelled(second)
    assert first_id != second_id
    assert {first_id, second_id} <= set(house.host_ids())
    assert not {0, os.getuid()} & everybody
    assert len(everybody) == 4, "two inits and two programs, each under an id of its own"


def test_the_program_is_an_ordinary_user_without_further_groups(house: House) -> None:
    found = status(house)
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Gid"].split() == ["1000"] * 4
    assert found["Groups"] == ""
    assert house.output("id", "-un").strip() == "sandbox"


def test_no_capability_is_in_any_set(house: House) -> None:
    found = status(house)
    sets = [found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    assert sets == ["0000000000000000"] * 5


def test_no_new_privileges_and_a_filter_are_on(house: House) -> None:
    found = status(house)
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2"


def test_the_only_interface_is_loopback_and_it_is_down(house: House) -> None:
    lines = house.output("/bin/cat", "/proc/self/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] == ["lo"]
    assert house.evaluate(FLAGS_OF_LOOPBACK).strip() == "0"
    result = house.python("import socket; socket.create_connection(('127.0.0.1', 9))")
    assert result.ending == Exited(1)
    assert b"refused" not in result.stderr.data, "nothing may even answer"


FLAGS_OF_LOOPBACK = """
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    answer = fcntl.ioctl(s, 0x8913, struct.pack('16sH14x', b'lo', 0))
print(struct.unpack_from('H', answer, 16)[0] & 1)
"""


def test_loopback_works_when_it_is_asked_for(house: House) -> None:
    code = """
import socket
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b'hello')
print(peer.recv(5).decode(), socket.gethostbyname('localhost'))
"""
    assert house.evaluate(code, network=Network.LOOPBACK) == "hello 127.0.0.1\n"


def test_only_own_processes_are_visible(house: House) -> None:
    code = "import os; print(os.getpid(), *(n for n in os.listdir('/proc') if n.isdigit()))"
    own, *visible = house.evaluate(code).split()
    assert visible == [own]


def test_only_the_three_standard_descriptors_are_open(house: House) -> None:
    code = """
import os
def there(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print(*(fd for fd in range(4096) if there(fd)))
"""
    assert house.evaluate(code) == "0 1 2\n"
    assert house.evaluate(code, stdin=b"x", merge_stderr=True) == "0 1 2\n"
    given = (InputFile("x", b"y"),)
    assert house.evaluate(code, files=given) == "0 1 2\n"


def test_the_environment_is_exactly_as_asked(house: House) -> None:
    def environment(**env: str) -> dict[str, str]:
        lines = house.output("/usr/bin/env", "-0", env=env).split("\0")[:-1]
        return dict(line.split("=", 1) for line in lines)

    assert environment() == dict(DEFAULT_ENV)
    asked = {"A": "1", "EMPTY": "", "ODD": "a=b\nc", "HOME": "/tmp"}
    assert environment(**asked) == {**DEFAULT_ENV, **asked}


def test_mountinfo_shows_system_directories_where_they_are_and_no_other_host_path(
    house: House,
) -> None:
    lines = house.output("/bin/cat", "/proc/self/mountinfo").splitlines()
    assert lines
    for line in lines:
        before, _, after = line.partition(" - ")
        root, place, flags = before.split()[3:6]
        kind, source, options = after.split()
        assert "nosuid" in flags.split(","), line
        if kind in {"tmpfs", "proc"} and source in {"root", "scratch", "proc", "empty"}:
            assert root == "/" or place.endswith(root), line
        elif place.startswith("/dev/"):
            assert root == "/" + os.path.basename(place), line
        else:
            assert place.startswith(("/usr", "/bin", "/lib", "/sbin", "/etc/")), line
            assert root in {"/", place}, line
            assert "ro" in flags.split(","), line
        assert not {"upperdir", "workdir"} & {o.split("=")[0] for o in options.split(",")}, line


def test_no_host_path_is_in_the_cgroup_file(house: House) -> None:
    lines = house.output("/bin/cat", "/proc/self/cgroup").splitlines()
    ours = [line.split(":", 2) for line in lines]
    counted = {*house.host.tree.v1, ""}
    for _, names, path in ours:
        if set(names.split(",")) & counted:
            assert path == "/", lines
        assert "sandboxd" not in path, lines


def test_signals_have_their_default_dispositions_and_none_is_blocked(house: House) -> None:
    found = status(house)
    none = "0000000000000000"
    assert found["SigBlk"] == found["SigIgn"] == found["SigCgt"] == found["SigPnd"] == none


@pytest.mark.parametrize("name", ["TERM", "PIPE", "INT", "HUP", "CHLD", "XFSZ"])
def test_a_signal_to_itself_does_what_it_does_by_default(house: House, name: str) -> None:
    result = house.shell(f"kill -{name} $$")
    assert result.ending == (Exited(0) if name == "CHLD" else Signaled(name))


def test_inits_directory_in_proc_is_closed(house: House) -> None:
    code = """
import os
for path in ('/proc/1', '/proc/1/cmdline', '/proc/1/root', '/proc/1/fd'):
    try:
        os.listdir(path) if path in ('/proc/1', '/proc/1/fd') else open(path).read()
    except OSError as error:
        print(error.errno)
    else:
        print('open', path)
"""
    allowed = {str(errno.ENOENT), str(errno.EACCES), str(errno.EPERM)}
    assert set(house.evaluate(code).split()) <= allowed


def test_init_can_be_neither_killed_nor_traced_nor_limited(house: House) -> None:
    code = f"""{CALL}
for number in (0, {signal.SIGTERM:d}, {signal.SIGKILL:d}):
    try:
        os.kill(1, number)
    except OSError as error:
        print(error.errno)
    else:
        print('sent')
print(call({PTRACE}, {PTRACE_ATTACH}, 1, 0, 0), call({PTRACE}, {PTRACE_SEIZE}, 1, 0, 0))
try:
    import resource
    resource.prlimit(1, resource.RLIMIT_NOFILE, (8, 8))
except OSError as error:
    print(error.errno)
"""
    found = house.evaluate(code).split()
    refused = {str(errno.EPERM), str(errno.ESRCH)}
    assert len(found) == 6
    assert set(found) <= refused, found


def test_everything_but_the_writable_places_is_read_only(house: House) -> None:
    code = """
import os
def write(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        return error.errno
    return 0
places = ('/', '/usr', '/usr/bin', '/etc', '/dev', '/proc', '/etc/ssl/certs')
print(*(write(place + '/new') for place in places), write('/etc/passwd'), write('/usr/bin/env'))
print(*(write(place + '/new') for place in ('/tmp', '/workspace', '/dev/shm', '/dev/..//tmp/')))
print(*(bool(os.statvfs(place).f_flag & os.ST_RDONLY) for place in ('/', '/usr', '/dev/null')))
"""
    refused, allowed, read_only = house.evaluate(code).splitlines()
    assert "0" not in refused.split()
    assert set(refused.split()) <= {str(e) for e in (errno.EROFS, errno.EACCES, errno.ENOENT)}
    assert allowed.split() == ["0"] * 4
    assert read_only.split() == ["True"] * 3


def test_one_sandbox_leaves_no_file_to_the_next(house: House) -> None:
    places = "/tmp /workspace /dev/shm"
    assert house.shell(f"for p in {places}; do echo x > $p/left; done").ending == Exited(0)
    assert house.output("/bin/sh", "-c", f"ls -A {places} | grep -c left || true") == "0\n"


def test_a_nested_user_namespace_is_refused(house: House) -> None:
    code = f"""{CALL}
print(call({UNSHARE}, {CLONE_NEWUSER}), call({SETNS}, 0, {CLONE_NEWUSER}),
      call({MOUNT}, 0, 0, 0, 0, 0))
"""
    assert set(house.evaluate(code).split()) <= {str(errno.EPERM), str(errno.ENOSYS)}
    assert house.run("unshare", "--user", "true").ending == Exited(1)


def test_set_user_id_programs_are_inert(house: House) -> None:
    result = house.run("/usr/bin/su", "--version", env={"LD_SHOW_AUXV": "1"})
    auxiliary = fields_of(result.stdout.data.decode())
    assert auxiliary["AT_EUID"] == "1000"
    assert auxiliary["AT_SECURE"] == "0"


@pytest.mark.parametrize("family", [AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK])
def test_a_dangerous_socket_family_is_refused(house: House, family: int) -> None:
    code = f"""
import ctypes, socket
try:
    socket.socket({family}, socket.SOCK_RAW)
except OSError as error:
    print(error.errno)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(41, ctypes.c_ulong({family} | 1 << 32), 3, 0))
"""
    number, high_bits = house.evaluate(code).split()
    assert int(number) in {errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES}
    assert high_bits == "-1"


def test_keyrings_are_out_of_reach(house: House) -> None:
    code = f"{CALL}\nprint(call({KEYCTL}, 0, -3, 0), call({ADD_KEY}, 0, 0, 0, 0, -3))"
    assert house.evaluate(code).split() == [str(errno.EPERM)] * 2
    assert house.shell("test -e /proc/keys").ending == Exited(1)


@pytest.mark.parametrize("number", [BPF, IO_URING, 323, 298, 175, 246, 310, 311, 428, 429, 430])
def test_a_call_into_the_kernels_depths_is_refused(house: House, number: int) -> None:
    refused = {str(errno.EPERM), str(errno.ENOSYS)}
    assert house.evaluate(f"{CALL}\nprint(call({number}, 0, 0, 0, 0, 0))").strip() in refused


def test_the_host_name_is_the_sandboxes_own(house: House) -> None:
    names = house.evaluate("import os; print(os.uname().nodename)").strip()
    assert names == "sandbox"
    refused = house.python("import socket; socket.sethostname('mine')")
    assert refused.ending == Exited(1)


def test_init_and_daemon_cannot_be_found_through_the_session(house: House) -> None:
    code = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), os.getppid())"
    assert house.evaluate(code).split() == ["True", "1"]


def test_no_terminal_is_in_reach(house: House) -> None:
    assert house.shell("exec 3<>/dev/tty").ending != Exited(0)


def test_the_umask_and_the_working_directory_are_plain(house: House) -> None:
    assert house.output("/bin/sh", "-c", "umask; pwd") == "0022\n/workspace\n"


def test_the_oom_killer_prefers_the_job_and_the_job_cannot_change_that(house: House) -> None:
    assert house.output("/bin/cat", "/proc/self/oom_score_adj") == "1000\n"
    assert house.shell("echo 0 > /proc/self/oom_score_adj").ending != Exited(0)
