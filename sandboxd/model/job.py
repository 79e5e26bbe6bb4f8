"""What is asked: a job, its files, and the rules that make it meaningful.

Decides whether a job makes sense by itself. Never looks at the host: whether a policy, a root or a
limit is on offer is decided by `plan`.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from sandboxd.errors import JobError, PreconditionError, Violation
from sandboxd.model.blob import Digest, Fetched
from sandboxd.model.limits import KIB, MIB, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORKSPACE = "/workspace"
WRITABLE_PLACES = (WORKSPACE, "/tmp", "/dev/shm")  # noqa: S108 - places inside the sandbox
"""Where a program may write and where input files may go; all on one private tmpfs."""

DEFAULT_ENV: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORKSPACE,
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
}

MAX_ARGV_BYTES = 1 * MIB
"""All arguments and the environment together; the kernel's own bound is a quarter of the stack."""
MAX_ARGUMENT_BYTES = 128 * KIB - 1
"""One argument or NAME=value, without its NUL: the kernel's MAX_ARG_STRLEN."""
MAX_ARGUMENT_COUNT = 16384
MAX_ENV_COUNT = 1024
MAX_PATH_BYTES = 4095
MAX_NAME_BYTES = 255
MAX_FILE_COUNT = 1024
MAX_INPUT_BYTES = 64 * MIB
MAX_BLOB_BYTES = 256 * MIB
"""Of all blobs that are placed as files: each has to be copied into the sandbox's memory."""
MAX_TERMINAL = 4096
MAX_OUTPUT_COUNT = 256
MAX_OUTPUT_DEPTH = 64
MAX_OUTPUT_BYTES = 64 * MIB
DEFAULT_OUTPUT_FILE_BYTES = 16 * MIB


class Network(Enum):
    """What network a sandbox sees; every one has a network namespace of its own."""

    NONE = "none"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal in place of the three pipes: its size in characters, and whether it echoes."""

    rows: int = 24
    columns: int = 80
    echo: bool = True


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file placed before the program starts; owned by it, mode 0644 or 0755."""

    path: str
    """Relative to the job's working directory, or absolute below a writable place."""
    content: bytes | Digest = field(repr=False)
    """The bytes, or a blob that the server has."""
    executable: bool = False
    secret: bool = False
    """Whether its content must reach nothing but the program."""


@dataclass(frozen=True, slots=True)
class OutputPath:
    """A file, or a glob of files, to bring back when the program has ended."""

    path: str
    """Below the working directory; `*`, `?`, `[...]` within a name, `**` for any depth."""
    optional: bool = False
    """Whether its absence goes unmentioned; else a missing file is reported as `MISSING`."""
    max_bytes: int | None = None
    """Above this the file is reported as `TOO_LARGE`; unset means 16 MiB."""
    store: bool = False
    """Whether the server stores it as a blob, and answers with its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One program to run to its end in a fresh sandbox; checked on construction.

    Its `repr` shows nothing that may be secret: no environment, no input.

    Raises:
        JobError: naming every field that breaks a rule, by its proto path.

    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The whole environment; what `secret_env` has is joined to it."""
    working_directory: str = WORKSPACE
    stdin: bytes | Digest = field(default=b"", repr=False)
    """The bytes, or a blob that the server has."""
    files: tuple[InputFile, ...] = ()
    outputs: tuple[OutputPath, ...] = ()
    limits: Limits = field(default_factory=Limits)
    policy: str = "default"
    root: str = "host"
    network: Network = Network.NONE
    merge_stderr: bool = False
    terminal: Terminal | None = None
    """Instead of pipes; all output is then stdout's. Only for jobs that run live, without stdin."""
    require: tuple[str, ...] = ()
    exclusive_cpus: bool = False
    """Whether no other job of this daemon runs on this one's processors meanwhile."""
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables whose values must reach nothing but the program."""

    def __post_init__(self) -> None:
        """Join the secret variables to the others; refuse a job that makes no sense by itself."""
        twice = [name for name in self.secret_env if name in self.env]
        clashes = [n for n in twice if self.env[n] != self.secret_env[n]]  # else it is a copy's
        object.__setattr__(self, "env", {**self.env, **self.secret_env})
        violations = (
            *(Violation(f"secret_env[{name!a}]", "must not be in env, too") for name in clashes),
            *_violations(self),
        )
        if violations:
            raise JobError(*violations)

    @property
    def has_secrets(self) -> bool:
        """Whether something in it is marked secret."""
        return bool(self.secret_env) or any(file.secret for file in self.files)


def check_core(job: Job, core_bytes: int | None) -> None:
    """Refuse secrets where a core could hold them; `core_bytes` is the limit that will hold.

    Raises:
        JobError: naming the limit.

    """
    if core_bytes and job.has_secrets:
        raise JobError(Violation("limits.core_bytes", "must be 0: a core could hold a secret"))


def check_without_blobs(job: Job) -> None:
    """Refuse a job for blobs where none are kept, as in a process without a server.

    Raises:
        PreconditionError: it has one, or wants a file stored (reason BLOBS_OFF).

    """
    if uses_blobs(job):
        subject = next((str(digest) for digest in blobs_of(job)), "blobs")
        text = "cannot take blobs from here, nor store files as blobs: none are kept"
        raise PreconditionError("BLOBS_OFF", subject, text, "use a server that keeps some")


def placed_path(job: Job, path: str) -> str:
    """Give the absolute path inside at which an input file is placed."""
    return path if path.startswith("/") else posixpath.join(job.working_directory, path)


def size_of(content: bytes | Digest) -> int:
    """Give a content's size in bytes; zero for a blob whose size is not said."""
    return len(content) if isinstance(content, bytes) else content.size_bytes or 0


def blobs_of(job: Job) -> tuple[Digest, ...]:
    """Name every blob that goes in; one that is used twice comes twice."""
    contents = (job.stdin, *(file.content for file in job.files))
    return tuple(content for content in contents if isinstance(content, Digest))


def uses_blobs(job: Job) -> bool:
    """Tell whether a job has anything to do with blobs."""
    return bool(blobs_of(job)) or any(output.store for output in job.outputs)


def is_to_store(job: Job, path: str) -> bool:
    """Tell whether a file that came back is one that the job wants stored."""
    return any(output.store and _matches(path, output.path) for output in job.outputs)


def writable_place_of(path: str) -> str | None:
    """Give the writable place that an absolute path lies in or equals, or None."""
    return next(
        (place for place in WRITABLE_PLACES if path == place or path.startswith(place + "/")), None
    )


def _matches(path: str, pattern: str) -> bool:
    """Tell whether a path is, or matches, a pattern; in a time that grows with both only."""
    wanted = pattern.split("/")
    places = _reached({0}, wanted)
    for name in path.split("/"):
        ahead = {
            place + (wanted[place] != "**")
            for place in places
            if place < len(wanted) and (wanted[place] == "**" or fnmatchcase(name, wanted[place]))
        }
        places = _reached(ahead, wanted)
    return len(wanted) in places


def _reached(places: set[int], wanted: list[str]) -> set[int]:
    """Add the places behind each `**`, which may match nothing."""
    found = set(places)
    for place in sorted(places):
        while place < len(wanted) and wanted[place] == "**":
            place += 1  # noqa: PLW2901 - goes on from there
            found.add(place)
    return found


def _violations(job: Job) -> Iterator[Violation]:
    yield from _argv_violations(job.argv)
    yield from _env_violations(job.env, job.secret_env)
    rule = _path_rule(job.working_directory)
    if not job.working_directory.startswith("/"):
        rule = "must be absolute"
    if rule:
        yield Violation("working_directory", rule)
        return
    if size_of(job.stdin) > MAX_INPUT_BYTES:
        yield Violation("stdin", f"must be at most {MAX_INPUT_BYTES} bytes")
    yield from _file_violations(job)
    yield from _output_violations(job.outputs)
    terminal = job.terminal
    if terminal and not all(0 < n <= MAX_TERMINAL for n in (terminal.rows, terminal.columns)):
        yield Violation("terminal", f"rows and columns must be from 1 to {MAX_TERMINAL}")
    if terminal and job.stdin:
        yield Violation("stdin", "must be unset: a terminal is typed at")
    size = sum(len(text.encode("utf-8", "surrogatepass")) + 1 for text in _exec_strings(job))
    if size > MAX_ARGV_BYTES:
        yield Violation("argv", f"with env must be at most {MAX_ARGV_BYTES} bytes")


def _argv_violations(argv: tuple[str, ...]) -> Iterator[Violation]:
    if not argv:
        yield Violation("argv", "must name a program")
        return
    if not argv[0]:
        yield Violation("argv[0]", "must not be empty")
    if len(argv) > MAX_ARGUMENT_COUNT:
        yield Violation("argv", f"must have at most {MAX_ARGUMENT_COUNT} entries")
        return
    for index, argument in enumerate(argv):
        rule = _text_rule(argument, MAX_ARGUMENT_BYTES)
        if rule:
            yield Violation(f"argv[{index}]", rule)


def _env_violations(env: Mapping[str, str], secret_env: Mapping[str, str]) -> Iterator[Violation]:
    if len(env) > MAX_ENV_COUNT:
        yield Violation("env", f"must have at most {MAX_ENV_COUNT} entries")
        return
    for name, value in env.items():
        rule = _text_rule(name, MAX_NAME_BYTES)
        if not name:
            rule = "a name must not be empty"
        elif "=" in name:
            rule = "a name must not contain '='"
        rule = rule or _text_rule(value, MAX_ARGUMENT_BYTES - MAX_NAME_BYTES - 1)
        if rule:
            holder = "secret_env" if name in secret_env else "env"
            yield Violation(f"{holder}[{name[:MAX_NAME_BYTES]!a}]", rule)


def _file_violations(job: Job) -> Iterator[Violation]:
    if len(job.files) > MAX_FILE_COUNT:
        yield Violation("files", f"must have at most {MAX_FILE_COUNT} entries")
        return
    sizes = {True: 0, False: 0}
    for file in job.files:
        sizes[isinstance(file.content, (Digest, Fetched))] += size_of(file.content)
    for of_blobs, most, what in (
        (False, MAX_INPUT_BYTES, "bytes"),
        (True, MAX_BLOB_BYTES, "bytes of blobs"),
    ):
        if sizes[of_blobs] > most:
            yield Violation("files", f"must have at most {most} {what} in all")
    seen: dict[str, int] = {}
    for index, file in enumerate(job.files):
        rule = _path_rule(file.path)
        path = placed_path(job, file.path)
        if not rule and (not writable_place_of(path) or path in WRITABLE_PLACES):
            rule = f"must lie below one of {', '.join(WRITABLE_PLACES)}"
        if not rule and path in seen:
            rule = f"is the same place as files[{seen[path]}].path"
        if rule:
            yield Violation(f"files[{index}].path", rule)
        else:
            seen[path] = index
    yield from _nesting_violations(seen)
    ancestors = (path for path in seen if f"{job.working_directory}/".startswith(f"{path}/"))
    if (above := next(ancestors, None)) is not None:
        yield Violation("working_directory", f"is, or lies below, files[{seen[above]}].path")


def _nesting_violations(seen: Mapping[str, int]) -> Iterator[Violation]:
    above = ""
    # By their parts each path comes right behind what it lies below: one look at each is enough.
    for path in sorted(seen, key=lambda path: path.split("/")):
        if above and path.startswith(f"{above}/"):
            rule = f"lies below files[{seen[above]}].path, which is a file"
            yield Violation(f"files[{seen[path]}].path", rule)
        else:
            above = path


def _output_violations(outputs: tuple[OutputPath, ...]) -> Iterator[Violation]:
    if len(outputs) > MAX_OUTPUT_COUNT:
        yield Violation("outputs", f"must have at most {MAX_OUTPUT_COUNT} entries")
        return
    seen: set[str] = set()
    for index, output in enumerate(outputs):
        rule = _path_rule(output.path)
        if output.path.startswith("/"):
            rule = "must be relative to the working directory"
        elif output.path.count("/") >= MAX_OUTPUT_DEPTH:
            rule = f"must have at most {MAX_OUTPUT_DEPTH} parts"
        elif not rule and output.path in seen:
            rule = "must not be asked for twice"
        if rule:
            yield Violation(f"outputs[{index}].path", rule)
        seen.add(output.path)
        limit = output.max_bytes
        if limit is not None and not 0 < limit <= MAX_OUTPUT_BYTES:
            rule = f"must be from 1 to {MAX_OUTPUT_BYTES}"
            yield Violation(f"outputs[{index}].max_bytes", rule)


def _path_rule(path: str) -> str | None:
    if not path:
        return "must not be empty"
    rule = _text_rule(path, MAX_PATH_BYTES)
    if rule:
        return rule
    if path == "/":
        return None
    parts = path.removeprefix("/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return "must not contain '.', '..' or an empty part"
    if any(len(_encoded(part)) > MAX_NAME_BYTES for part in parts):
        return f"must have at most {MAX_NAME_BYTES} bytes in each part"
    return None


def _text_rule(text: str, max_bytes: int) -> str | None:
    if "\0" in text:
        return "must not contain NUL"
    try:
        size = len(_encoded(text))
    except UnicodeEncodeError:
        return "must be valid text"
    return f"must be at most {max_bytes} bytes" if size > max_bytes else None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _exec_strings(job: Job) -> Iterator[str]:
    yield from job.argv
    for name, value in job.env.items():
        yield f"{name}={value}"
