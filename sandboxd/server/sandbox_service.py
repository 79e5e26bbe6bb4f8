"""The servicer of sandboxes that stay: whose they are, how long they live, what is done in them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandboxd.errors import (
    Busy,
    HostError,
    JobError,
    NotFoundError,
    PreconditionError,
    RequestError,
    SandboxdError,
    Violation,
)
from sandboxd.model.limits import Limits
from sandboxd.runtime.lasting import SandboxEnded
from sandboxd.server import attaching, audit, calls, wire, wire_sandbox
from sandboxd.server.budgets import Budget
from sandboxd.server.streams import Streams
from sandboxd.server.wire_values import message_from
from sandboxd.v1 import runner_service_pb2 as runner_pb
from sandboxd.v1 import sandbox_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import grpc

    from sandboxd.runtime.lasting import Lasting
    from sandboxd.runtime.live import Live
    from sandboxd.runtime.supervisor import Supervisor
    from sandboxd.server.wire_sandbox import Wanted

    Context = grpc.aio.ServicerContext[Any, Any]

DESCRIPTOR = pb.DESCRIPTOR.services_by_name["SandboxService"]
MAX_SANDBOXES = 64
"""Of all callers together, unless the operator says otherwise."""
MAX_REMEMBERED = 1024
"""Of those that ended: why."""
RETRY_AFTER = timedelta(seconds=10)
MAX_ANSWER_BYTES, MAX_REQUEST_BYTES = 256 << 20, 256 << 20
"""Of files that are read, and of those that are written, in memory at once."""
LOOK_SECONDS = 0.5
"""Between two looks whether a sandbox has ended by itself."""
DRAIN_LOOK_SECONDS = 0.05


class _Kept:
    """One sandbox of somebody's, and how long it may live."""

    def __init__(self, tenant: str, wanted: Wanted, memory_bytes: int) -> None:
        self.id = secrets.token_hex(16)
        self.tenant = tenant
        self.wanted = wanted
        self.memory_bytes = memory_bytes
        self.created = time.time()
        self.lasting: Lasting | None = None
        self.task: asyncio.Task[None] | None = None
        self.reading = asyncio.Lock()
        """Whose files are being read: init reads for one at a time."""
        self._used = self.created
        self._ended = asyncio.Event()

    def use(self) -> None:
        """Count this as a use of it."""
        self._used = time.time()

    @property
    def is_busy(self) -> bool:
        return self.lasting is not None and self.lasting.running_count > 0

    @property
    def idle_end(self) -> float:
        since = time.time() if self.is_busy else self._used
        return min(since + self.wanted.idle_time.total_seconds(), self.end)

    @property
    def end(self) -> float:
        return self.created + self.wanted.life_time.total_seconds()

    def finish(self, cause: str) -> None:
        """Have it ended."""
        if self.lasting is not None:
            self.lasting.end(cause)
        self._ended.set()

    async def live(self) -> None:
        """Return when its time is over, or it has ended."""
        while (left := self.idle_end - time.time()) > 0 and not self._is_over():
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await self._ended.wait()
            except TimeoutError:
                continue
        if not self._is_over():
            over = "life" if time.time() >= self.end else "idle"
            self.finish(f"its {over}_time was over")

    def _is_over(self) -> bool:
        return self._ended.is_set() or (self.lasting is not None and bool(self.lasting.cause))


class SandboxService(pb_grpc.SandboxServiceServicer):
    """Serves `sandboxd.v1.SandboxService`. What it raises, the guard before it answers."""

    def __init__(
        self, supervisor: Supervisor, most: int = MAX_SANDBOXES, *, is_shared: bool = False
    ) -> None:
        """Take what makes sandboxes, and how many there may be.

        Where several workers share the port (`is_shared`) there are none: a call could not choose
        the worker that has the sandbox.
        """
        self._is_shared = is_shared
        self._supervisor = supervisor
        self._most = most
        self._kept: dict[str, _Kept] = {}
        self._causes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._is_draining = False
        self._answers = Budget(MAX_ANSWER_BYTES, "files")
        self._requests = Budget(MAX_REQUEST_BYTES, "files to be written")
        self._streams = Streams("files")

    async def CreateSandbox(  # noqa: N802
        self, request: pb.CreateSandboxRequest, _context: Context
    ) -> pb.CreateSandboxResponse:
        """Make a sandbox; a caller that leaves meanwhile has none."""
        known = calls.known()
        if self._is_shared:
            text = "cannot make a sandbox that stays: this server has several workers"
            raise PreconditionError("SANDBOXES_OFF", "workers", text, "serve with one worker")
        if self._is_draining:
            text = "cannot make a sandbox: the server is leaving"
            raise HostError("DRAINING", text, "ask another server")
        with _in_request(""):
            wanted = wire_sandbox.to_wanted(request, self._supervisor.host)
            limits = self._supervisor.check(wanted.template, is_live=True, is_shared=True)
        calls.current().policy = wanted.template.policy
        calls.current().policy_digest = self._supervisor.host.policies[
            wanted.template.policy
        ].digest
        kept = _Kept(known.tenant, wanted, limits.memory_bytes or 0)
        self._check_room(kept, known)
        self._kept[kept.id] = kept
        calls.current().sandbox = kept.id
        ready = asyncio.get_running_loop().create_future()
        kept.task = asyncio.create_task(self._keep(kept, ready), name="sandbox")
        try:
            await ready
        except asyncio.CancelledError:
            kept.finish("its caller left")
            raise
        return pb.CreateSandboxResponse(sandbox=_message(kept))

    async def GetSandbox(  # noqa: N802
        self, request: pb.GetSandboxRequest, _context: Context
    ) -> pb.GetSandboxResponse:
        """Tell how a sandbox is."""
        return pb.GetSandboxResponse(sandbox=_message(self._mine(request.id)[0]))

    async def ListSandboxes(  # noqa: N802
        self, request: pb.ListSandboxesRequest, _context: Context
    ) -> pb.ListSandboxesResponse:
        """List the caller's sandboxes."""
        tenant, labels = calls.known().tenant, request.labels.items()
        found = [
            _message(kept)
            for kept in self._kept.values()
            if kept.tenant == tenant
            and kept.lasting is not None
            and not kept.lasting.cause
            and labels <= kept.wanted.labels.items()
        ]
        return pb.ListSandboxesResponse(sandboxes=found)

    async def DeleteSandbox(  # noqa: N802
        self, request: pb.DeleteSandboxRequest, _context: Context
    ) -> pb.DeleteSandboxResponse:
        """End a sandbox; nothing of it is left when this answers."""
        kept, _ = self._mine(request.id)
        kept.finish("it was deleted")
        if kept.task is not None:
            await asyncio.shield(asyncio.gather(kept.task, return_exceptions=True))
        return pb.DeleteSandboxResponse()

    async def PauseSandbox(  # noqa: N802
        self, request: pb.PauseSandboxRequest, _context: Context
    ) -> pb.PauseSandboxResponse:
        """Stop all processes of a sandbox."""
        kept, lasting = self._mine(request.id)
        await lasting.pause()
        return pb.PauseSandboxResponse(sandbox=_message(kept))

    async def ResumeSandbox(  # noqa: N802
        self, request: pb.ResumeSandboxRequest, _context: Context
    ) -> pb.ResumeSandboxResponse:
        """Let them go on."""
        kept, lasting = self._mine(request.id)
        lasting.resume()
        return pb.ResumeSandboxResponse(sandbox=_message(kept))

    async def Exec(  # noqa: N802
        self, requests: AsyncIterator[pb.ExecRequest], context: Context
    ) -> None:
        """Run a program in a sandbox, live."""
        request = await attaching.first(requests, "program")
        if request.WhichOneof("input") != "program":
            raise RequestError(Violation("program", "must be in the first message"))
        kept, lasting = self._mine(request.program.sandbox_id)
        if self._is_draining:
            raise HostError("DRAINING", "cannot run: the server is leaving", "ask another server")
        job, takes_input = wire_sandbox.to_program(request, kept.wanted.template)
        call = calls.current()
        call.policy, call.policy_digest = job.policy, lasting.plan.policy.digest
        await audit.note_digest(call, wire.from_job(replace(job, limits=Limits())))

        async def run(live: Live) -> Any:  # noqa: ANN401 - RunResult
            with _in_request("program.", holder="limits."), self._named(kept):
                return await self._supervisor.run_in(lasting, job, live)

        async def write(response: runner_pb.AttachResponse) -> None:
            await context.write(wire_sandbox.as_exec(response))

        said = (wire_sandbox.as_attach(one) async for one in requests)
        try:
            call.result = await attaching.attached(run, said, write, takes_input=takes_input)
        finally:
            kept.use()

    async def WriteFiles(  # noqa: N802
        self, request: pb.WriteFilesRequest, _context: Context
    ) -> pb.WriteFilesResponse:
        """Write files into a sandbox."""
        kept, lasting = self._mine(request.sandbox_id)
        with self._named(kept), self._requests.taken(kept.tenant, request.ByteSize()):
            await lasting.write(wire_sandbox.to_files(request))
        return pb.WriteFilesResponse()

    async def ReadFiles(self, request: pb.ReadFilesRequest, context: Context) -> None:  # noqa: N802
        """Read files out of a sandbox."""
        kept, lasting = self._mine(request.sandbox_id)
        paths = wire_sandbox.to_paths(request)
        async with kept.reading:
            with self._named(kept):
                found = list(await lasting.read(paths))
            size_bytes = sum(len(file.content or b"") for file in found)
            give_back = self._answers.take(kept.tenant, size_bytes)
        # Not when we have sent it: gRPC keeps what its caller does not take.
        context.add_done_callback(lambda _: give_back())  # type: ignore[arg-type]  # the stub wants a class
        while found:
            response = pb.ReadFilesResponse(file=wire.from_file(found.pop(0)))
            await self._streams.send(response, kept.tenant, context)

    async def drain(self) -> None:
        """Refuse new sandboxes and programs; return when no program of Exec runs any more."""
        self._is_draining = True
        while any(kept.is_busy for kept in self._kept.values()):  # noqa: ASYNC110 - rare, and once
            await asyncio.sleep(DRAIN_LOOK_SECONDS)

    def cut_short(self) -> None:
        """End all sandboxes now."""
        self._is_draining = True
        for kept in tuple(self._kept.values()):
            kept.finish("the server has left")

    async def close(self) -> None:
        """End all sandboxes; returns when nothing is left of them."""
        self.cut_short()
        tasks = [kept.task for kept in self._kept.values() if kept.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, kept: _Kept, ready: asyncio.Future[None]) -> None:
        """Have one sandbox for as long as it lives."""
        try:
            async with self._supervisor.lasting(kept.wanted.template) as lasting:
                kept.lasting = lasting
                if ready.cancelled():
                    return
                ready.set_result(None)
                await kept.live()
                self._remember(kept, lasting.cause)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
                return
            raise
        finally:
            del self._kept[kept.id]

    def _remember(self, kept: _Kept, cause: str) -> None:
        self._causes[kept.tenant, kept.id] = cause
        if len(self._causes) > MAX_REMEMBERED:
            self._causes.popitem(last=False)

    def _mine(self, id_: str) -> tuple[_Kept, Lasting]:
        """Give a sandbox of the caller's, and count this as a use of it."""
        tenant = calls.known().tenant
        kept = self._kept.get(id_)
        if kept is None or kept.tenant != tenant or kept.lasting is None or kept.lasting.cause:
            cause = self._causes.get((tenant, id_), "")
            if not cause and kept is not None and kept.tenant == tenant and kept.lasting:
                cause = kept.lasting.cause
            why = f": {cause}" if cause else ""
            text = f"cannot find sandbox {id_[:64]!r}: you have none of this name{why}"
            raise NotFoundError("SANDBOX_UNKNOWN", text)
        kept.use()
        calls.current().sandbox = kept.id
        return kept, kept.lasting

    @contextmanager
    def _named(self, kept: _Kept) -> Iterator[None]:
        """Tell of a sandbox that ended meanwhile as of one that is not there."""
        try:
            yield
        except SandboxEnded as error:
            cause = kept.lasting.cause if kept.lasting else str(error)
            text = f"cannot go on in sandbox {kept.id!r}: {cause}"
            raise NotFoundError("SANDBOX_UNKNOWN", text) from error

    def _check_room(self, wanted: _Kept, known: calls.Known) -> None:
        if len(self._kept) >= self._most:
            text = f"cannot make another sandbox: there are {self._most}, which is all that may"
            raise _busy("SANDBOXES_FULL", text)
        owned = [kept for kept in self._kept.values() if kept.tenant == known.tenant]
        if len(owned) >= max(1, self._most // 2):
            text = f"cannot make another sandbox: you have {len(owned)}, which is all of one caller"
            raise _busy("SHARE_EXHAUSTED", text)
        most, own = known.caller.share.memory_bytes, sum(kept.memory_bytes for kept in owned)
        if most is not None and own + wanted.memory_bytes > most:
            text = f"cannot make another sandbox: yours may have {most} bytes of memory together"
            raise _busy("SHARE_EXHAUSTED", text)


def _busy(reason: str, text: str) -> SandboxdError:
    busy = Busy(text, RETRY_AFTER)
    busy.reason = reason
    return busy


@contextmanager
def _in_request(path: str, holder: str = "") -> Iterator[None]:
    """Name the fields of a job that is refused by their paths in the request.

    What is in `holder` of a job is in the request's message itself.
    """
    try:
        yield
    except RequestError:
        raise
    except JobError as error:
        named = (Violation(path + v.field.removeprefix(holder), v.rule) for v in error.violations)
        raise RequestError(*named) from None


def _message(kept: _Kept) -> pb.Sandbox:
    """Tell how a sandbox is."""
    lasting = kept.lasting
    assert lasting is not None  # noqa: S101 - it was found by it
    message = pb.Sandbox(
        id=kept.id,
        paused=lasting.is_paused,
        labels=kept.wanted.labels,
        enforced=[
            message_from(runner_pb.EnforcedLimit, limit)
            for limit in lasting.plan.enforced
            if limit.limit not in wire_sandbox.OWN_LIMITS
        ],
        policy_digest=lasting.plan.policy.digest,
        running_count=lasting.running_count,
    )
    for name, moment in (
        ("create_time", kept.created),
        ("idle_expire_time", kept.idle_end),
        ("expire_time", kept.end),
    ):
        getattr(message, name).FromDatetime(datetime.fromtimestamp(moment, UTC))
    used = lasting.usage()
    message.usage.cpu_time.FromTimedelta(used.cpu_time or timedelta())
    message.usage.peak_memory_bytes = used.peak_memory_bytes or 0
    message.usage.peak_process_count = used.peak_process_count or 0
    message.usage.oom_kill_count = used.oom_kill_count
    message.usage.memory_bytes, message.usage.process_count = lasting.now()
    return message
