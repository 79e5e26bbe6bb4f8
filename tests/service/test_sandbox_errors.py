"""SandboxService: every error that its contract names, and who may see what."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from guards import bearer, row, token_of, written
from post import PATIENCE, daemon, eventually, marker, posted, refusal, sleepers

from sandboxd.client import Client
from sandboxd.connection import OPTIONS
from sandboxd.errors import Busy, JobError, PreconditionError, RequestError, StreamIdle
from sandboxd.model.job import InputFile, Terminal
from sandboxd.model.limits import MIB, Limits
from sandboxd.server import attaching, streams
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import sandbox_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
NOBODYS = "0" * 32
ABOUT_ONE = [
    "GetSandbox",
    "DeleteSandbox",
    "PauseSandbox",
    "ResumeSandbox",
    "Exec",
    "WriteFiles",
    "ReadFiles",
]
RPCS = ["CreateSandbox", "ListSandboxes", *ABOUT_ONE]


@asynccontextmanager
async def stub_of(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.SandboxServiceStub(channel)  # type: ignore[no-untyped-call]  # generated


@pytest.fixture
async def stub(post: Post) -> AsyncIterator[Any]:
    async with stub_of(post.unix) as stub:
        yield stub


def asked(rpc: str, sandbox_id: str = NOBODYS) -> Any:
    """Give a request of this rpc, about a sandbox if it is about one."""
    if rpc == "Exec":
        return pb.ExecRequest(program=pb.Program(sandbox_id=sandbox_id, argv=["true"]))
    kind = getattr(pb, f"{rpc}Request")
    if rpc in {"WriteFiles", "ReadFiles"}:
        return kind(sandbox_id=sandbox_id)
    return kind(id=sandbox_id) if rpc in ABOUT_ONE else kind()


async def ask(stub: Any, rpc: str, request: Any = None, **options: Any) -> Any:
    """Call an rpc, and wait for its end; give what it answered."""
    request = asked(rpc) if request is None else request
    if rpc == "Exec":
        return [answer async for answer in stub.Exec(iter([request]), **options)]
    call = getattr(stub, rpc)(request, **options)
    if rpc == "ReadFiles":
        return [answer async for answer in call]
    return await call


async def made(stub: Any, **options: Any) -> str:
    """Make a sandbox; give its id."""
    answer = await stub.CreateSandbox(pb.CreateSandboxRequest(), **options)
    return str(answer.sandbox.id)


# --- what is asked wrongly ------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a program's limits": (
        {"limits": {"wall_time": {"seconds": 1}, "output_bytes": 1, "stop_on_output": True}},
        {"limits.wall_time", "limits.output_bytes", "limits.stop_on_output"},
    ),
    "a limit above its ceiling": (
        {"limits": {"memory_bytes": 1 << 50}},
        {"limits.memory_bytes"},
    ),
    "a negative limit": ({"limits": {"process_count": -1}}, {"limits.process_count"}),
    "an unknown network": ({"network": 99}, {"network"}),
    "no idle time": ({"idle_time": {}}, {"idle_time"}),
    "an idle time too long": ({"idle_time": {"seconds": 86401}}, {"idle_time"}),
    "no life time": ({"life_time": {"seconds": -1}}, {"life_time"}),
    "a life time too long": ({"life_time": {"seconds": 7 * 86400 + 1}}, {"life_time"}),
    "a time beyond all calendars": ({"life_time": {"seconds": 315_576_000_000}}, {"life_time"}),
    "many labels": ({"labels": {str(n): "" for n in range(17)}}, {"labels"}),
    "an empty label": ({"labels": {"": "x"}}, {"labels['']"}),
    "a long label": ({"labels": {"k": "x" * 257}}, {"labels['k']"}),
    "several at once": (
        {"idle_time": {}, "labels": {"k": "x" * 257}},
        {"idle_time", "labels['k']"},
    ),
    "many wishes": ({"require": ["memory_bytes"] * 300}, {"require"}),
}


@pytest.mark.parametrize("case", WRONG)
async def test_create_sandbox_invalid_argument_names_what_is_wrong_and_makes_none(
    stub: Any, case: str
) -> None:
    fields, paths = WRONG[case]
    found = await refusal(stub.CreateSandbox(pb.CreateSandboxRequest(**fields)))
    assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found.fields.keys() == paths
    assert not (await stub.ListSandboxes(pb.ListSandboxesRequest())).sandboxes


def program(sandbox_id: str, **fields: Any) -> pb.ExecRequest:
    return pb.ExecRequest(program=pb.Program(sandbox_id=sandbox_id, **fields))


BAD_PROGRAMS: dict[str, tuple[list[Any], str]] = {
    "no message": ([], "program"),
    "no program": ([pb.ExecRequest(stdin=b"x")], "program"),
    "an empty message": ([pb.ExecRequest()], "program"),
    "no arguments": ([{"argv": []}], "program.argv"),
    "no time": ([{"argv": ["true"], "wall_time": {}}], "program.wall_time"),
    "a time too long": (
        [{"argv": ["true"], "wall_time": {"seconds": 8 * 86400}}],
        "program.wall_time",
    ),
    "a negative output": ([{"argv": ["true"], "output_bytes": -1}], "program.output_bytes"),
    "a bad variable": ([{"argv": ["true"], "env": {"": "x"}}], "program.env['']"),
    "a variable twice": (
        [{"argv": ["true"], "env": {"A": "1"}, "secret_env": {"A": "2"}}],
        "program.secret_env['A']",
    ),
    "a bad directory": (
        [{"argv": ["true"], "working_directory": "a"}],
        "program.working_directory",
    ),
    "a large terminal": (
        [{"argv": ["true"], "terminal": {"rows": 5000}}],
        "program.terminal",
    ),
    "a second program": ([{"argv": ["sleep", "60"]}, {"argv": ["true"]}], "program"),
    "an empty word": ([{"argv": ["sleep", "60"]}, pb.ExecRequest()], "input"),
    "no signal": (
        [{"argv": ["sleep", "60"]}, pb.ExecRequest(signal={"name": "SIGTERM"})],
        "signal.name",
    ),
    "input though there is none": (
        [{"argv": ["sleep", "60"], "no_stdin": True}, pb.ExecRequest(stdin=b"x")],
        "stdin",
    ),
    "input after its end": (
        [{"argv": ["sleep", "60"]}, pb.ExecRequest(stdin_end={}), pb.ExecRequest(stdin=b"x")],
        "stdin",
    ),
    "too much at once": (
        [{"argv": ["sleep", "60"]}, pb.ExecRequest(stdin=b"x" * (4 * MIB + 1))],
        "stdin",
    ),
}


@pytest.mark.parametrize("case", BAD_PROGRAMS)
async def test_exec_invalid_argument_names_what_is_wrong_and_kills(stub: Any, case: str) -> None:
    said, field = BAD_PROGRAMS[case]
    sandbox_id = await made(stub)
    words = [program(sandbox_id, **one) if isinstance(one, dict) else one for one in said]

    async def requests() -> AsyncIterator[pb.ExecRequest]:
        for word in words:
            yield word
        if words:  # its end would be no mistake
            await asyncio.sleep(PATIENCE)

    async def call() -> None:
        async for _ in stub.Exec(requests()):
            pass

    found = await refusal(call())
    assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found.fields.keys() == {field}
    async with asyncio.timeout(PATIENCE):
        while (await stub.GetSandbox(asked("GetSandbox", sandbox_id))).sandbox.running_count:
            pass
    await stub.DeleteSandbox(asked("DeleteSandbox", sandbox_id))


BAD_FILES: dict[str, tuple[Any, str]] = {
    "outside": ([{"path": "/etc/passwd"}], "files[0].path"),
    "dots": ([{"path": "../x"}], "files[0].path"),
    "no name": ([{"path": ""}], "files[0].path"),
    "the place itself": ([{"path": "/workspace"}], "files[0].path"),
    "one twice": ([{"path": "a"}, {"path": "a"}], "files[1].path"),
    "one below another": ([{"path": "a"}, {"path": "a/b"}], "files[1].path"),
    "a blob": ([{"path": "a", "content": {"blob": {"sha256": "0" * 64}}}], "files[0].content"),
    "no source": ([{"path": "a", "content": {}}], "files[0].content"),
    "too many": ([{"path": str(n)} for n in range(1025)], "files"),
    "too much": (
        [{"path": str(n), "content": {"data": bytes(33 * MIB)}} for n in range(2)],
        "files",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
async def test_write_files_invalid_argument_names_what_is_wrong_and_writes_none(
    stub: Any, case: str
) -> None:
    files, field = BAD_FILES[case]
    sandbox_id = await made(stub)
    request = pb.WriteFilesRequest(sandbox_id=sandbox_id, files=files)
    found = await refusal(stub.WriteFiles(request))
    assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found.fields.keys() == {field}
    every = pb.ReadFilesRequest(sandbox_id=sandbox_id, paths=[{"path": "**", "optional": True}])
    assert await ask(stub, "ReadFiles", every) == []
    await stub.DeleteSandbox(asked("DeleteSandbox", sandbox_id))


BAD_PATHS: dict[str, tuple[Any, str]] = {
    "outside": ([{"path": "/etc/passwd"}], "paths[0].path"),
    "dots": ([{"path": "a/../../x"}], "paths[0].path"),
    "no name": ([{"path": ""}], "paths[0].path"),
    "one twice": ([{"path": "a"}, {"path": "a"}], "paths[1].path"),
    "to store": ([{"path": "a", "store": True}], "paths[0].store"),
    "no size": ([{"path": "a", "max_bytes": -1}], "paths[0].max_bytes"),
    "too many": ([{"path": str(n)} for n in range(257)], "paths"),
}


@pytest.mark.parametrize("case", BAD_PATHS)
async def test_read_files_invalid_argument_names_what_is_wrong(stub: Any, case: str) -> None:
    paths, field = BAD_PATHS[case]
    sandbox_id = await made(stub)
    request = pb.ReadFilesRequest(sandbox_id=sandbox_id, paths=paths)
    found = await refusal(ask(stub, "ReadFiles", request))
    assert (found.code, found.info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert found.fields.keys() == {field}
    await stub.DeleteSandbox(asked("DeleteSandbox", sandbox_id))


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_invalid_argument_for_what_is_no_message(
    post: Post, rpc: str
) -> None:
    async with grpc.aio.insecure_channel(post.unix) as channel:
        method = f"/sandboxd.v1.SandboxService/{rpc}"
        call = channel.stream_stream(method)(iter([b"\xff"]))  # type: ignore[call-arg]  # plain bytes
        found = await refusal(anext(aiter(call)))
        assert found.code is Code.INVALID_ARGUMENT
        assert found.fields.keys() == {"request"}


async def test_a_client_refuses_what_no_message_can_say(post: Post) -> None:
    async with Client(post.unix) as client:
        for wrong in ({"labels": {"\udcff": ""}}, {"labels": {"k": "\udcff"}}):
            with pytest.raises(RequestError, match="labels"):
                await client.sandboxes.create(**wrong)  # type: ignore[arg-type]  # wrong
        with pytest.raises(RequestError, match="id"):
            await client.sandboxes.at("\udcff").info()
        sandbox = client.sandboxes.at(NOBODYS)
        with pytest.raises(JobError, match="argv"):
            sandbox.exec("true")
        with pytest.raises(JobError, match="argv"):
            sandbox.exec([])
        with pytest.raises(JobError, match=r"files\[0\].path"):
            await sandbox.write_files(InputFile("../a", b""))
        with pytest.raises(JobError, match=r"outputs\[0\].path"):
            _ = [file async for file in sandbox.read_files("../a")]


# --- whose it is ----------------------------------------------------------------------------------


@asynccontextmanager
async def guarded(directory: Path, *rows: str, **settings: Any) -> AsyncIterator[Any]:
    callers = written(directory / "callers.toml", *rows)
    async with posted(directory, callers, **settings) as post, stub_of(post.tcp) as stub:
        yield stub


def as_(name: str) -> Any:
    return {"metadata": bearer(token_of(name))}


async def test_a_caller_sees_nothing_of_anothers_sandboxes(tmp_path: Path) -> None:
    async with guarded(tmp_path, row("a"), row("b")) as stub:
        theirs = await made(stub, **as_("a"))
        for rpc in ABOUT_ONE:
            foreign = await refusal(ask(stub, rpc, asked(rpc, theirs), **as_("b")))
            unknown = await refusal(ask(stub, rpc, asked(rpc, NOBODYS), **as_("b")))
            assert (foreign.code, foreign.info.reason) == (Code.NOT_FOUND, "SANDBOX_UNKNOWN")
            assert str(foreign.status).replace(theirs, NOBODYS) == str(unknown.status)
        listing = pb.ListSandboxesRequest()
        assert not (await stub.ListSandboxes(listing, **as_("b"))).sandboxes
        assert len((await stub.ListSandboxes(listing, **as_("a"))).sandboxes) == 1
        await stub.DeleteSandbox(asked("DeleteSandbox", theirs), **as_("a"))
        ended = await refusal(ask(stub, "GetSandbox", asked("GetSandbox", theirs), **as_("b")))
        assert str(ended.status).replace(theirs, NOBODYS) == str(unknown.status)


@pytest.mark.parametrize("rpc", ABOUT_ONE)
async def test_every_rpc_of_sandbox_service_not_found_for_what_is_not_there_or_no_more(
    stub: Any, rpc: str
) -> None:
    for sandbox_id in ("", "nonsense", "x" * 100_000, NOBODYS):
        found = await refusal(ask(stub, rpc, asked(rpc, sandbox_id)))
        assert (found.code, found.info.reason) == (Code.NOT_FOUND, "SANDBOX_UNKNOWN")
        assert len(found.message) < 300
    sandbox_id = await made(stub)
    await ask(stub, "DeleteSandbox", asked("DeleteSandbox", sandbox_id))
    found = await refusal(ask(stub, rpc, asked(rpc, sandbox_id)))
    assert (found.code, found.info.reason) == (Code.NOT_FOUND, "SANDBOX_UNKNOWN")
    assert "it was deleted" in found.message


# --- errors that every rpc has --------------------------------------------------------------------


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_unauthenticated_without_a_token(
    tmp_path: Path, rpc: str
) -> None:
    async with guarded(tmp_path, row("a")) as stub:
        found = await refusal(ask(stub, rpc))
        assert (found.code, found.info.reason) == (Code.UNAUTHENTICATED, "NO_CREDENTIALS")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_permission_denied_without_the_role(
    tmp_path: Path, rpc: str
) -> None:
    async with guarded(tmp_path, row("a", roles='"admin"')) as stub:
        found = await refusal(ask(stub, rpc, **as_("a")))
        assert (found.code, found.info.reason) == (Code.PERMISSION_DENIED, "ROLE_MISSING")


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_resource_exhausted_when_called_too_often(
    tmp_path: Path, rpc: str
) -> None:
    rate = ("[caller.share]", "rate = 0.01", "burst = 1")
    async with guarded(tmp_path, row("a", *rate)) as stub:
        await stub.ListSandboxes(pb.ListSandboxesRequest(), **as_("a"))
        found = await refusal(ask(stub, rpc, **as_("a")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")


async def test_create_sandbox_resource_exhausted_when_there_are_as_many_as_may_be(
    post: Post,
) -> None:
    async with (
        Client(post.unix) as client,
        Client(post.tcp) as other,  # another caller, where callers have no names
        AsyncExitStack() as stack,
    ):
        for _ in range(32):
            await stack.enter_async_context(await client.sandboxes.create())
        with pytest.raises(Busy, match="all of one caller") as caught:
            await client.sandboxes.create()
        assert caught.value.reason == "SHARE_EXHAUSTED"
        for _ in range(32):
            await stack.enter_async_context(await other.sandboxes.create())
        with pytest.raises(Busy) as caught:
            await client.sandboxes.create()
        assert caught.value.reason == "SANDBOXES_FULL"
        assert len(await client.sandboxes.list()) == 32
    async with Client(post.unix) as client, await client.sandboxes.create() as sandbox:
        assert (await client.sandboxes.list())[0].id == sandbox.id


async def test_create_sandbox_resource_exhausted_when_the_share_is_used_up(
    tmp_path: Path,
) -> None:
    share = ("[caller.share]", f"memory_bytes = {512 * MIB}")
    async with guarded(tmp_path, row("a", *share), row("b")) as stub:
        first = await made(stub, **as_("a"))
        await made(stub, **as_("a"))
        found = await refusal(ask(stub, "CreateSandbox", **as_("a")))
        assert (found.code, found.info.reason) == (Code.RESOURCE_EXHAUSTED, "SHARE_EXHAUSTED")
        assert found.detail(RetryInfo).retry_delay.ToTimedelta() > timedelta()
        await made(stub, **as_("b"))
        await stub.DeleteSandbox(asked("DeleteSandbox", first), **as_("a"))
        await made(stub, **as_("a"))


async def test_exec_resource_exhausted_when_as_many_run_as_may(post: Post) -> None:
    limits = Limits(process_count=200)
    async with (
        Client(post.unix) as client,
        await client.sandboxes.create(limits=limits) as sandbox,
        AsyncExitStack() as stack,
    ):
        for _ in range(64):
            running = await stack.enter_async_context(sandbox.exec(["cat"]))
            await running.write(b"x")
            await anext(aiter(running))
        with pytest.raises(Busy) as caught:
            await sandbox.run(["true"])
        assert caught.value.reason == "EXECS_FULL"
        assert (await sandbox.info()).running_count == 64


async def test_create_sandbox_failed_precondition_names_what_is_not_on_offer(stub: Any) -> None:
    for fields, reason in (
        ({"policy": "no-such"}, "POLICY_UNKNOWN"),
        ({"root": "no-such"}, "ROOT_UNKNOWN"),
        ({"require": ["no-such"]}, "ENFORCEMENT_UNAVAILABLE"),
    ):
        found = await refusal(stub.CreateSandbox(pb.CreateSandboxRequest(**fields)))
        assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, reason)
    assert not (await stub.ListSandboxes(pb.ListSandboxesRequest())).sandboxes


@pytest.mark.parametrize("rpc", ["Exec", "WriteFiles", "ReadFiles"])
async def test_every_rpc_of_sandbox_service_failed_precondition_while_it_is_paused(
    stub: Any, rpc: str
) -> None:
    sandbox_id = await made(stub)
    await stub.PauseSandbox(asked("PauseSandbox", sandbox_id))
    found = await refusal(ask(stub, rpc, asked(rpc, sandbox_id)))
    assert (found.code, found.info.reason) == (Code.FAILED_PRECONDITION, "SANDBOX_PAUSED")
    await stub.ResumeSandbox(asked("ResumeSandbox", sandbox_id))
    await ask(stub, rpc, asked(rpc, sandbox_id))
    await stub.DeleteSandbox(asked("DeleteSandbox", sandbox_id))


async def test_write_files_failed_precondition_when_it_cannot_be_written(post: Post) -> None:
    limits = Limits(scratch_bytes=4 * MIB)
    async with Client(post.unix) as client, await client.sandboxes.create(limits=limits) as sandbox:
        await sandbox.run(["sh", "-c", "mkdir dir; echo kept > file; ln -s /tmp link"])
        for path, content in (
            ("dir", b""),  # in its way
            ("file/x", b""),
            ("link/x", b""),  # leads elsewhere
            ("large", bytes(5 * MIB)),
        ):
            with pytest.raises(PreconditionError) as caught:
                await sandbox.write_files(InputFile(path, content))
            assert caught.value.reason == "FILE_UNWRITABLE"
        listed = await sandbox.run(["sh", "-c", "ls -A . /tmp; cat file"])
        assert listed.stdout.data == b".:\ndir\nfile\nlink\n\n/tmp:\nkept\n"


async def test_create_sandbox_unavailable_while_the_server_drains(tmp_path: Path) -> None:
    sleep = marker()
    async with posted(tmp_path) as post, Client(post.unix) as client, stub_of(post.unix) as stub:
        sandbox = await client.sandboxes.create()
        async with sandbox.exec(["sleep", sleep]) as running:
            await eventually(lambda: len(sleepers(sleep)) == 1)
            draining = asyncio.create_task(post.server.drain())
            await asyncio.sleep(0)  # its first step is to refuse
            for rpc in ("CreateSandbox", "Exec"):
                found = await refusal(ask(stub, rpc, asked(rpc, sandbox.id)))
                assert (found.code, found.info.reason) == (Code.UNAVAILABLE, "DRAINING")
            assert (await sandbox.info()).running_count == 1
            await running.signal("KILL")
            await running.result()
        await asyncio.wait_for(draining, PATIENCE)


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_deadline_exceeded_harms_nobody(
    tmp_path: Path, rpc: str
) -> None:
    with daemon(tmp_path) as served:
        async with stub_of(served.unix) as stub:
            sandbox_id = await made(stub)
            served.signal(signal.SIGSTOP)
            found = await refusal(ask(stub, rpc, asked(rpc, sandbox_id), timeout=0.2))
            served.signal(signal.SIGCONT)
            assert found.code is Code.DEADLINE_EXCEEDED
            await stub.ListSandboxes(pb.ListSandboxesRequest())


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_cancelled_harms_nobody(stub: Any, rpc: str) -> None:
    sandbox_id = await made(stub)
    asking = asyncio.ensure_future(ask(stub, rpc, asked(rpc, sandbox_id)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await stub.ListSandboxes(pb.ListSandboxesRequest())


async def test_exec_deadline_exceeded_kills_the_program(post: Post) -> None:
    sleep = marker()
    async with Client(post.unix) as client, await client.sandboxes.create() as sandbox:
        async with sandbox.exec(["sleep", sleep], timeout=timedelta(seconds=0.5)) as running:
            with pytest.raises(TimeoutError):
                await running.result()
        await eventually(lambda: not sleepers(sleep))
        assert (await sandbox.info()).running_count == 0


async def test_exec_deadline_exceeded_for_who_names_no_program(
    post: Post, stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "FIRST_SECONDS", 0.2)
    call = stub.Exec()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    async with Client(post.unix) as client:
        assert isinstance(client.error_of(caught.value), StreamIdle)


@pytest.mark.parametrize("rpc", RPCS)
async def test_every_rpc_of_sandbox_service_internal_for_a_defect(
    post: Post, stub: Any, rpc: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = post.server._sandboxes  # noqa: SLF001 - to be damaged, as by a defect
    before = service._kept  # noqa: SLF001 - the same
    service._kept = "xyzzy"  # type: ignore[assignment]  # noqa: SLF001 - the same
    found = await refusal(ask(stub, rpc))
    assert (found.code, found.info.reason) == (Code.INTERNAL, "UNEXPECTED")
    assert "xyzzy" not in caplog.text + found.message
    service._kept = before  # noqa: SLF001 - the same
    await ask(stub, "ListSandboxes")


async def test_a_terminal_may_be_asked_for(post: Post) -> None:
    async with Client(post.unix) as client, await client.sandboxes.create() as sandbox:
        result = await sandbox.run(["tty"], terminal=Terminal())
        assert result.stdout.data == b"/dev/pts/0\r\n"


async def test_a_secret_is_in_no_error_and_no_log(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(post.unix) as client, await client.sandboxes.create() as sandbox:
        secret = {"secret_env": {"TOKEN": "xyzzy"}}
        assert (await sandbox.run(["sh", "-c", "exit 3"], **secret)).stdout.data == b""  # type: ignore[arg-type]  # a field
        with pytest.raises(JobError) as caught:
            await sandbox.run(["true"], working_directory="relative", **secret)  # type: ignore[arg-type]  # the same
    assert "xyzzy" not in caplog.text + str(caught.value)


def test_answers_of_exec_are_those_of_attach() -> None:
    fields = {field.name for field in pb.ExecResponse.DESCRIPTOR.fields}
    assert fields == {field.name for field in runner_pb.AttachResponse.DESCRIPTOR.fields}


async def test_read_files_deadline_exceeded_for_who_takes_nothing_and_is_told_so(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.2)
    async with (
        Client(post.unix) as client,
        await client.sandboxes.create() as sandbox,
        grpc.aio.insecure_channel(post.unix, options=OPTIONS) as channel,
    ):
        await sandbox.run(["sh", "-c", "head -c 12000000 /dev/zero > big"])  # more than is ahead
        request = pb.ReadFilesRequest(sandbox_id=sandbox.id, paths=[{"path": "big"}])
        reading = pb_grpc.SandboxServiceStub(channel).ReadFiles(request)  # type: ignore[no-untyped-call]  # generated
        await asyncio.sleep(1)  # the time that it is given is the test

        async def rest() -> None:
            async for _ in reading:
                pass

        found = await refusal(rest())
        assert (found.code, found.info.reason) == (Code.DEADLINE_EXCEEDED, "STREAM_IDLE")
