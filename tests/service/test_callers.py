"""Who may call: every role on every rpc, every credential, everything wrong with them."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import pkgutil
import stat
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from guards import bearer, code_of, row, token_of, written
from post import PATIENCE, daemon, eventually, posted, refusal, request, sleep_request, stub_of

import sandboxd.v1
from sandboxd.client import Client, SyncClient, Tls
from sandboxd.errors import ForbiddenError, HostError, UnauthenticatedError
from sandboxd.model.outcome import Exited
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

Code = grpc.StatusCode
MIB = 1 << 20
ROOT = Path(__file__).parent.parent.parent
SECRET, OLD, NEW = "a-secret-token", "old", "new"
GET_HOST = "/sandboxd.v1.RunnerService/GetHost"
RUN = "/sandboxd.v1.RunnerService/Run"


# --- role x rpc -----------------------------------------------------------------------------------

ROLES = {"runner": '"run"', "admin": '"admin"', "both": '"run", "admin"'}
OK, REFUSED, UNKNOWN = (Code.OK, ""), (Code.PERMISSION_DENIED, "ROLE_MISSING"), Code.UNAUTHENTICATED
THROUGH = (Code.INVALID_ARGUMENT, "INVALID_JOB")  # the guard let it pass, the job is empty
NOBODY = (UNKNOWN, "NO_CREDENTIALS")
STRANGER = (UNKNOWN, "WRONG_CREDENTIALS")

FOR_ALL = dict.fromkeys(("nobody", "stranger", *ROLES), OK)
FOR_CALLERS = {"nobody": NOBODY, "stranger": STRANGER, "runner": OK, "admin": OK, "both": OK}
FOR_NOBODY = FOR_CALLERS | dict.fromkeys(ROLES, REFUSED)
BLOBS = "/sandboxd.v1.BlobService/"
WITHOUT_BLOBS = (Code.FAILED_PRECONDITION, "BLOBS_OFF")  # the guard let it pass, there is no store
FOR_RUNNERS = {
    "nobody": NOBODY,
    "stranger": STRANGER,
    "runner": WITHOUT_BLOBS,
    "admin": REFUSED,
    "both": WITHOUT_BLOBS,
}
JOBS = "/sandboxd.v1.JobService/"
WITHOUT_JOBS = (Code.FAILED_PRECONDITION, "JOBS_OFF")  # as above
FOR_STARTERS = {**FOR_RUNNERS, "runner": WITHOUT_JOBS, "both": WITHOUT_JOBS}
WRONG = (Code.INVALID_ARGUMENT, "INVALID_REQUEST")  # as above
FOR_TALKERS = {**FOR_RUNNERS, "runner": WRONG, "both": WRONG}
SANDBOXES = "/sandboxd.v1.SandboxService/"
NO_SANDBOX = (Code.NOT_FOUND, "SANDBOX_UNKNOWN")  # as above
FOR_OWNERS = {**FOR_RUNNERS, "runner": NO_SANDBOX, "both": NO_SANDBOX}
TABLE: dict[str, dict[str, tuple[Code, str]]] = {
    RUN: {
        "nobody": NOBODY,
        "stranger": STRANGER,
        "runner": THROUGH,
        "admin": REFUSED,
        "both": THROUGH,
    },
    f"{RUN}Batch": {
        "nobody": NOBODY,
        "stranger": STRANGER,
        "runner": THROUGH,
        "admin": REFUSED,
        "both": THROUGH,
    },
    "/sandboxd.v1.RunnerService/Attach": FOR_TALKERS,
    f"{RUN}Group": FOR_TALKERS,
    f"{SANDBOXES}CreateSandbox": {**FOR_RUNNERS, "runner": OK, "both": OK},
    f"{SANDBOXES}GetSandbox": FOR_OWNERS,
    f"{SANDBOXES}ListSandboxes": {**FOR_RUNNERS, "runner": OK, "both": OK},
    f"{SANDBOXES}DeleteSandbox": FOR_OWNERS,
    f"{SANDBOXES}PauseSandbox": FOR_OWNERS,
    f"{SANDBOXES}ResumeSandbox": FOR_OWNERS,
    f"{SANDBOXES}Exec": FOR_TALKERS,
    f"{SANDBOXES}WriteFiles": FOR_OWNERS,
    f"{SANDBOXES}ReadFiles": FOR_OWNERS,
    GET_HOST: FOR_CALLERS,
    f"{BLOBS}FindMissingBlobs": FOR_RUNNERS,
    f"{BLOBS}UploadBlob": FOR_RUNNERS,
    f"{BLOBS}DownloadBlob": FOR_RUNNERS,
    f"{BLOBS}ListBlobs": FOR_RUNNERS,
    f"{BLOBS}DeleteBlob": FOR_RUNNERS,
    f"{JOBS}StartJob": FOR_STARTERS,
    f"{JOBS}GetJob": FOR_STARTERS,
    f"{JOBS}ListJobs": FOR_STARTERS,
    f"{JOBS}WatchJob": FOR_STARTERS,
    f"{JOBS}CancelJob": FOR_STARTERS,
    "/grpc.health.v1.Health/Check": FOR_ALL,
    "/grpc.health.v1.Health/List": FOR_NOBODY,
    "/grpc.health.v1.Health/Watch": FOR_ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": FOR_CALLERS,
}


def methods() -> set[str]:
    """Name every rpc that the server offers, by the descriptors."""
    files = [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    names = [module.name for module in pkgutil.iter_modules(sandboxd.v1.__path__)]
    files += [
        importlib.import_module(f"sandboxd.v1.{name}").DESCRIPTOR
        for name in names
        if name.endswith("_pb2")
    ]
    return {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_every_rpc_has_its_row() -> None:
    assert methods() == TABLE.keys()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Post]:
    """Give a server that knows one caller of each role, by tokens."""
    rows = [row(name, roles=roles) for name, roles in ROLES.items()]
    async with posted(tmp_path, written(tmp_path / "callers.toml", *rows)) as post:
        yield post


@pytest.mark.parametrize("who", ["nobody", "stranger", *ROLES])
@pytest.mark.parametrize("address", ["unix", "tcp"])
async def test_every_role_may_call_its_rpcs_alone(guarded: Post, who: str, address: str) -> None:
    metadata = () if who == "nobody" else bearer(token_of(who))
    found = {method: await code_of(getattr(guarded, address), method, metadata) for method in TABLE}
    expected = {method: cells[who] for method, cells in TABLE.items()}
    if (who, address) == ("nobody", "unix"):  # our uid, and no caller's
        expected = {method: STRANGER if c == NOBODY else c for method, c in expected.items()}
    assert found == expected


async def test_an_rpc_that_nobody_wrote_is_not_let_through(guarded: Post) -> None:
    found = await code_of(guarded.tcp, "/sandboxd.v1.RunnerService/Nope", bearer(token_of("both")))
    assert found == (Code.UNIMPLEMENTED, "")


# --- errors, as each rpc documents them -----------------------------------------------------------


async def test_run_unauthenticated_names_what_is_missing(guarded: Post) -> None:
    async with stub_of(guarded.tcp) as stub:
        refused = await refusal(stub.Run(request("true")))
    assert (refused.code, refused.info.reason) == NOBODY
    assert "authorization" in refused.info.metadata["remedy"]


async def test_get_host_unauthenticated_is_the_same(guarded: Post) -> None:
    async with stub_of(guarded.tcp) as stub:
        refused = await refusal(stub.GetHost(pb.GetHostRequest()))
    assert (refused.code, refused.info.reason) == NOBODY


async def test_run_permission_denied_names_the_role(guarded: Post) -> None:
    async with stub_of(guarded.tcp) as stub:
        refused = await refusal(stub.Run(request("true"), metadata=bearer(token_of("admin"))))
    assert (refused.code, refused.info.reason) == REFUSED
    assert refused.message.startswith(f"cannot call {RUN}: it takes the role run")


async def test_get_host_resource_exhausted_when_called_too_often(tmp_path: Path) -> None:
    rows = row("often", "[caller.share]", "rate = 0.01", "burst = 2"), row("other")
    async with (
        posted(tmp_path, written(tmp_path / "callers.toml", *rows)) as post,
        stub_of(post.tcp) as stub,
    ):
        for _ in range(2):
            await stub.GetHost(pb.GetHostRequest(), metadata=bearer(token_of("often")))
        refused = await refusal(
            stub.GetHost(pb.GetHostRequest(), metadata=bearer(token_of("often")))
        )
        assert (refused.code, refused.info.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
        wait = refused.detail(RetryInfo).retry_delay.ToTimedelta()
        assert timedelta(seconds=50) < wait <= timedelta(seconds=100)
        await stub.GetHost(pb.GetHostRequest(), metadata=bearer(token_of("other")))


async def test_the_client_raises_what_it_is(guarded: Post) -> None:
    async with Client(guarded.tcp, token=SECRET) as client:
        with pytest.raises(UnauthenticatedError) as unknown:
            await client.get_host()
    assert unknown.value.reason == "WRONG_CREDENTIALS"
    assert SECRET not in str(unknown.value)
    async with Client(guarded.tcp, token=token_of("admin")) as client:
        with pytest.raises(ForbiddenError):
            await client.run(["true"])
    async with Client(guarded.tcp, token=token_of("runner")) as client:
        assert (await client.run(["true"])).ending == Exited(0)


# --- before a request is read ---------------------------------------------------------------------


@pytest.mark.parametrize("who", ["nobody", "stranger", "admin"])
async def test_an_unwelcome_request_is_refused_while_it_still_comes(
    guarded: Post, who: str
) -> None:
    metadata = () if who == "nobody" else bearer(token_of(who))
    async with grpc.aio.insecure_channel(guarded.tcp) as channel:
        call = channel.stream_unary(RUN)(metadata=metadata)  # and never sends a request
        assert await asyncio.wait_for(call.code(), PATIENCE) is TABLE[RUN][who][0]


async def test_a_large_request_of_nobody_is_told_why_it_is_refused(guarded: Post) -> None:
    async with Client(guarded.tcp, token=SECRET) as client:
        for _ in range(5):
            with pytest.raises(UnauthenticatedError) as caught:
                await client.run(["true"], stdin=bytes(32 * MIB))
            assert caught.value.reason == "WRONG_CREDENTIALS"


async def test_bytes_that_are_no_message_are_told_to_callers_alone(guarded: Post) -> None:
    assert await code_of(guarded.tcp, RUN, request=b"\xff") == NOBODY
    assert await code_of(guarded.tcp, RUN, bearer(token_of("runner")), b"\xff") == THROUGH


async def test_a_call_without_a_request_is_invalid(guarded: Post) -> None:
    async with grpc.aio.insecure_channel(guarded.tcp) as channel:
        call = channel.stream_unary(RUN)(metadata=bearer(token_of("runner")))
        await call.done_writing()
        assert await asyncio.wait_for(call.code(), PATIENCE) is Code.INVALID_ARGUMENT


# --- tokens ---------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "another's word": (("authorization", f"Basic {token_of('runner')}"),),
    "no scheme": (("authorization", token_of("runner")),),
    "nothing": (("authorization", ""),),
    "an empty token": (("authorization", "Bearer "),),
    "its hash": bearer(row("runner").partition('"sha256:')[2].partition('"')[0]),
    "a piece": bearer(token_of("runner")[:-1]),
    "more": bearer(token_of("runner") + "x"),
    "two": bearer(token_of("runner")) * 2,
    "a long one": bearer("x" * 4096),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_token_is_nobodys(guarded: Post, case: str) -> None:
    assert await code_of(guarded.tcp, GET_HOST, WRONG[case]) == STRANGER


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_written_as_one_likes(guarded: Post, scheme: str) -> None:
    metadata = (("authorization", f"{scheme} {token_of('runner')}"),)
    assert await code_of(guarded.tcp, GET_HOST, metadata) == OK


@pytest.mark.parametrize("kind", [Client, SyncClient])
@pytest.mark.parametrize("address", ["192.0.2.1:50051", "example.org:443", "[2001:db8::1]:1"])
def test_a_token_never_leaves_this_machine_in_the_clear(kind: type, address: str) -> None:
    with pytest.raises(HostError) as caught:
        kind(address, token=SECRET)
    assert caught.value.reason == "TOKEN_IN_CLEAR"
    assert SECRET not in str(caught.value)
    kind(address, token=SECRET, tls=Tls())
    kind("[::1]:1", token=SECRET)


def test_a_token_with_a_line_break_is_refused_by_the_client() -> None:
    with pytest.raises(HostError) as caught:
        Client("127.0.0.1:1", token=SECRET + "\n")
    assert caught.value.reason == "TOKEN_INVALID"


# --- the unix socket ------------------------------------------------------------------------------


async def test_without_a_file_of_callers_the_owner_of_the_socket_may_all(post: Post) -> None:
    async with Client(post.unix) as client:
        assert (await client.run(["true"])).ending == Exited(0)
    assert await code_of(post.unix, GET_HOST) == OK


async def test_our_own_uid_is_a_caller_when_the_file_names_it(tmp_path: Path) -> None:
    rows = row("ours", f"uids = [{os.getuid()}]"), row("runner")
    async with posted(tmp_path, written(tmp_path / "callers.toml", *rows)) as post:
        assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
        assert await code_of(post.unix, GET_HOST) == OK
        assert await code_of(post.tcp, GET_HOST) == NOBODY
        assert await code_of(post.unix, GET_HOST, bearer("wrong")) == STRANGER


# --- reload ---------------------------------------------------------------------------------------


async def test_a_reload_rotates_tokens_without_a_pause(tmp_path: Path) -> None:
    callers = written(tmp_path / "callers.toml", row("runner", token=OLD))
    async with posted(tmp_path, callers) as post, stub_of(post.tcp) as stub:
        seconds = sleep_request("1000")
        running = stub.Run(seconds, metadata=bearer(OLD))
        assert await code_of(post.tcp, GET_HOST, bearer(NEW)) == STRANGER
        written(callers, row("runner", token=NEW))
        assert await code_of(post.tcp, GET_HOST, bearer(OLD)) == OK
        post.server.reload()
        assert await code_of(post.tcp, GET_HOST, bearer(OLD)) == STRANGER
        assert await code_of(post.tcp, GET_HOST, bearer(NEW)) == OK
        assert not running.done(), "what runs already goes on"
        running.cancel()


MISTAKES = {
    "toml": "[[caller",
    "no way to know it": '[[caller]]\nname = "x"\nroles = ["run"]\n',
    "another user, without a gate": row("x", "uids = [12345]"),
}


@pytest.mark.parametrize("case", MISTAKES)
async def test_a_reload_with_a_mistake_changes_nothing_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    callers = written(tmp_path / "callers.toml", row("runner"))
    async with posted(tmp_path, callers) as post:
        written(callers, MISTAKES[case])
        post.server.reload()
        assert await code_of(post.tcp, GET_HOST, bearer(token_of("runner"))) == OK
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert record.getMessage().startswith(f"cannot use {callers}: ")
    assert "what held before still holds" in record.getMessage()


async def test_a_reload_of_a_file_that_others_may_write_changes_nothing(tmp_path: Path) -> None:
    callers = written(tmp_path / "callers.toml", row("runner"))
    async with posted(tmp_path, callers) as post:
        written(callers, row("intruder")).chmod(0o666)
        post.server.reload()
        assert await code_of(post.tcp, GET_HOST, bearer(token_of("intruder"))) == STRANGER
        assert await code_of(post.tcp, GET_HOST, bearer(token_of("runner"))) == OK


async def test_sighup_reloads(tmp_path: Path) -> None:
    callers = written(tmp_path / "callers.toml", row("runner"))
    options = ("--callers", str(callers), "--listen", "127.0.0.1:0")
    with daemon(tmp_path, *options) as server:
        log = tmp_path / "log"
        address = log.read_text().partition("127.0.0.1:")[2].split()[0]
        written(callers, row("runner"), row("second"))
        assert "every user of this machine may call" not in log.read_text()
        token = bearer(token_of("runner"))  # a call is answered when signals are, too
        assert await code_of(f"127.0.0.1:{address}", GET_HOST, token) == OK
        server.signal(1)
        await eventually(lambda: "reloaded" in log.read_text())
        found = await code_of(f"127.0.0.1:{address}", GET_HOST, bearer(token_of("second")))
        assert found == OK


async def test_the_log_warns_where_everybody_may_call(tmp_path: Path) -> None:
    with daemon(tmp_path, "--listen", "127.0.0.1:0"):
        warnings = [x for x in (tmp_path / "log").read_text().splitlines() if "may call" in x]
    (warning,) = warnings
    assert warning.startswith("WARNING sandboxd: weaker: 127.0.0.1:")
