"""SandboxService: sandboxes that stay, what runs in them, what stays in them, and their end."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from post import AT_ONCE, eventually, marker, parent_of, posted, sleepers

from sandboxd.client import Client, SyncClient
from sandboxd.errors import NotFoundError
from sandboxd.model.job import InputFile, OutputPath, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.model.outcome import Exited, FileFault, LimitExceeded, NotStarted, Signaled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from post import Post

    from sandboxd.attached import Attached
    from sandboxd.sandboxes import Sandbox, SyncSandbox

pytestmark = pytest.mark.usefixtures("sandboxing_host")

COUNT = "i=0; while :; do i=$((i+1)); echo $i > count; sleep 0.01; done"
"""Shows whether it goes on."""


@pytest.fixture
async def client(post: Post) -> AsyncIterator[Client]:
    async with Client(post.unix) as client:
        yield client


@pytest.fixture
async def sandbox(client: Client) -> AsyncIterator[Sandbox]:
    async with await client.sandboxes.create() as sandbox:
        yield sandbox


async def until(program: Attached, text: bytes) -> bytes:
    """Take output until it ends so."""
    heard = b""
    async for piece in program:
        heard += piece.data
        if heard.endswith(text):
            return heard
    raise AssertionError(f"only heard {heard!r}")


async def said(sandbox: Sandbox, script: str, **fields: object) -> bytes:
    """Run a script that must succeed; give what it said."""
    result = await sandbox.run(["sh", "-c", script], **fields)  # type: ignore[arg-type]  # any
    assert result.ending == Exited(0), (result, script)
    return result.stdout.data


# --- programs -------------------------------------------------------------------------------------


async def test_a_sandbox_is_made_used_and_gone(client: Client) -> None:
    async with await client.sandboxes.create(labels={"of": "test"}) as sandbox:
        info = await sandbox.info()
        assert info.id == sandbox.id
        assert (info.labels, info.running_count, info.paused) == ({"of": "test"}, 0, False)
        assert abs(info.create_time - datetime.now(UTC)) < timedelta(minutes=1)
        assert info.expire_time == info.create_time + timedelta(days=1)
        assert {"cpu_time", "memory_bytes"} <= {limit.limit for limit in info.enforced}
        assert info.policy_digest
        result = await sandbox.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert result.ending == Exited(3)
        assert (result.stdout.data, result.stderr.data) == (b"out\n", b"err\n")
        assert [one.id for one in await client.sandboxes.list()] == [sandbox.id]
    assert await client.sandboxes.list() == []
    with pytest.raises(NotFoundError):
        await sandbox.run(["true"])


async def test_the_sync_client_does_the_same(post: Post) -> None:
    def use() -> None:
        with SyncClient(post.tcp) as client:
            with client.sandboxes.create() as sandbox:
                use_all(client, sandbox)
            with pytest.raises(NotFoundError):
                sandbox.info()

    def use_all(client: SyncClient, sandbox: SyncSandbox) -> None:
        sandbox.write_files(InputFile("in", b"content"))
        with sandbox.exec(["sh", "-c", "read x; cat in; echo $x > out"]) as program:
            program.write(b"word\n")
            assert next(iter(program)).data == b"content"
            assert program.result().ending == Exited(0)
        assert [file.content for file in sandbox.read_files("out")] == [b"word\n"]
        assert sandbox.run(["cat", "out"]).stdout.data == b"word\n"
        assert sandbox.pause().paused
        assert not sandbox.resume().paused
        (listed,) = client.sandboxes.list()
        assert listed.id == sandbox.info().id == sandbox.id

    await asyncio.to_thread(use)


@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        (("python3", "-i", "-q", "-u"), (b"x = 6\n", b"print(x * 7)\n")),
        (("node", "-i"), (b"let x = 6\n", b"console.log(x * 7)\n")),
    ],
)
async def test_a_repl_keeps_its_state_between_writes(
    client: Client, argv: tuple[str, ...], lines: tuple[bytes, ...]
) -> None:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"there is no {argv[0]}")
    limits = Limits(memory_bytes=1024 * MIB)
    async with (
        await client.sandboxes.create(limits=limits) as sandbox,
        sandbox.exec(argv) as program,
    ):
        for line in lines:
            await program.write(line)
        heard = b""
        async for piece in program:
            heard += piece.data if piece.stream == 1 else b""  # where the prompts go
            if b"42\n" in heard:
                break
        await program.end_input()
        assert (await program.result()).ending == Exited(0)


async def test_state_in_files_stays_between_programs(sandbox: Sandbox) -> None:
    await said(sandbox, "echo one > /tmp/a; mkdir -p d; echo two > d/b")
    assert await said(sandbox, "cat /tmp/a d/b") == b"one\ntwo\n"


async def test_background_processes_stay_and_do_not_hold_up_their_program(
    sandbox: Sandbox,
) -> None:
    sleep = marker()
    await said(sandbox, f"sleep {sleep} > /dev/null 2>&1 & echo left")
    assert len(sleepers(sleep)) == 1
    assert (await sandbox.info()).running_count == 0
    assert b"sleep" in await said(sandbox, "cat /proc/[0-9]*/comm")
    await sandbox.delete()
    assert not sleepers(sleep)


async def test_a_background_process_that_holds_the_output_does_not_hold_up_the_end(
    sandbox: Sandbox,
) -> None:
    sleep = marker()
    async with sandbox.exec(["sh", "-c", f"echo said; sleep {sleep} & exit 4"]) as program:
        result = await program.result()
    assert result.ending == Exited(4)
    assert result.stdout.total_bytes == 5
    assert len(sleepers(sleep)) == 1


async def test_a_server_in_the_background_serves_later_programs(client: Client) -> None:
    serve = "python3 -m http.server 8000 > /dev/null 2>&1 &"
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/a').read())"
    from sandboxd.model.job import Network  # noqa: PLC0415 - only here

    async with await client.sandboxes.create(network=Network.LOOPBACK) as sandbox:
        await sandbox.write_files(InputFile("a", b"served"))
        await said(sandbox, serve)
        result = None
        for _ in range(100):
            result = await sandbox.run(["python3", "-c", ask])
            if result.ending == Exited(0):
                break
        assert result is not None
        assert result.stdout.data == b"b'served'\n"


async def test_several_programs_run_at_once(sandbox: Sandbox) -> None:
    async with (
        sandbox.exec(["sh", "-c", "mkfifo pipe; echo made; cat pipe"]) as reader,
        sandbox.exec(["sh", "-c", "read go; echo through > pipe"]) as writer,
    ):
        await until(reader, b"made\n")
        assert (await sandbox.info()).running_count == 2
        await writer.write(b"go\n")
        await until(reader, b"through\n")
        assert (await reader.result()).ending == (await writer.result()).ending == Exited(0)
    results = await asyncio.gather(*(said(sandbox, f"echo {n}") for n in range(20)))
    assert results == [f"{n}\n".encode() for n in range(20)]


async def test_environment_directory_and_secrets_are_each_programs_own(sandbox: Sandbox) -> None:
    await said(sandbox, "mkdir d")
    fields = {"env": {"A": "1"}, "secret_env": {"B": "2"}, "working_directory": "/workspace/d"}
    assert await said(sandbox, 'echo "$A$B"; pwd', **fields) == b"12\n/workspace/d\n"
    assert await said(sandbox, 'echo "$A$B"; pwd') == b"\n/workspace\n"


async def test_a_terminal_is_a_terminal_each_time(sandbox: Sandbox) -> None:
    for _ in range(2):
        async with sandbox.exec(["bash", "--norc"], terminal=Terminal(30, 90)) as program:
            await program.write(b"PS1=; stty -echo; stty size; tty\n")
            assert b"30 90\r\n" in await until(program, b"/dev/pts/0\r\n")
            await program.resize(31, 91)
            await program.write(b"stty size\n")
            await until(program, b"31 91\r\n")
            await program.write(b"exit 3\n")
            assert (await program.result()).ending == Exited(3)


async def test_signals_and_cancelling_concern_one_program(sandbox: Sandbox) -> None:
    script = "trap 'echo told' USR1; trap 'echo bye; exit 5' TERM; echo ready; "
    script += "while :; do sleep 0.01; done"
    async with (
        sandbox.exec(["sh", "-c", script]) as one,
        sandbox.exec(["sh", "-c", script]) as other,
    ):
        await until(one, b"ready\n")
        await until(other, b"ready\n")
        await one.signal("USR1")
        await until(one, b"told\n")
        await one.cancel()
        assert (await one.result()).ending == Exited(5)
        await other.signal("USR1")
        await until(other, b"told\n")
        await other.cancel("USR2", timedelta(milliseconds=50))
        assert isinstance((await other.result()).ending, Signaled)


async def test_what_cannot_be_executed_is_told_and_the_sandbox_stays(sandbox: Sandbox) -> None:
    ending = (await sandbox.run(["/no/such"])).ending
    assert isinstance(ending, NotStarted)
    assert ending.errno == "ENOENT"
    assert await said(sandbox, "echo on") == b"on\n"


# --- limits ---------------------------------------------------------------------------------------


async def test_the_time_of_a_program_ends_it_with_its_session_and_not_the_sandbox(
    sandbox: Sandbox,
) -> None:
    sleep, apart = marker(), marker()
    await said(sandbox, f"setsid sleep {apart} > /dev/null 2>&1 &")
    await eventually(lambda: len(sleepers(apart)) == 1)
    script = f"sleep {sleep} & sleep {sleep}"
    result = await sandbox.run(["sh", "-c", script], wall_time=timedelta(seconds=0.3))
    assert result.ending == LimitExceeded("wall_time")
    assert timedelta(seconds=0.3) <= result.usage.wall_time < timedelta(seconds=1)
    await eventually(lambda: not sleepers(sleep), AT_ONCE)
    assert len(sleepers(apart)) == 1
    assert await said(sandbox, "echo on") == b"on\n"


async def test_a_program_without_a_time_of_its_own_runs_longer_than_a_job(
    sandbox: Sandbox,
) -> None:
    async with sandbox.exec(["cat"]) as program:
        await program.write(b"x\n")
        await until(program, b"x\n")
        enforced = {limit.limit: limit.value for limit in (await sandbox.info()).enforced}
        assert enforced["cpu_time"] == "3600s"
        assert "wall_time" not in enforced
        await program.end_input()
        assert (await program.result()).ending == Exited(0)


async def test_output_is_limited_where_that_is_asked(sandbox: Sandbox) -> None:
    result = await sandbox.run(["sh", "-c", "yes | head -c 3000000"], output_bytes=1000)
    assert result.ending == Exited(0)
    assert (len(result.stdout.data), result.stdout.truncated) == (1000, True)
    result = await sandbox.run(["yes"], output_bytes=1000, stop_on_output=True)
    assert result.ending == LimitExceeded("output_bytes")
    result = await sandbox.run(["sh", "-c", "yes | head -c 3000000"], output_bytes=4 * MIB)
    assert (len(result.stdout.data), result.stdout.truncated) == (3_000_000, False)


async def test_processes_of_all_programs_are_counted_together(client: Client) -> None:
    async with await client.sandboxes.create(limits=Limits(process_count=8)) as sandbox:
        for _ in range(4):
            await sandbox.run(["sh", "-c", "sleep 1000 > /dev/null 2>&1 &"])
        results = await asyncio.gather(
            *(sandbox.run(["sh", "-c", "sleep 0.3 & sleep 0.3 & sleep 0.3; wait"]) for _ in "123")
        )
        assert any(b"fork" in result.stderr.data for result in results) or any(
            isinstance(result.ending, NotStarted) for result in results
        )
        # cgroup v1 lets a process in that joins a full group, as each program of Exec does there.
        assert (await sandbox.info()).usage.peak_process_count <= 8 + 3


async def test_memory_of_all_programs_is_counted_together(client: Client) -> None:
    hold = "x = b'x' * (60 << 20); input()"
    async with (
        await client.sandboxes.create(limits=Limits(memory_bytes=128 * MIB)) as sandbox,
        AsyncExitStack() as stack,
    ):
        programs = [
            await stack.enter_async_context(sandbox.exec(["python3", "-c", hold])) for _ in range(3)
        ]
        results = [asyncio.ensure_future(program.result()) for program in programs]
        (first, *_), _ = await asyncio.wait(results, return_when=asyncio.FIRST_COMPLETED)
        assert (await first).ending == LimitExceeded("memory_bytes")
        usage = (await sandbox.info()).usage
        assert usage.oom_kill_count >= 1
        assert 100 * MIB < usage.peak_memory_bytes <= 129 * MIB
        for program in programs:
            await program.end_input()
        await asyncio.gather(*results)
        assert await said(sandbox, "echo on") == b"on\n"


async def test_only_who_is_killed_for_memory_is_said_to_be(client: Client) -> None:
    async with (
        await client.sandboxes.create(limits=Limits(memory_bytes=64 * MIB)) as sandbox,
        sandbox.exec(["sh", "-c", "read go; exit 3"]) as small,
    ):
        result = await sandbox.run(["python3", "-c", "b'x' * (1 << 30)"])
        assert result.ending == LimitExceeded("memory_bytes")
        await small.write(b"go\n")
        assert (await small.result()).ending == Exited(3)


async def test_files_of_all_programs_are_counted_together(client: Client) -> None:
    limits = Limits(scratch_bytes=8 * MIB, file_count=64)
    async with await client.sandboxes.create(limits=limits) as sandbox:
        await said(sandbox, "head -c 6000000 /dev/zero > a")
        full = await sandbox.run(["sh", "-c", "head -c 6000000 /dev/zero > b"])
        assert b"No space" in full.stderr.data
        assert await said(sandbox, "rm a b; head -c 6000000 /dev/zero > c; echo fits") == b"fits\n"


async def test_processor_time_of_all_programs_is_counted_together_and_ends_the_sandbox(
    client: Client,
) -> None:
    limits = Limits(cpu_time=timedelta(seconds=0.6))
    async with await client.sandboxes.create(limits=limits) as sandbox:
        spin = "while :; do :; done"
        result = await sandbox.run(["sh", "-c", spin], wall_time=timedelta(seconds=0.3))
        assert result.ending == LimitExceeded("wall_time")
        result = await sandbox.run(["sh", "-c", spin])
        assert result.ending == LimitExceeded("cpu_time")
        with pytest.raises(NotFoundError, match="limit exceeded: cpu_time"):
            await sandbox.info()


async def test_usage_is_the_sandboxs_and_a_programs_is_its_own(sandbox: Sandbox) -> None:
    spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    one = await sandbox.run(["sh", "-c", spin])
    two = await sandbox.run(["true"])
    assert two.usage.cpu_time < one.usage.cpu_time
    assert (await sandbox.info()).usage.cpu_time >= one.usage.cpu_time


# --- pause and resume -----------------------------------------------------------------------------


async def test_a_paused_sandbox_stands_still_and_goes_on(sandbox: Sandbox) -> None:
    async with sandbox.exec(["sh", "-c", f"echo ready; {COUNT}"]) as program:
        await until(program, b"ready\n")
        assert (await sandbox.pause()).paused
        before = (await sandbox.info()).usage.cpu_time
        await asyncio.sleep(0.3)  # in which it would have used time
        assert (await sandbox.info()).usage.cpu_time - before < timedelta(milliseconds=5)
        assert (await sandbox.info()).running_count == 1
        assert not (await sandbox.resume()).paused
        first = await said(sandbox, "cat count")
        await counted_on(sandbox, first)
        await program.signal("KILL")
        assert (await program.result()).ending == Signaled("KILL")


async def counted_on(sandbox: Sandbox, first: bytes) -> None:
    deadline = time.monotonic() + 10
    while await said(sandbox, "cat count") == first:
        assert time.monotonic() < deadline, "it does not go on"


async def test_pausing_twice_is_as_once_and_so_is_resuming(sandbox: Sandbox) -> None:
    for _ in range(2):
        assert (await sandbox.pause()).paused
    for _ in range(2):
        assert not (await sandbox.resume()).paused
    assert await said(sandbox, "echo on") == b"on\n"


async def test_a_paused_sandbox_is_deleted_as_any_other(client: Client) -> None:
    sleep = marker()
    async with await client.sandboxes.create() as sandbox:
        await said(sandbox, f"sleep {sleep} > /dev/null 2>&1 &")
        await sandbox.pause()
    assert not sleepers(sleep)


async def test_a_program_whose_caller_leaves_a_paused_sandbox_is_gone(sandbox: Sandbox) -> None:
    sleep = marker()
    async with sandbox.exec(["sleep", sleep]):
        await eventually(lambda: len(sleepers(sleep)) == 1)
        await sandbox.pause()
    await sandbox.resume()
    await eventually(lambda: not sleepers(sleep))
    assert await said(sandbox, "echo on") == b"on\n"


async def test_the_time_of_a_program_ends_it_in_a_paused_sandbox_too(sandbox: Sandbox) -> None:
    sleep = marker()
    async with sandbox.exec(["sleep", sleep], wall_time=timedelta(seconds=0.5)) as program:
        await eventually(lambda: len(sleepers(sleep)) == 1)
        await sandbox.pause()
        ending = asyncio.ensure_future(program.result())
        await asyncio.sleep(0.7)  # its time goes on
        await sandbox.resume()
        assert (await ending).ending == LimitExceeded("wall_time")
    assert await said(sandbox, "echo on") == b"on\n"


async def test_a_look_tells_what_is_used_now(sandbox: Sandbox) -> None:
    code = "x = bytearray(40 << 20); print(1, flush=True); input()"
    async with sandbox.exec(["python3", "-c", code]) as program:
        async for _ in program:
            break
        busy = (await sandbox.info()).usage
        assert busy.process_count == 1
        assert 40 * MIB < busy.memory_bytes < 80 * MIB
        await program.end_input()
        await program.result()
    idle = (await sandbox.info()).usage
    assert idle.process_count == 0
    assert idle.memory_bytes < 20 * MIB
    assert idle.peak_memory_bytes > 40 * MIB


# --- the end --------------------------------------------------------------------------------------


async def test_deleting_leaves_nothing(client: Client) -> None:
    sleep = marker()
    sandbox = await client.sandboxes.create()
    detach = f"setsid sleep {sleep} > /dev/null 2>&1 & sleep {sleep} & wait"
    async with sandbox.exec(["sh", "-c", detach]) as program:
        await eventually(lambda: len(sleepers(sleep)) == 2)
        init = {parent_of(parent_of(pid)) for pid in sleepers(sleep)} - {1}
        places = {place for pid in sleepers(sleep) for place in cgroups_of(pid)}
        assert init
        assert places
        await sandbox.delete()
        assert not sleepers(sleep)
        assert not any(place.exists() for place in places)
        assert (await program.result()).ending == Signaled("KILL")
    for again in (sandbox.info, sandbox.delete, sandbox.pause, sandbox.resume):
        with pytest.raises(NotFoundError, match="it was deleted"):
            await again()
    with pytest.raises(NotFoundError, match="it was deleted"):
        await sandbox.run(["true"])


def cgroups_of(pid: int) -> set[Path]:
    """Give the directories of the cgroups that a process is in and that are a sandbox's own."""
    found = set()
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, place = line.split(":")
        for top in (f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            if "sandbox-" in place and Path(top + place).is_dir():
                found.add(Path(top + place))
    return found


async def test_who_is_unused_for_its_idle_time_is_gone(client: Client) -> None:
    sleep = marker()
    sandbox = await client.sandboxes.create(idle_time=timedelta(seconds=1))
    await said(sandbox, f"sleep {sleep} > /dev/null 2>&1 &")
    await eventually(lambda: len(sleepers(sleep)) == 1)
    await eventually(lambda: not sleepers(sleep))
    with pytest.raises(NotFoundError, match="idle_time was over"):
        await sandbox.info()


async def test_a_program_that_runs_is_a_use(client: Client) -> None:
    async with await client.sandboxes.create(idle_time=timedelta(seconds=0.7)) as sandbox:
        assert await said(sandbox, "sleep 2; echo lived") == b"lived\n"
        assert await said(sandbox, "echo on") == b"on\n"


async def test_asking_is_a_use(client: Client) -> None:
    async with await client.sandboxes.create(idle_time=timedelta(seconds=1)) as sandbox:
        for _ in range(4):
            await asyncio.sleep(0.5)
            info = await sandbox.info()
            assert info.idle_expire_time is not None
            assert info.idle_expire_time > datetime.now(UTC) + timedelta(seconds=0.5)


async def test_whose_life_time_is_over_is_gone_though_a_program_runs(client: Client) -> None:
    sandbox = await client.sandboxes.create(life_time=timedelta(seconds=1))
    async with sandbox.exec(["sleep", marker()]) as program:
        assert (await program.result()).ending == Signaled("KILL")
    with pytest.raises(NotFoundError, match="life_time was over"):
        await sandbox.info()


async def test_a_caller_that_vanishes_leaves_nothing_but_the_sandbox(post: Post) -> None:
    sleep = marker()
    async with Client(post.unix) as gone:
        sandbox = await gone.sandboxes.create()
        program = sandbox.exec(["sh", "-c", f"sleep {sleep} & sleep {sleep}"])
        await program.__aenter__()
        await eventually(lambda: len(sleepers(sleep)) == 2)
    await eventually(lambda: not sleepers(sleep), AT_ONCE)
    async with Client(post.unix) as client, client.sandboxes.at(sandbox.id) as again:
        assert (await again.info()).running_count == 0
        assert await said(again, "echo on") == b"on\n"


async def test_a_caller_that_vanishes_at_any_moment_leaves_nothing_but_the_sandbox(
    post: Post, client: Client
) -> None:
    async with await client.sandboxes.create() as sandbox:
        sleep = marker()
        for delay in range(0, 40, 2):
            async with Client(post.unix) as gone:
                program = gone.sandboxes.at(sandbox.id).exec(["sleep", sleep])
                await program.__aenter__()
                await asyncio.sleep(delay / 1000)
        await eventually(lambda: not sleepers(sleep))
        assert (await sandbox.info()).running_count == 0
        assert await said(sandbox, "echo on") == b"on\n"


async def test_a_caller_that_leaves_while_it_is_made_has_no_sandbox(
    post: Post, client: Client
) -> None:
    for delay in (0, 0.001, 0.003, 0.01):
        making = asyncio.ensure_future(client.sandboxes.create())
        await asyncio.sleep(delay)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
    for sandbox in await client.sandboxes.list():  # of those that were faster
        await client.sandboxes.at(sandbox.id).delete()
    async with Client(post.unix) as other:
        assert await other.sandboxes.list() == []


async def test_the_end_of_the_server_is_the_end_of_all_sandboxes(tmp_path: Path) -> None:
    sleep = marker()
    async with posted(tmp_path) as post, Client(post.unix) as client:
        sandbox = await client.sandboxes.create()
        await said(sandbox, f"sleep {sleep} > /dev/null 2>&1 &")
        await eventually(lambda: len(sleepers(sleep)) == 1)
    assert not sleepers(sleep)


# --- lists ----------------------------------------------------------------------------------------


async def test_lists_are_by_labels_and_the_oldest_first(client: Client) -> None:
    made = [await client.sandboxes.create(labels={"n": str(n), "all": ""}) for n in range(3)]
    ids = [sandbox.id for sandbox in made]
    assert [info.id for info in await client.sandboxes.list()] == ids
    assert [info.id for info in await client.sandboxes.list({"all": ""})] == ids
    assert [info.id for info in await client.sandboxes.list({"n": "1", "all": ""})] == [ids[1]]
    assert await client.sandboxes.list({"n": "4"}) == []
    for sandbox in made:
        await sandbox.delete()
    assert await client.sandboxes.list() == []


# --- files ----------------------------------------------------------------------------------------


async def test_files_go_in_and_out(sandbox: Sandbox) -> None:
    await sandbox.write_files(
        InputFile("a.txt", b"one"),
        InputFile("d/e/run", b"#!/bin/sh\necho ran\n", executable=True),
        InputFile("/tmp/b", b"two"),
        InputFile("empty", b""),
    )
    assert await said(sandbox, "cat a.txt /tmp/b empty; ./d/e/run") == b"onetworan\n"
    await said(sandbox, "echo three > c.txt; chmod 755 c.txt")
    files = {file.path: file async for file in sandbox.read_files("*.txt", "d/**", "empty")}
    assert {path: file.content for path, file in files.items()} == {
        "a.txt": b"one",
        "c.txt": b"three\n",
        "d/e/run": b"#!/bin/sh\necho ran\n",
        "empty": b"",
    }
    assert {path for path, file in files.items() if file.executable} == {"c.txt", "d/e/run"}


async def test_a_file_is_replaced_whole(sandbox: Sandbox) -> None:
    await said(sandbox, "echo old and long > a; chmod 400 a; ln a b")
    async with sandbox.exec(["sh", "-c", "exec 3< a; echo open; read go; cat <&3"]) as program:
        await until(program, b"open\n")
        await sandbox.write_files(InputFile("a", b"new"))
        await program.write(b"go\n")
        assert await until(program, b"long\n") == b"old and long\n"
    assert await said(sandbox, "cat a; cat b") == b"newold and long\n"


async def test_a_link_in_the_way_is_replaced_and_never_followed(sandbox: Sandbox) -> None:
    await said(sandbox, "echo kept > target; ln -s target a; ln -s /etc/passwd b; mkdir d")
    await sandbox.write_files(InputFile("a", b"new"), InputFile("b", b"new"))
    assert await said(sandbox, "cat a b; cat target; test ! -L a; test ! -L b") == (b"newnewkept\n")


async def test_nothing_is_read_through_a_link_or_outside(sandbox: Sandbox) -> None:
    await said(sandbox, "ln -s /etc/passwd a; ln -s /etc d; mkfifo p; mkdir sub; echo in > sub/f")
    found = {
        file.path: file async for file in sandbox.read_files("a", "d/passwd", "p", "sub", "no")
    }
    assert {path: file.fault for path, file in found.items()} == {
        "a": FileFault.LINK,
        "d/passwd": FileFault.LINK,
        "p": FileFault.PIPE,
        "sub": FileFault.DIRECTORY,
        "no": FileFault.MISSING,
    }
    assert all(not file.content for file in found.values())
    found = {file.path: file async for file in sandbox.read_files("**")}
    assert found["sub/f"].content == b"in\n"
    assert not any(path.startswith("d/") for path in found)


async def test_large_files_go_both_ways(client: Client) -> None:
    content = bytes(range(256)) * (1 << 16)
    limits = Limits(scratch_bytes=128 * MIB, memory_bytes=512 * MIB)
    async with await client.sandboxes.create(limits=limits) as sandbox:
        await sandbox.write_files(*(InputFile(f"f{n}", content) for n in range(3)))
        wanted = [OutputPath(f"f{n}", max_bytes=32 * MIB) for n in range(3)]
        async for file in sandbox.read_files(*wanted):
            assert file.content == content
        async for file in sandbox.read_files(OutputPath("f0", max_bytes=1000)):
            assert file.fault is FileFault.TOO_LARGE
        assert [f async for f in sandbox.read_files(OutputPath("no", optional=True))] == []


async def test_files_are_written_and_read_while_programs_run(sandbox: Sandbox) -> None:
    script = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
    script += "print(open('go').read()); open('out', 'w').write('done')"
    async with sandbox.exec(["python3", "-c", script]) as program:
        await sandbox.write_files(InputFile("go", json.dumps([1]).encode()))
        assert (await program.result()).ending == Exited(0)
    assert [file.content async for file in sandbox.read_files("out")] == [b"done"]
