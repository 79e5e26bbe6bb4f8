"""Every limit holds, whatever the program does, and says so; the next job is fine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import FORK_UNTIL_REFUSED, SLOWNESS, SPIN, House, eventually, has, seconds

from sandboxd.errors import JobError
from sandboxd.model.job import InputFile
from sandboxd.model.limits import MIB, ROWS, Limits
from sandboxd.model.outcome import Exited, LimitExceeded, Signaled

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = Limits(cpu_time=seconds(5), wall_time=seconds(10), process_count=16)
SANITY = seconds(5)
"""Far above every overshoot that a busy test machine can cause: figures are the benchmark's."""


@pytest.fixture(autouse=True)
def next_job_is_fine(house: House) -> Iterator[None]:
    yield
    assert house.run("/bin/true").ending == Exited(0)


# --- memory ---------------------------------------------------------------------------------------


def test_too_much_memory_ends_the_program(house: House) -> None:
    result = house.python("x = b'x' * (200 << 20)", limits=Limits(memory_bytes=64 * MIB))
    assert result.ending == LimitExceeded("memory_bytes")
    assert result.usage.peak_memory_bytes <= 65 * MIB


def test_memory_below_the_limit_is_there(house: House) -> None:
    result = house.python("x = b'x' * (180 << 20)", limits=Limits(memory_bytes=256 * MIB))
    assert result.ending == Exited(0)


def test_memory_is_summed_over_processes(house: House) -> None:
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        x = b'x' * (40 << 20)
        time.sleep(1)
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    result = house.python(code, limits=Limits(memory_bytes=100 * MIB, wall_time=seconds(20)))
    assert result.ending == LimitExceeded("memory_bytes")


def test_scratch_files_count_as_memory(house: House) -> None:
    if not house.host.tree.limits_by("memory"):
        pytest.skip("no memory controller is delegated")
    limits = Limits(memory_bytes=32 * MIB, scratch_bytes=256 * MIB)
    ending = house.shell("head -c 100000000 /dev/zero > big", limits=limits).ending
    assert ending == LimitExceeded("memory_bytes")


def test_placed_files_do_not_count_as_the_programs_memory(house: House) -> None:
    files = (InputFile("big", b"x" * (40 * MIB)),)
    result = house.run("/bin/true", files=files, limits=Limits(memory_bytes=16 * MIB))
    assert result.ending == Exited(0)


# --- processes ------------------------------------------------------------------------------------


def test_a_fork_bomb_stops_at_process_count(house: House) -> None:
    result = house.python(FORK_UNTIL_REFUSED, limits=SMALL)
    assert result.ending == Exited(0), result
    assert result.stdout.data == b"15 EAGAIN\n"
    assert "process_count" in result.outcome.limits_touched


def test_a_wild_fork_bomb_is_killed_with_all_of_its_processes(house: House) -> None:
    house.settle()
    before = house.sandboxed()
    limits = Limits(cpu_time=seconds(1), wall_time=seconds(5), process_count=32)
    result = house.shell("bomb() { bomb | bomb & }; bomb; while :; do :; done", limits=limits)
    assert result.ending in {LimitExceeded("cpu_time"), LimitExceeded("wall_time"), Exited(2)}
    house.settle()
    assert house.sandboxed() == before


def test_threads_count_as_processes(house: House) -> None:
    code = """
import threading, time
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except RuntimeError:
    print(count, flush=True)
    import os; os._exit(0)
"""
    result = house.python(code, limits=SMALL)
    assert result.stdout.data == b"15\n", result


def test_processes_below_the_limit_are_there_and_no_limit_is_touched(house: House) -> None:
    code = FORK_UNTIL_REFUSED.replace("while True", "for _ in range(15)")
    result = house.python(code, limits=SMALL)
    assert result.ending == Exited(0)
    assert result.outcome.limits_touched == ()


def test_a_zombie_factory_is_reaped(house: House) -> None:
    code = """
import os, sys
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.fork()
        os._exit(0)
    os.waitpid(child, 0)
print('done')
"""
    result = house.python(code, str(500 // SLOWNESS), limits=SMALL)
    assert (result.ending, result.stdout.data) == (Exited(0), b"done\n"), result


def test_a_daemonising_double_fork_dies_before_the_answer(house: House) -> None:
    house.settle()
    before = house.sandboxed()
    code = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 32):
            if number not in (9, 19):
                signal.signal(number, signal.SIG_IGN)
        os.closerange(0, 256)
        time.sleep(60)
    os._exit(0)
os.wait()
"""
    result = house.python(code)
    assert result.ending == Exited(0)
    house.settle()
    assert house.sandboxed() == before
    assert result.usage.wall_time < seconds(30)


def test_a_daemon_that_holds_stdout_open_dies_before_the_answer(house: House) -> None:
    result = house.shell("sleep 60 & echo done")
    assert (result.ending, result.stdout.data) == (Exited(0), b"done\n")
    assert result.usage.wall_time < seconds(30)


# --- time -----------------------------------------------------------------------------------------


def test_a_busy_loop_ends_at_cpu_time(house: House) -> None:
    result = house.python(SPIN, limits=Limits(cpu_time=seconds(0.5)))
    assert result.ending == LimitExceeded("cpu_time")
    assert seconds(0.5) <= result.usage.cpu_time < seconds(0.5) + SANITY


def test_cpu_time_is_summed_over_threads_and_processes(house: House) -> None:
    code = f"""
import os
for _ in range(3):
    if os.fork() == 0:
        {SPIN}
{SPIN}
"""
    limits = Limits(cpu_time=seconds(1), wall_time=seconds(50))
    result = house.python(code, limits=limits)
    assert result.ending == LimitExceeded("cpu_time")
    assert seconds(1) <= result.usage.cpu_time < seconds(1) + SANITY


def test_busy_children_are_counted_while_the_parent_sleeps(house: House) -> None:
    code = f"""
import os
if os.fork() == 0:
    {SPIN}
os.wait()
"""
    result = house.python(code, limits=Limits(cpu_time=seconds(0.5), wall_time=seconds(50)))
    assert result.ending == LimitExceeded("cpu_time")


def test_a_program_that_ends_above_its_cpu_time_has_exceeded_it(house: House) -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass"
    result = house.python(code, limits=Limits(cpu_time=seconds(0.2995)))
    assert result.ending == LimitExceeded("cpu_time")


def test_ignoring_every_signal_does_not_help(house: House) -> None:
    code = f"""
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
{SPIN}
"""
    result = house.python(code, limits=Limits(cpu_time=seconds(0.5)))
    assert result.ending == LimitExceeded("cpu_time")


def test_a_sleeper_ends_at_wall_time(house: House) -> None:
    result = house.run("sleep", "60", limits=Limits(wall_time=seconds(0.3)))
    assert result.ending == LimitExceeded("wall_time")
    assert seconds(0.3) <= result.usage.wall_time < seconds(0.3) + SANITY
    assert result.usage.cpu_time < seconds(0.3)


def test_a_job_that_stops_itself_ends_at_wall_time(house: House) -> None:
    result = house.shell("kill -STOP $$; echo on", limits=Limits(wall_time=seconds(0.3)))
    assert result.ending == LimitExceeded("wall_time")
    assert result.stdout.data == b""


def test_wall_time_follows_cpu_time_when_it_is_not_asked(house: House) -> None:
    result = house.run("/bin/true", limits=Limits(cpu_time=seconds(1.5)))
    assert {e.limit: e.value for e in result.outcome.enforced}["wall_time"] == "4s"


# --- output ---------------------------------------------------------------------------------------


def resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def test_output_above_the_limit_is_counted_and_dropped_in_constant_memory(house: House) -> None:
    house.run("/bin/true")
    before = resident_bytes()
    limits = Limits(output_bytes=1 * MIB, cpu_time=seconds(50), wall_time=seconds(55))
    count = 10_000_000_000 // SLOWNESS
    result = house.run("head", "-c", str(count), "/dev/zero", limits=limits)
    assert result.ending == Exited(0)
    assert result.stdout.data == bytes(1 * MIB)
    assert result.stdout.total_bytes == count
    assert result.stdout.truncated
    assert "output_bytes" in result.outcome.limits_touched
    assert resident_bytes() - before < 64 * MIB


def test_both_streams_are_bounded_each_by_itself(house: House) -> None:
    script = "head -c 5000 /dev/zero; head -c 500 /dev/zero >&2"
    result = house.shell(script, limits=Limits(output_bytes=1000))
    assert (len(result.stdout.data), result.stdout.total_bytes) == (1000, 5000)
    assert (len(result.stderr.data), result.stderr.truncated) == (500, False)


def test_output_exactly_at_the_limit_is_whole(house: House) -> None:
    result = house.run("head", "-c", "1000", "/dev/zero", limits=Limits(output_bytes=1000))
    assert (len(result.stdout.data), result.stdout.truncated) == (1000, False)
    assert result.outcome.limits_touched == ()


def test_no_output_at_all_can_be_asked_for(house: House) -> None:
    result = house.run("echo", "hello", limits=Limits(output_bytes=0))
    assert (result.stdout.data, result.stdout.total_bytes) == (b"", 6)
    assert result.stdout.truncated


def test_too_much_output_ends_the_program_where_that_is_asked(house: House) -> None:
    limits = Limits(output_bytes=1000, stop_on_output=True, wall_time=seconds(50))
    result = house.run("yes", limits=limits)
    assert result.ending == LimitExceeded("output_bytes")
    assert len(result.stdout.data) == 1000


def test_the_streams_keep_their_order_when_merged(house: House) -> None:
    script = "for i in 1 2 3 4 5; do echo out$i; echo err$i >&2; done"
    result = house.shell(script, merge_stderr=True)
    expected = "".join(f"out{i}\nerr{i}\n" for i in range(1, 6))
    assert result.stdout.data.decode() == expected
    assert result.stderr.data == b""


def test_closing_the_output_and_going_on_is_no_end(house: House) -> None:
    result = house.shell("echo a; exec >&- 2>&-; sleep 0.3; exit 7")
    assert (result.ending, result.stdout.data) == (Exited(7), b"a\n")
    assert result.usage.wall_time >= seconds(0.3)


def test_everything_written_just_before_the_end_is_there(house: House) -> None:
    result = house.python("import os; [os.write(1, b'x' * 4096) for _ in range(64)]; os._exit(0)")
    assert len(result.stdout.data) == 64 * 4096


# --- files ----------------------------------------------------------------------------------------


def test_a_full_scratch_space_refuses_and_is_named(house: House) -> None:
    code = """
import errno
try:
    file = open('/tmp/big', 'wb', buffering=0)
    for _ in range(1000):
        file.write(bytes(4096))
except OSError as error:
    print(errno.errorcode[error.errno], file.tell())
"""
    result = house.python(code, limits=Limits(scratch_bytes=1 * MIB))
    assert result.ending == Exited(0), result
    assert result.stdout.data.decode() == f"ENOSPC {MIB}\n"
    assert result.outcome.limits_touched == ("scratch_bytes",)


def test_all_writable_places_share_one_scratch_space(house: House) -> None:
    script = "for p in /tmp /workspace /dev/shm; do head -c 400000 /dev/zero > $p/f || exit 9; done"
    result = house.shell(script, limits=Limits(scratch_bytes=1 * MIB))
    assert result.ending == Exited(9)


def test_too_many_files_are_refused_and_named(house: House) -> None:
    code = """
import errno
for count in range(100):
    try:
        open(f'/tmp/{count}', 'x').close()
    except OSError as error:
        print(count, errno.errorcode[error.errno])
        break
"""
    result = house.python(code, limits=Limits(file_count=10))
    assert result.stdout.data == b"10 ENOSPC\n", result
    assert result.outcome.limits_touched == ("file_count",)


def test_placed_files_leave_the_asked_count_and_space_to_the_program(house: House) -> None:
    files = tuple(InputFile(f"in/{n}", bytes(5000)) for n in range(5))
    script = "touch a b c && head -c 8192 /dev/zero > a && ! touch d 2>/dev/null"
    result = house.shell(script, files=files, limits=Limits(file_count=3, scratch_bytes=8192))
    assert result.ending == Exited(0), result


@pytest.mark.parametrize("limits", [Limits(scratch_bytes=0), Limits(file_count=0)])
def test_no_scratch_space_means_that_nothing_can_be_written(house: House, limits: Limits) -> None:
    code = """
import errno
for place in ('/tmp', '/workspace', '/dev/shm'):
    try:
        open(place + '/new', 'x')
    except OSError as error:
        print(errno.errorcode[error.errno])
print(open('given').read())
try:
    open('given', 'w')
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    result = house.python(code, files=(InputFile("given", b"input"),), limits=limits)
    assert result.stdout.data.split() == [b"EROFS", b"EROFS", b"EROFS", b"input", b"EROFS"], result
    assert result.outcome.limits_touched == ()


def test_too_large_a_file_ends_the_program_with_xfsz(house: House) -> None:
    limits = Limits(file_size_bytes=1 * MIB)
    result = house.run("dd", "if=/dev/zero", "of=f", "bs=1M", "count=2", limits=limits)
    assert result.ending == Signaled("XFSZ")
    assert "file_size_bytes" in result.outcome.limits_touched


def test_too_many_open_files_are_refused(house: House) -> None:
    code = """
import errno, os
count = 3
try:
    while True:
        os.open('/dev/null', os.O_RDONLY)
        count += 1
except OSError as error:
    print(count, errno.errorcode[error.errno])
"""
    result = house.python(code, limits=Limits(open_file_count=64))
    assert result.stdout.data == b"64 EMFILE\n", result


def test_a_limit_cannot_be_raised_again(house: House) -> None:
    code = """
import resource
for name in ('NOFILE', 'NPROC', 'FSIZE', 'STACK', 'CORE', 'MEMLOCK', 'MSGQUEUE', 'CPU'):
    number = getattr(resource, 'RLIMIT_' + name, 12)
    soft, hard = resource.getrlimit(number)
    try:
        resource.setrlimit(number, (hard, hard + 1))
    except (OSError, ValueError):
        pass
    else:
        print(name)
"""
    assert house.evaluate(code) == ""


# --- stack, core, address space, processors -------------------------------------------------------


@pytest.mark.skipif(not has("gcc"), reason="gcc is not installed in /usr")
def test_endless_recursion_ends_with_segv_and_no_core(house: House) -> None:
    source = "int f(int n) { volatile char page[4096]; page[0] = n; return f(n + 1) + page[0]; }"
    binary = house.build("gcc", source + "int main(int c, char **v) { return f(c); }", "-w")
    result = house.run_built(binary, limits=Limits(stack_bytes=1 * MIB))
    assert result.ending == Signaled("SEGV", core_dumped=False)


@pytest.mark.skipif(not has("gcc"), reason="gcc is not installed in /usr")
def test_the_asked_stack_is_there(house: House) -> None:
    source = """
int main(void) { volatile char big[48 << 20]; for (int i = 0; i < (48 << 20); i += 4096) big[i] = 1;
return 0; }
"""
    binary = house.build("gcc", source)
    assert house.run_built(binary, limits=Limits(stack_bytes=64 * MIB)).ending == Exited(0)
    assert house.run_built(binary, limits=Limits(stack_bytes=8 * MIB)).ending == Signaled("SEGV")


def test_address_space_is_limited_when_it_is_asked(house: House) -> None:
    limits = Limits(address_space_bytes=512 * MIB)
    result = house.python("import mmap; mmap.mmap(-1, 1 << 30)", limits=limits)
    assert result.ending == Exited(1)
    assert house.python("import mmap; mmap.mmap(-1, 1 << 30)").ending == Exited(0)


def test_a_job_sees_the_processors_that_it_asked_for(house: House) -> None:
    code = "import os; print(len(os.sched_getaffinity(0)))"
    assert house.evaluate(code) == "1\n"
    most = house.host.processor_count
    assert house.evaluate(code, limits=Limits(cpu_count=float(most))) == f"{most}\n"


def test_a_fraction_of_a_processor_is_held(house: House) -> None:
    if not house.host.tree.limits_by("cpu"):
        pytest.skip("no cpu controller is delegated")
    limits = Limits(cpu_count=0.2, wall_time=seconds(2), cpu_time=seconds(10))
    result = house.python(SPIN, limits=limits)
    assert result.ending == LimitExceeded("wall_time")
    assert result.usage.cpu_time < seconds(1)
    assert result.usage.throttled_time > seconds(0)


# --- what the answer says -------------------------------------------------------------------------


def test_every_limit_is_echoed_with_its_mechanism(house: House) -> None:
    result = house.run("/bin/true", limits=Limits(address_space_bytes=1 << 40))
    enforced = {entry.limit: entry for entry in result.outcome.enforced}
    assert list(enforced) == [*(row.name for row in ROWS), "landlock"]
    assert len(result.outcome.enforced) == len(enforced)
    assert all(entry.value for entry in enforced.values())
    assert all(entry.mechanism not in {"", "none"} for entry in enforced.values())


def test_the_echo_shows_what_was_asked(house: House) -> None:
    limits = Limits(memory_bytes=64 * MIB, cpu_time=seconds(0.25), process_count=7, cpu_count=1)
    result = house.run("/bin/true", limits=limits)
    values = {entry.limit: entry.value for entry in result.outcome.enforced}
    assert values["memory_bytes"] == str(64 * MIB)
    assert values["cpu_time"] == "0.25s"
    assert values["process_count"] == "7"
    assert values["cpu_count"] == "1"
    assert int(values["file_size_bytes"]) >= int(values["scratch_bytes"]), "full before too large"


def test_the_kernel_holds_the_rlimits_that_the_echo_names(house: House) -> None:
    limits = Limits(open_file_count=77, stack_bytes=3 * MIB, file_size_bytes=12345)
    code = """
import resource as r
print(*(r.getrlimit(n) for n in (r.RLIMIT_NOFILE, r.RLIMIT_STACK, r.RLIMIT_FSIZE)))
"""
    expected = f"(77, 77) ({3 * MIB}, {3 * MIB}) (12345, 12345)\n"
    assert house.evaluate(code, limits=limits) == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_above_the_ceiling_is_refused_and_nothing_starts(house: House, row: object) -> None:
    ceiling = getattr(house.host.ceilings, row.name)
    with pytest.raises(JobError) as refused:
        house.run("/bin/true", limits=Limits(**{row.name: ceiling * 2 + type(ceiling)(1)}))
    assert [v.field for v in refused.value.violations] == [f"limits.{row.name}"]


def test_no_process_is_left_after_all_this(house: House) -> None:
    eventually(lambda: not house.sandboxed())
