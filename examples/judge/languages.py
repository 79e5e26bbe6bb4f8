"""Languages: how a source is compiled, once, and how what comes of it is run, many times.

What the compiler made stays on the server, as a blob; only its digest comes here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sandboxd

if TYPE_CHECKING:
    from sandboxd import Client, Digest, InputFile, Job, Limits

MIB = 1 << 20
KIT = Path(__file__).with_name("kit.py")
COMPILER_LIMITS = sandboxd.Limits(
    cpu_time=timedelta(seconds=20),
    wall_time=timedelta(minutes=2),
    memory_bytes=1024 * MIB,
    process_count=256,
)


@dataclass(frozen=True, slots=True)
class Language:
    """One language; the suffix of a file says which one it is written in."""

    source: str
    compiler: tuple[str, ...]
    artifact: str
    runner: tuple[str, ...]
    """`{heap}` stands for the memory limit in MiB."""
    version: tuple[str, ...]
    """A command that works where the language is installed."""
    extra_memory_bytes: int = 0
    """What its machine takes beside the program's own."""
    time_factor: float = 1.0


LANGUAGES = {
    ".cpp": Language(
        source="program.cpp",
        compiler=("g++", "-std=c++17", "-O2", "-o", "program", "program.cpp"),
        artifact="program",
        runner=("./program",),
        version=("g++", "--version"),
    ),
    ".py": Language(
        source="program.py",
        compiler=(
            "python3",
            "-c",
            "import py_compile; py_compile.compile('program.py', 'program.pyc', doraise=True)",
        ),
        artifact="program.pyc",
        runner=("python3", "-B", "program.pyc"),
        version=("python3", "--version"),
        time_factor=2.0,
    ),
    ".java": Language(
        source="Main.java",
        compiler=(
            "sh",
            "-c",
            "javac -d out Main.java && jar --create --file program.jar --main-class Main -C out .",
        ),
        artifact="program.jar",
        runner=(
            *("java", "-Xmx{heap}m", "-Xss16m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-XX:-UsePerfData", "-jar", "program.jar"),
        ),
        version=("javac", "-version"),
        extra_memory_bytes=192 * MIB,
        time_factor=2.0,
    ),
}


@dataclass(frozen=True, slots=True)
class Program:
    """A source that is compiled."""

    language: Language
    artifact: Digest

    def job(
        self,
        limits: Limits,
        *arguments: str,
        stdin: bytes | Digest = b"",
        files: tuple[InputFile, ...] = (),
        outputs: tuple[sandboxd.OutputPath, ...] = (),
    ) -> Job:
        """Give the job that runs it: one process, by the policy for contest programs."""
        heap = (limits.memory_bytes or 0) // MIB
        program = sandboxd.InputFile(self.language.artifact, self.artifact, executable=True)
        return sandboxd.Job(
            argv=(*(word.format(heap=heap) for word in self.language.runner), *arguments),
            files=(program, *files),
            stdin=stdin,
            outputs=outputs,
            limits=self._own(limits),
            policy="strict",
        )

    def _own(self, limits: Limits) -> Limits:
        assert limits.cpu_time is not None
        assert limits.wall_time is not None
        assert limits.memory_bytes is not None
        return replace(
            limits,
            cpu_time=limits.cpu_time * self.language.time_factor,
            wall_time=limits.wall_time * self.language.time_factor,
            memory_bytes=limits.memory_bytes + self.language.extra_memory_bytes,
        )


class CompileError(Exception):
    """The compiler refused the source; its words are the text."""


async def compiled(client: Client, source: Path) -> Program:
    """Compile a source in a sandbox; the program stays on the server.

    Raises:
        CompileError: it is none.

    """
    language = LANGUAGES[source.suffix]
    result = await client.run(
        language.compiler,
        files=(sandboxd.InputFile(language.source, source.read_bytes()),),  # noqa: ASYNC240 - a few lines
        outputs=(sandboxd.OutputPath(language.artifact, store=True),),
        limits=COMPILER_LIMITS,
        policy="build",
        merge_stderr=True,
    )
    (file,) = result.files
    if result.ending != sandboxd.Exited(0) or file.blob is None:
        log = result.stdout.data.decode(errors="replace")
        raise CompileError(f"{result.ending}, {file.fault}\n{log}")
    return Program(language, file.blob)


async def missing_languages(client: Client) -> dict[str, str]:
    """Ask the server which languages it lacks: their suffixes, and what it said."""
    found = {}
    for suffix, language in LANGUAGES.items():
        result = await client.run(language.version, limits=COMPILER_LIMITS, policy="build")
        if result.ending != sandboxd.Exited(0):
            found[suffix] = f"{language.version[0]}: {result.ending}"
    return found
