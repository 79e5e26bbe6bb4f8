"""Measures how exact limits and accounts are: beyond limits, times, memory, noise between runs.

    python benchmarks/exactness.py

One C program burns processor time, touches memory or sleeps, exactly as much as it is told, and
says what it did by its own clocks; the supervisor, which is in this process, says what it counted.
The loaded cases run eight jobs at once. Takes about a minute.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Figures, describe_machine, distribution, is_quick, machine, run_benchmark
from tables import print_distributions

from sandboxd.host import Settings, probe_host
from sandboxd.model.job import InputFile, Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded
from sandboxd.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandboxd.model.outcome import RunResult, Usage

MIB = 1 << 20
MILLISECOND = timedelta(milliseconds=1)
RUNS = 5 if is_quick() else 20
NOISE_RUNS = 20 if is_quick() else 100
LIMIT = 200 * MILLISECOND
AT_ONCE = 8
"""Jobs at once, more than there are processors: what is killed needs a turn on one to end."""
STAGGER = 25 * MILLISECOND
"""Between the limits of jobs that run at once, so that they are hit one after another."""
BURNT = 200
"""Milliseconds of processor time in all, whoever burns them."""
BURNERS = ("itself", "threads", "children", "grandchildren", "orphans", "zombies")
TOUCHED_MIB = (1, 16, 64, 192)
PROCESSES = 4
"""Over how many processes the largest memory is spread, in a case of its own."""
WORK = 60_000_000
"""Rounds of the loop whose time is compared between runs: some tens of milliseconds."""
ROOM = Limits(memory_bytes=512 * MIB, scratch_bytes=256 * MIB, wall_time=timedelta(seconds=60))

SOURCE = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long clock_us(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000L + at.tv_nsec / 1000;
}

static void *burn(void *microseconds) {
    long until = clock_us(CLOCK_THREAD_CPUTIME_ID) + (long)microseconds;
    while (clock_us(CLOCK_THREAD_CPUTIME_ID) < until)
        ;
    return NULL;
}

static int burners(const char *who, long us) {
    void *part = (void *)(us / 4);
    if (!strcmp(who, "itself"))
        return burn((void *)us), 0;
    if (!strcmp(who, "threads")) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, burn, part);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        return 0;
    }
    int done[2];
    char end;
    if (pipe(done))
        return 1;
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            /* a grandchild has a parent that waits, an orphan one that has gone */
            if (!strcmp(who, "grandchildren") && fork() > 0)
                _exit(wait(NULL) < 0);
            if (!strcmp(who, "orphans") && fork() > 0)
                _exit(0);
            burn(part);
            _exit(0);
        }
    }
    close(done[1]); /* held by the burners until each has ended */
    while (read(done[0], &end, 1) > 0)
        ;
    if (strcmp(who, "zombies"))
        while (wait(NULL) > 0)
            ;
    return 0;
}

static int touch(long bytes, int processes) {
    int ready[2];
    char end;
    if (pipe(ready))
        return 1;
    int first = 1;
    for (int more = processes - 1; first && more > 0; more--)
        first = fork() != 0;
    char *all = mmap(NULL, bytes / processes + 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return 1;
    for (long at = 0; at < bytes / processes; at += 4096)
        all[at] = 1;
    /* nobody leaves before all have touched theirs */
    if (!first) {
        if (write(ready[1], "", 1) != 1)
            return 1;
        pause();
    }
    for (int more = processes - 1; more > 0; more--)
        if (read(ready[0], &end, 1) != 1)
            return 1;
    return 0;
}

static int write_file(long bytes) {
    static char block[65536];
    FILE *file = fopen("/tmp/file", "w");
    for (; file && bytes > 0; bytes -= sizeof block)
        if (fwrite(block, sizeof block, 1, file) != 1)
            return 1;
    return !file;
}

static int work(long rounds) {
    long began = clock_us(CLOCK_MONOTONIC);
    volatile unsigned long sum = 0;
    for (long i = 0; i < rounds; i++)
        sum += i * i;
    printf("%ld\n", clock_us(CLOCK_MONOTONIC) - began);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 0;
    if (!strcmp(argv[1], "spin"))
        for (;;)
            ;
    if (!strcmp(argv[1], "sleep"))
        return usleep(atol(argv[2]));
    if (!strcmp(argv[1], "burn"))
        return burners(argv[2], atol(argv[3]));
    if (!strcmp(argv[1], "touch"))
        return touch(atol(argv[2]), atoi(argv[3]));
    if (!strcmp(argv[1], "write"))
        return write_file(atol(argv[2]));
    return work(atol(argv[2]));
}
"""


class Daemon:
    """A supervisor in this process, and the program that it runs."""

    def __init__(self, supervisor: Supervisor, program: bytes) -> None:
        """Take both."""
        self._supervisor = supervisor
        self._files = (InputFile("program", program, executable=True),)

    async def run(
        self, *arguments: object, limits: Limits = ROOM, exclusive: bool = False
    ) -> RunResult:
        """Run the program."""
        argv = ("./program", *map(str, arguments))
        job = Job(argv=argv, files=self._files, limits=limits, exclusive_cpus=exclusive)
        return await self._supervisor.run(job)

    async def usage(self, *arguments: object) -> Usage:
        """Give what a run used that went well."""
        result = await self.run(*arguments)
        if result.ending != Exited(0):
            raise SystemExit(f"cannot measure {arguments}: {result.ending}")
        return result.usage

    # --- limits -----------------------------------------------------------------------------------

    async def beyond_cpu(self, limit: timedelta = LIMIT) -> float:
        """Spin against a CPU limit; give the milliseconds beyond it."""
        limits = Limits(cpu_time=limit, wall_time=timedelta(seconds=60))
        return (ended_by("cpu_time", await self.run("spin", limits=limits)).cpu_time - limit) / (
            MILLISECOND
        )

    async def beyond_wall(self, limit: timedelta = LIMIT, does: str = "sleep") -> float:
        """Sleep or spin against a wall clock limit; give the milliseconds beyond it."""
        limits = Limits(wall_time=limit, cpu_time=timedelta(seconds=60))
        result = await self.run(does, 60_000_000, limits=limits)
        return (ended_by("wall_time", result).wall_time - limit) / MILLISECOND

    async def spinning_beyond_wall(self, limit: timedelta = LIMIT) -> float:
        """Spin against a wall clock limit."""
        return await self.beyond_wall(limit, "spin")

    # --- accounts ---------------------------------------------------------------------------------

    async def burnt(self, who: str) -> float:
        """Give the milliseconds counted of a burning."""
        return (await self.usage("burn", who, BURNT * 1000)).cpu_time / MILLISECOND

    async def peak_mib(self, *arguments: object) -> float:
        """Give the peak that was counted."""
        return (await self.usage(*arguments)).peak_memory_bytes / MIB

    async def slept(self) -> tuple[float, float]:
        """Sleep; give what wall_time is beyond it, and what all times together leave untold."""
        began = time.perf_counter()
        usage = await self.usage("sleep", 50_000)
        elapsed = timedelta(seconds=time.perf_counter() - began)
        told = usage.queue_time + usage.setup_time + usage.wall_time
        return (usage.wall_time - 50 * MILLISECOND) / MILLISECOND, (elapsed - told) / MILLISECOND

    # --- noise ------------------------------------------------------------------------------------

    async def work_times(self, *, exclusive: bool) -> list[float]:
        """Give the milliseconds that the same work takes, run after run, by its own clock."""
        times = []
        for _ in range(NOISE_RUNS):
            result = await self.run("work", WORK, exclusive=exclusive)
            times.append(int(result.stdout.data) / 1000)
        return times


def ended_by(limit: str, result: RunResult) -> Usage:
    """Give what a run used; stop everything when something else ended it."""
    if result.ending != LimitExceeded(limit):
        raise SystemExit(f"cannot measure: {result.ending} instead of {limit}")
    return result.usage


async def repeated(once: Callable[[], Awaitable[float]]) -> Figures:
    """Do it again and again."""
    return distribution([await once() for _ in range(RUNS)])


async def at_once(count: int, once: Callable[[timedelta], Awaitable[float]]) -> Figures:
    """Do it many times at once, with limits that are hit one after another."""
    limits = [LIMIT + number * STAGGER for number in range(count)]
    sample: list[float] = []
    while len(sample) < RUNS:
        sample += await asyncio.gather(*map(once, limits))
    return distribution(sample)


async def overshoot(daemon: Daemon, processors: int) -> dict[str, Figures]:
    """Go beyond limits: alone, as many at once as there are processors, and more."""
    found = {
        "cpu_time, alone": await repeated(daemon.beyond_cpu),
        "wall_time, alone": await repeated(daemon.beyond_wall),
    }
    for count in (processors, AT_ONCE):
        found[f"cpu_time, {count} at once"] = await at_once(count, daemon.beyond_cpu)
        found[f"wall_time, {count} that sleep"] = await at_once(count, daemon.beyond_wall)
        found[f"wall_time, {count} that spin"] = await at_once(count, daemon.spinning_beyond_wall)
    return found


async def processor_time(daemon: Daemon) -> dict[str, Figures]:
    """Burn a known time; give what is counted beyond it and beyond a program that does nothing."""
    nothing = [(await daemon.usage()).cpu_time / MILLISECOND for _ in range(RUNS)]
    bare = statistics.median(nothing)
    found = {"a program that does nothing": distribution(nothing)}
    for who in BURNERS:
        beyond = [await daemon.burnt(who) - BURNT - bare for _ in range(RUNS)]
        found[f"{BURNT} ms by {who}"] = distribution(beyond)
    return found


async def memory(daemon: Daemon) -> dict[str, Figures]:
    """Touch memory and write files; give what is counted beyond it and beyond touching none."""
    bare = statistics.median([await daemon.peak_mib("touch", 0, 1) for _ in range(RUNS)])
    cases: dict[str, tuple[int, tuple[object, ...]]] = {
        f"{mib} MiB": (mib, ("touch", mib * MIB, 1)) for mib in TOUCHED_MIB
    }
    most = TOUCHED_MIB[-1]
    cases[f"{most} MiB in {PROCESSES} processes"] = (most, ("touch", most * MIB, PROCESSES))
    cases["64 MiB in a file"] = (64, ("write", 64 * MIB))
    found = {"0 MiB": distribution([bare])}
    for name, (mib, arguments) in cases.items():
        beyond = [await daemon.peak_mib(*arguments) - bare - mib for _ in range(RUNS)]
        found[name] = distribution(beyond)
    return found


async def times(daemon: Daemon) -> dict[str, Figures]:
    """Sleep for 50 ms; compare with what is told."""
    pairs = [await daemon.slept() for _ in range(RUNS)]
    return {
        "wall_time beyond the sleep": distribution([wall for wall, _ in pairs]),
        "told by no time: the leaving": distribution([rest for _, rest in pairs]),
    }


async def noise(daemon: Daemon, processors: int) -> dict[str, Figures]:
    """Do the same work beside as many spinning jobs as there are processors."""
    found = {"nobody else": distribution(await daemon.work_times(exclusive=False))}
    limits = Limits(cpu_time=timedelta(minutes=10), wall_time=timedelta(minutes=10))
    for exclusive in (False, True):
        # An exclusive job waits for a processor of its own: one less to spin on.
        count = processors - 1 if exclusive else processors
        spinning = [asyncio.ensure_future(daemon.run("spin", limits=limits)) for _ in range(count)]
        name = "with" if exclusive else "without"
        taken = await daemon.work_times(exclusive=exclusive)
        found[f"beside {count} that spin, {name} exclusive_cpus"] = distribution(taken)
        for one in spinning:
            one.cancel()
        await asyncio.wait(spinning)
    return found


async def measure_all(program: bytes) -> dict[str, Any]:
    """Measure everything with one supervisor."""
    host = probe_host(Settings())
    async with Supervisor(host) as supervisor:
        daemon = Daemon(supervisor, program)
        await daemon.usage()
        return {
            "beyond_limits_ms": await overshoot(daemon, host.processor_count),
            "cpu_time_beyond_burnt_ms": await processor_time(daemon),
            "peak_beyond_touched_mib": await memory(daemon),
            "times_ms": await times(daemon),
            "the_same_work_ms": await noise(daemon, host.processor_count),
        }


def compiled(directory: str) -> bytes:
    """Compile the program; static, so that hardly anything but what it touches is counted."""
    source, binary = Path(directory, "program.c"), Path(directory, "program")
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O1", "-static", "-pthread", "-o", binary, source], check=True)
    return binary.read_bytes()


def measure() -> dict[str, Any]:
    """Run everything, print a table each."""
    print(describe_machine(found := machine()), flush=True)
    with tempfile.TemporaryDirectory() as directory:
        results = asyncio.run(measure_all(compiled(directory)))
    for name, rows in results.items():
        print_distributions(name.replace("_", " "), rows)
    return {"machine": found, **results}


if __name__ == "__main__":
    run_benchmark("exactness", measure)
