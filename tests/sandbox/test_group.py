"""Programs that run together: pipes between any descriptors, rules for the rest, no deadlock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from house import seconds

from sandboxd.errors import JobError, PreconditionError
from sandboxd.model.group import End, EndRule, Group, GroupResult, Member, Pipe
from sandboxd.model.job import Job
from sandboxd.model.limits import Limits
from sandboxd.model.outcome import Exited, LimitExceeded, NotStarted, Signaled
from sandboxd.runtime.group import run_group
from sandboxd.runtime.relays import MAX_PIECES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from house import House

    from sandboxd.model.outcome import RunResult
    from sandboxd.runtime.live import Live

LONG = Limits(wall_time=timedelta(seconds=40), cpu_time=timedelta(seconds=40))


def shell(name: str, script: str, **fields: Any) -> Member:
    return Member(name, Job(argv=("/bin/sh", "-c", script), **{"limits": LONG, **fields}))


def python(name: str, code: str, **fields: Any) -> Member:
    argv = ("/usr/bin/python3", "-Ic", code)
    return Member(name, Job(argv=argv, **{"limits": LONG, **fields}))


def pipe(writer: str, reader: str, from_: int = 1, to: int = 0, **fields: Any) -> Pipe:
    return Pipe(writer=End(writer, from_), reader=End(reader, to), **fields)


def together(house: House, *members: Member, **fields: Any) -> GroupResult:
    group = Group(members=members, **fields)

    async def run(index: int, live: Live, wires: Mapping[int, int]) -> RunResult:
        result: RunResult = await house.supervisor.run(
            group.members[index].job, live=live, wires=wires
        )
        return result

    result: GroupResult = house.do(run_group(group, run))
    return result


def endings(result: GroupResult) -> dict[str, object]:
    return {member.name: member.result.ending for member in result.members}


BOTH = (pipe("solver", "judge"), pipe("judge", "solver"))
DIALOGUE = """
import sys
secret, count = 77, 0
for line in sys.stdin:
    count += 1
    guess = int(line)
    print("=" if guess == secret else "<" if secret < guess else ">", flush=True)
    if guess == secret:
        print("guesses", count, file=sys.stderr)
        sys.exit(0 if count <= 8 else 1)
sys.exit(2)
"""
SOLVER = """
low, high = 0, 255
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    answer = input()
    if answer == "=": break
    if answer == "<": high = middle - 1
    else: low = middle + 1
"""


@pytest.mark.parametrize("relay", [{}, {"record_bytes": 10_000}, {"swallow": True}])
def test_a_solver_and_its_judge_talk(house: House, relay: dict[str, Any]) -> None:
    pipes = (pipe("solver", "judge", **relay), pipe("judge", "solver", **relay))
    result = together(house, python("judge", DIALOGUE), python("solver", SOLVER), pipes=pipes)
    assert endings(result) == {"judge": Exited(0), "solver": Exited(0)}
    judge, solver = result.members
    assert judge.result.stderr.data.startswith(b"guesses ")
    assert (judge.result.stdout.data, solver.result.stdout.total_bytes) == (b"", 0)
    assert {judge.end_place, solver.end_place} == {1, 2}
    assert not judge.stopped


def test_what_goes_through_is_recorded_in_order_with_its_times(house: House) -> None:
    pipes = (
        pipe("solver", "judge", record_bytes=10_000, name="said"),
        pipe("judge", "solver", record_bytes=3),
    )
    result = together(house, python("judge", DIALOGUE), python("solver", SOLVER), pipes=pipes)
    said, answered = result.records
    assert (said.name, answered.name) == ("said", "judge-solver")
    text = b"".join(data for _, data in said.pieces)
    assert text.startswith(b"127\n63\n")
    assert text.endswith(b"77\n")
    assert (said.total_bytes, said.truncated) == (len(text), False)
    assert b"".join(data for _, data in answered.pieces) == b"<\n>"
    assert answered.truncated
    assert answered.total_bytes == 2 * text.count(b"\n")
    times = [when for when, _ in said.pieces]
    assert times == sorted(times)
    assert 0 < times[-1] < 30e9


def test_pipes_join_any_descriptors_and_gaps_are_open_on_nothing(house: House) -> None:
    first = "echo five >&5; echo two >&2; exec 5>&- 2>&-; echo one; cat <&4; echo lost >&3"
    second = "cat <&7; cat; echo back >&9; exec 9>&-; echo x >&8"
    pipes = (pipe("a", "b", 5, 7), pipe("a", "b", 2, 0), pipe("b", "a", 9, 4))
    result = together(house, shell("a", first), shell("b", second), pipes=pipes)
    assert endings(result) == {"a": Exited(0), "b": Exited(0)}
    assert result.members[0].result.stdout.data == b"one\nback\n"
    assert result.members[0].result.stderr.total_bytes == 0
    assert result.members[1].result.stdout.data == b"five\ntwo\n"


def test_a_program_has_its_descriptors_and_no_other(house: House) -> None:
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1], flush=True)"
    pipes = (pipe("a", "b", 9, 9), pipe("b", "a", 3, 4))
    result = together(house, python("a", code), python("b", code), pipes=pipes)
    seen = [member.result.stdout.data for member in result.members]
    assert seen == [f"{list(range(10))}\n".encode()] * 2


def test_one_program_fans_out_to_many(house: House) -> None:
    script = 'for n in 1 2 3; do eval "echo for $n >&$((n + 2))"; done'
    members = [shell("hub", script)] + [shell(f"leaf{n}", "cat") for n in (1, 2, 3)]
    pipes = tuple(pipe("hub", f"leaf{n}", n + 2, 0) for n in (1, 2, 3))
    result = together(house, *members, pipes=pipes)
    assert [member.result.stdout.data for member in result.members[1:]] == [
        b"for 1\n",
        b"for 2\n",
        b"for 3\n",
    ]


def test_each_has_a_sandbox_of_its_own(house: House) -> None:
    result = together(
        house,
        shell("a", "echo mine > /tmp/file; id -u; read line; ls /proc | grep -c '^[0-9]*$' >&2"),
        shell("b", "test -e /tmp/file && exit 9; echo go"),
        pipes=(pipe("b", "a"),),
    )
    assert endings(result) == {"a": Exited(0), "b": Exited(0)}


def test_each_has_limits_of_its_own(house: House) -> None:
    result = together(
        house,
        python("eater", "x = bytearray(200 << 20)", limits=Limits(memory_bytes=64 << 20)),
        shell("sleeper", "sleep 30", limits=Limits(wall_time=seconds(0.3))),
        shell("good", "exit 3"),
    )
    assert endings(result) == {
        "eater": LimitExceeded("memory_bytes"),
        "sleeper": LimitExceeded("wall_time"),
        "good": Exited(3),
    }


# --- who ends first, and what that does -----------------------------------------------------------


def test_the_first_end_may_stop_the_others(house: House) -> None:
    result = together(
        house,
        shell("quick", "exit 0"),
        shell("slow", "sleep 30"),
        end_rule=EndRule.STOP_ON_FIRST_END,
    )
    quick, slow = result.members
    assert (quick.result.ending, quick.stopped, quick.end_place) == (Exited(0), False, 1)
    assert (slow.result.ending, slow.stopped, slow.end_place) == (Signaled("KILL"), True, 2)


@pytest.mark.parametrize(("code", "stopped"), [(0, False), (1, True)])
def test_the_first_failure_may_stop_the_others(house: House, code: int, *, stopped: bool) -> None:
    result = together(
        house,
        shell("first", f"exit {code}"),
        shell("second", "sleep 0.3"),
        end_rule=EndRule.STOP_ON_FIRST_FAILURE,
    )
    assert result.members[1].stopped is stopped
    assert result.members[1].result.ending == (Signaled("KILL") if stopped else Exited(0))


def test_by_default_each_runs_to_its_own_end(house: House) -> None:
    result = together(house, shell("a", "exit 1"), shell("b", "sleep 0.2; echo late"))
    assert result.members[1].result.stdout.data == b"late\n"


def test_the_wall_time_of_all_ends_those_that_run(house: House) -> None:
    began = time.monotonic()
    result = together(house, shell("a", "exit 0"), shell("b", "sleep 30"), wall_time=seconds(0.5))
    assert time.monotonic() - began < 10
    assert endings(result) == {"a": Exited(0), "b": LimitExceeded("wall_time")}
    assert [member.stopped for member in result.members] == [False, True]


def test_ends_are_told_in_the_order_in_which_they_happened(house: House) -> None:
    orders: Counter[tuple[int, ...]] = Counter()
    for _ in range(20):
        result = together(
            house,
            shell("first", "exit 0"),
            shell("second", "cat; sleep 0.05"),
            pipes=(pipe("first", "second"),),
        )
        orders[tuple(member.end_place for member in result.members)] += 1
    assert orders == {(1, 2): 20}


# --- closed ends ----------------------------------------------------------------------------------

FLOOD = "import os\nwhile True: os.write(1, b'x' * 4096)"


def test_who_writes_to_a_reader_that_is_gone_gets_sigpipe(house: House) -> None:
    result = together(
        house,
        shell("writer", "trap '' TERM; while :; do echo word; done"),
        shell("reader", "read line; exit 4"),
        pipes=(pipe("writer", "reader"),),
    )
    assert endings(result) == {"writer": Signaled("PIPE"), "reader": Exited(4)}


def test_a_recorded_pipe_breaks_as_a_plain_one_does(house: House) -> None:
    result = together(
        house,
        shell("writer", "while :; do echo word; done"),
        shell("reader", "read line; exit 4"),
        pipes=(pipe("writer", "reader", record_bytes=100),),
    )
    assert endings(result) == {"writer": Signaled("PIPE"), "reader": Exited(4)}


@pytest.mark.parametrize("reader", ["exit 4", "exec <&-; sleep 0.5; exit 4"])
def test_a_writer_may_be_spared_a_reader_that_is_gone(house: House, reader: str) -> None:
    code = "import os\nfor _ in range(1000): os.write(1, b'x' * 4096)"
    result = together(
        house,
        python("writer", code),
        shell("reader", reader),
        pipes=(pipe("writer", "reader", swallow=True),),
    )
    assert endings(result) == {"writer": Exited(0), "reader": Exited(4)}


def test_who_reads_sees_the_end_when_the_writer_is_gone(house: House) -> None:
    for fields in ({}, {"swallow": True}, {"record_bytes": 5}):
        result = together(
            house,
            shell("writer", "echo word"),
            shell("reader", "cat; echo end"),
            pipes=(pipe("writer", "reader", **fields),),
        )
        assert result.members[1].result.stdout.data == b"word\nend\n"


def test_a_member_that_cannot_be_executed_breaks_no_other(house: House) -> None:
    none = Member("none", Job(argv=("/no/such",)))
    result = together(house, none, shell("reader", "cat; exit 5"), pipes=(pipe("none", "reader"),))
    assert isinstance(result.members[0].result.ending, NotStarted)
    assert result.members[1].result.ending == Exited(5)


def test_two_that_wait_for_one_another_are_ended_by_their_limits(house: House) -> None:
    limits = Limits(wall_time=seconds(0.4))
    result = together(
        house,
        shell("a", "cat", limits=limits),
        shell("b", "cat", limits=limits),
        pipes=(pipe("a", "b"), pipe("b", "a")),
    )
    assert set(endings(result).values()) <= {LimitExceeded("wall_time"), Exited(0)}


def test_a_program_may_open_its_ends_anew(house: House) -> None:
    result = together(
        house,
        shell("writer", "echo word > /dev/stdout"),
        shell("reader", "cat /dev/stdin"),
        pipes=(pipe("writer", "reader"),),
    )
    assert result.members[1].result.stdout.data == b"word\n"


def test_fifty_thousand_lines_go_both_ways(house: House) -> None:
    code = "import sys\nfor n in range(25000):\n print(n, flush=True); input()"
    result = together(house, python("solver", code), shell("judge", "exec cat"), pipes=BOTH)
    assert endings(result) == {"judge": Exited(0), "solver": Exited(0)}


# --- what cannot be -------------------------------------------------------------------------------


def test_a_fault_of_one_ends_all(house: House) -> None:
    with pytest.raises(PreconditionError, match="cannot find policy"):
        together(house, shell("a", "sleep 30"), shell("b", "true", policy="none"))


def test_a_descriptor_needs_room_among_the_open_files(house: House) -> None:
    with pytest.raises(JobError, match=r"limits\.open_file_count: must be at least 11"):
        together(
            house,
            shell("a", "true", limits=Limits(open_file_count=10)),
            shell("b", "true"),
            pipes=(pipe("a", "b", 9, 0),),
        )


def test_a_cancelled_group_leaves_nothing(house: House) -> None:
    async def cancelled() -> None:
        group = Group(
            members=(shell("a", "sleep 30"), shell("b", "sleep 30")), pipes=(pipe("a", "b"),)
        )

        async def run(index: int, live: Live, wires: Mapping[int, int]) -> RunResult:
            result: RunResult = await house.supervisor.run(
                group.members[index].job, live=live, wires=wires
            )
            return result

        task = asyncio.create_task(run_group(group, run))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    house.do(cancelled())
    house.settle()


def test_a_record_of_crumbs_has_few_pieces(house: House) -> None:
    count = MAX_PIECES + 3000
    crumbs = (
        "import fcntl, os\n"
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT)\n"  # each write stays a packet
        f"for n in range({count}): os.write(1, b'%d' % (n % 10))"
    )
    record = pipe("writer", "reader", record_bytes=count)
    reader = shell("reader", "cat > /dev/null")
    (said,) = together(house, python("writer", crumbs), reader, pipes=(record,)).records
    assert b"".join(data for _, data in said.pieces) == (b"0123456789" * count)[:count]
    assert len(said.pieces) == MAX_PIECES + 1
    assert [when for when, _ in said.pieces] == sorted(when for when, _ in said.pieces)
