"""Tools for an agent: a Python that keeps its variables, a shell and files, all in one sandbox.

    python examples/agent_session.py unix:/run/user/1000/sandboxd.sock

Reads one call a line as JSON, {"tool": "python", "code": "x = 6"}, and answers each with one line,
{"text": ...}: what a model is to read next. What goes wrong is said so that it can go on from
there: what happened, and what is left.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sandboxd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandboxd.attached import Attached
    from sandboxd.sandboxes import Sandbox

    Answer = dict[str, Any] | sandboxd.RunResult
    Tool = Callable[..., Awaitable[str]]

MIB = 1 << 20
LIMITS = sandboxd.Limits(
    cpu_time=timedelta(minutes=10),
    memory_bytes=256 * MIB,
    process_count=64,
    scratch_bytes=64 * MIB,
)
INTERPRETER = Path(__file__).with_name("agent_interpreter.py")
MAX_LETTERS = 10_000
"""Of one answer: a model reads no more."""
PATIENCE_SECONDS = 3
"""For an interpreter to heed an interrupt."""
NO_OUTPUT = "(no output)"
LEFT = "Variables and files are as they were left."
LOST = "Variables are lost, files are not."


class ToolError(Exception):
    """What a tool could not do; the text is for the model."""


class Interpreter:
    """A Python in a sandbox that keeps its variables from call to call."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Start one."""
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._program: asyncio.Future[Attached] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(sandbox))

    async def _live(self, sandbox: Sandbox) -> None:
        """Hear it to its end; what was begun is heard on, whoever loses patience meanwhile."""
        command = ["python3", "-B", "-c", INTERPRETER.read_text()]
        async with sandbox.exec(command) as program:
            self._program.set_result(program)
            begun = b""
            async for piece in program:
                *lines, begun = (begun + piece.data).split(b"\n")
                for line in lines:
                    self._answers.put_nowait(json.loads(line))
            self._answers.put_nowait(await program.result())

    async def run(self, code: str, seconds: float) -> str:
        """Run code; give what it wrote, and the value of its last line.

        Raises:
            ToolError: it raised something, was stopped, or ended the interpreter.

        """
        program = await self._program
        await program.write(json.dumps(code).encode() + b"\n")
        try:
            answer = await self._answer(seconds)
        except TimeoutError:
            await program.signal("INT")
            return await self._stopped(seconds)
        if isinstance(answer, sandboxd.RunResult):
            raise ToolError(f"Python has ended: {told(answer.ending)}. {LOST}")
        return joined(answer["output"], answer.get("error"))

    async def _answer(self, seconds: float) -> Answer:
        """Wait for the next answer; its end is one, and a fault of the server is raised."""
        waiting = asyncio.ensure_future(self._answers.get())
        await asyncio.wait(
            (waiting, self._life), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if self._life.done():
            self._life.result()
        elif waiting.cancel():
            raise TimeoutError
        return await waiting

    async def _stopped(self, seconds: float) -> str:
        try:
            answer = await self._answer(PATIENCE_SECONDS)
        except TimeoutError:
            await self.end()
            raise ToolError(f"stopped after {seconds:g} s, by force. {LOST}") from None
        if isinstance(answer, sandboxd.RunResult):
            raise ToolError(f"stopped after {seconds:g} s: {told(answer.ending)}. {LOST}")
        return joined(answer["output"], f"stopped after {seconds:g} s. {LEFT}")

    @property
    def has_ended(self) -> bool:
        """Whether it takes no more code."""
        return self._life.done()

    async def end(self) -> None:
        """Kill it, if it still runs."""
        self._life.cancel()
        await asyncio.wait([self._life])


class Session:
    """The tools of one agent, in one sandbox; each gives what the model is to read."""

    def __init__(self, sandbox: Sandbox, seconds: float) -> None:
        """Take the sandbox, and how long one call may take."""
        self._sandbox = sandbox
        self._seconds = seconds
        self._interpreter: Interpreter | None = None
        self._tools: dict[str, Tool] = {
            "python": self.python,
            "shell": self.shell,
            "write_file": self.write_file,
            "read_file": self.read_file,
        }

    async def call(self, line: str) -> str:
        """Do what a line of JSON asks for; what cannot be done is an answer, too."""
        try:
            tool, arguments = self._read(line)
            return cut(await tool(**arguments))
        except ToolError as error:
            return cut(f"Error: {error}")
        except (sandboxd.JobError, sandboxd.PreconditionError) as error:  # the call is at fault
            return f"Error: {error}."

    def _read(self, line: str) -> tuple[Tool, dict[str, str]]:
        """Take a call apart.

        Raises:
            ToolError: it is none.

        """
        try:
            call = dict(json.loads(line))
        except (ValueError, TypeError):
            raise ToolError("a call is an object of JSON on one line, with a tool.") from None
        name = str(call.pop("tool", None))
        if name not in self._tools:
            raise ToolError(f"there is no tool {name}; there are {', '.join(self._tools)}.")
        needed = list(inspect.signature(self._tools[name]).parameters)
        if sorted(call) != sorted(needed) or not all(isinstance(call[key], str) for key in needed):
            raise ToolError(f"{name} needs {' and '.join(needed)}, as text.")
        return self._tools[name], call

    async def python(self, code: str) -> str:
        """Run code in the session's Python."""
        if self._interpreter is None or self._interpreter.has_ended:
            self._interpreter = Interpreter(self._sandbox)
        return await self._interpreter.run(code, self._seconds)

    async def shell(self, command: str) -> str:
        """Run a command by a shell of its own; what it starts in the background stays."""
        result = await self._sandbox.run(
            ["sh", "-c", command],
            merge_stderr=True,
            wall_time=timedelta(seconds=self._seconds),
        )
        output = result.stdout.data.decode(errors="replace")
        match result.ending:
            case sandboxd.Exited(0):
                error = None
            case sandboxd.LimitExceeded("wall_time"):
                error = f"stopped after {self._seconds:g} s. Files are as they were left."
            case ending:
                error = f"the command has ended: {told(ending)}."
        return joined(output, error)

    async def write_file(self, path: str, text: str) -> str:
        """Write a file, in place of what is there."""
        content = text.encode()
        await self._sandbox.write_files(sandboxd.InputFile(path, content))
        return f"{path} has {len(content)} bytes now"

    async def read_file(self, path: str) -> str:
        """Read a file."""
        async for file in self._sandbox.read_files(path):
            if file.content is not None:
                return file.content.decode(errors="replace")
            if file.fault is not sandboxd.FileFault.MISSING and file.fault is not None:
                raise ToolError(f"{file.path} cannot be read: {file.fault.value}.")
        raise ToolError(f"there is no file {path}. `shell` with `ls -R` shows what there is.")

    async def end(self) -> None:
        """End what runs."""
        if self._interpreter is not None:
            await self._interpreter.end()


def joined(output: str, error: str | None) -> str:
    """Give what was written, and what went wrong after it."""
    text = output.rstrip("\n")
    if error is None:
        return text or NO_OUTPUT
    return f"{text}\nError: {error}" if text else f"Error: {error}"


def told(ending: sandboxd.Ending) -> str:
    """Say how a program ended."""
    match ending:
        case sandboxd.Exited(code):
            return f"exit code {code}"
        case sandboxd.Signaled(name):
            return f"signal {name}"
        case sandboxd.LimitExceeded("memory_bytes"):
            return f"more than {(LIMITS.memory_bytes or 0) // MIB} MiB of memory in use"
        case sandboxd.LimitExceeded(limit):
            return f"its limit {limit} was reached"
        case sandboxd.SyscallDenied(name):
            return f"the system call {name} is not allowed here"
        case sandboxd.NotStarted(_, message):
            return f"it could not be started, {message}"


def cut(text: str) -> str:
    """Leave out the middle of what is too long: the end has the error."""
    if len(text) <= MAX_LETTERS:
        return text
    half = MAX_LETTERS // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} letters left out ...\n{text[-half:]}"


async def main() -> int:
    """Answer calls until there are no more."""
    parser = argparse.ArgumentParser(description="Give an agent tools in a sandbox.")
    parser.add_argument("address", help="of a sandboxd server: unix:PATH or HOST:PORT")
    parser.add_argument("--seconds", type=float, default=2, help="one call may take (2)")
    options = parser.parse_args()
    async with (
        sandboxd.Client(options.address) as client,
        await client.sandboxes.create(limits=LIMITS, labels={"what": "agent"}) as sandbox,
    ):
        session = Session(sandbox, options.seconds)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"text": await session.call(line)}), flush=True)
        await session.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
