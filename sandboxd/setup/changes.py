"""The kinds of change to a host, each with its words, its doing and its undoing, and their record.

Files are replaced whole, with their mode and owner, under the lock that useradd(8) takes. The
record is written before each change, so that one that was cut short can be finished or undone.
Undoing takes back exactly what was done, and leaves, with a word, what was changed since.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sandboxd.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

RECORD = "/var/lib/sandboxd/setup.json"
LOCK = "/etc/.pwd.lock"


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A directory that is not there."""

    path: str

    def __str__(self) -> str:
        """Say what will be done."""
        return f"make the directory {self.path}"

    def undo_words(self) -> list[str]:
        """Say what undoing will do."""
        return [f"remove the directory {self.path}"]

    def do(self, root: Path) -> None:
        """Make it."""
        at(root, self.path).mkdir(mode=0o755, exist_ok=True)

    def undo(self, root: Path) -> str:
        """Remove it, if it is empty; give what is left, and why."""
        place = at(root, self.path)
        with suppress(FileNotFoundError):
            if any(place.iterdir()):
                return f"{self.path} stays: it is not empty"
            place.rmdir()
        return ""


@dataclass(frozen=True, slots=True)
class AddLine:
    """A line at the end of a file that others write to as well."""

    path: str
    text: str
    newline_missing: bool = False
    """The file's last line had no end, so we gave it one."""
    file_missing: bool = False

    def __str__(self) -> str:
        """Say what will be done."""
        return f"add to {self.path}: {self.text}"

    def undo_words(self) -> list[str]:
        """Say what undoing will do."""
        return [f"take out of {self.path}: {self.text}"]

    def do(self, root: Path) -> None:
        """Add the line."""
        place = at(root, self.path)
        glue = "\n" if self.newline_missing else ""
        _replace(place, f"{read_text(place) or ''}{glue}{self.text}\n")

    def seen(self, root: Path) -> AddLine:
        """Note how the file is before it is changed."""
        text = read_text(at(root, self.path))
        return replace(
            self,
            newline_missing=bool(text) and not str(text).endswith("\n"),
            file_missing=text is None,
        )

    def undo(self, root: Path) -> str:
        """Take the line out again; give what is left, and why."""
        place = at(root, self.path)
        _scrap(place).unlink(missing_ok=True)
        text = read_text(place)
        lines = (text or "").splitlines(keepends=True)
        ours = f"{self.text}\n"
        if ours not in lines:
            changed = any(line.startswith(self.text.split(":")[0] + ":") for line in lines)
            return f"{self.path} stays: its line was changed since" if changed else ""
        number = len(lines) - 1 - lines[::-1].index(ours)
        was_last = number == len(lines) - 1
        del lines[number]
        left = "".join(lines)
        if not left and self.file_missing:
            place.unlink()
            return ""
        _replace(place, left[:-1] if self.newline_missing and was_last else left)
        return ""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file of our own."""

    path: str
    content: str
    mode: int = 0o644

    def __str__(self) -> str:
        """Say what will be done."""
        return f"write {self.path}"

    def undo_words(self) -> list[str]:
        """Say what undoing will do."""
        return [f"remove {self.path}"]

    def do(self, root: Path) -> None:
        """Write it."""
        _replace(at(root, self.path), self.content, self.mode)

    def undo(self, root: Path) -> str:
        """Remove it, if it still is as we wrote it; give what is left, and why."""
        place = at(root, self.path)
        _scrap(place).unlink(missing_ok=True)
        if read_text(place) not in {None, self.content}:
            return f"{self.path} stays: it was changed since"
        place.unlink(missing_ok=True)
        return ""


@dataclass(frozen=True, slots=True)
class MakeLink:
    """A symbolic link of our own."""

    path: str
    target: str

    def __str__(self) -> str:
        """Say what will be done."""
        return f"link {self.path} to {self.target}"

    def undo_words(self) -> list[str]:
        """Say what undoing will do."""
        return [f"remove {self.path}"]

    def do(self, root: Path) -> None:
        """Make it."""
        with suppress(FileExistsError):
            at(root, self.path).symlink_to(self.target)

    def undo(self, root: Path) -> str:
        """Remove it, if it still leads there; give what is left, and why."""
        place = at(root, self.path)
        if place.is_symlink() and str(place.readlink()) == self.target:
            place.unlink()
        return f"{self.path} stays: it was changed since" if os.path.lexists(place) else ""


@dataclass(frozen=True, slots=True)
class Run:
    """A command that makes a change take effect, and one that ends the effect."""

    command: tuple[str, ...]
    """May be empty: then there is only something to undo."""
    undo_commands: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        """Say what will be done."""
        return f"run {' '.join(self.command)}" if self.command else ""

    def undo_words(self) -> list[str]:
        """Say what undoing will do."""
        return [f"run {' '.join(command)}" for command in self.undo_commands]

    def do(self, root: Path) -> None:  # noqa: ARG002 - only planned for the running system
        """Run it.

        Raises:
            HostError: it failed.

        """
        if self.command and (cause := _failure(self.command)):
            raise HostError(
                "SETUP_COMMAND",
                f"cannot run {' '.join(self.command)}: {cause}",
                "mend that and run setup again, or take all back by setup --undo",
            )

    def undo(self, root: Path) -> str:  # noqa: ARG002 - the same
        """End the effect; give what could not be ended, and why."""
        causes = ((" ".join(command), _failure(command)) for command in self.undo_commands)
        return "; ".join(f"{command}: {cause}" for command, cause in causes if cause)


Change = MakeDirectory | AddLine | WriteFile | MakeLink | Run
KINDS = {kind.__name__: kind for kind in (MakeDirectory, AddLine, WriteFile, MakeLink, Run)}


@dataclass(frozen=True, slots=True)
class Step:
    """A recorded change: one that is not done may have been begun."""

    change: Change
    done: bool


def apply(changes: Iterable[Change], root: Path, say: Callable[[str], None]) -> None:
    """Do the changes in order, recording each before and after.

    Raises:
        HostError: a command failed; what is recorded can be finished or undone.

    """
    with _locked(root):
        steps = read_record(root)
        for change in changes:
            if isinstance(change, AddLine):
                change = change.seen(root)  # noqa: PLW2901 - as it is recorded
            _record(root, [*steps, Step(change, done=False)])
            if str(change):
                say(str(change))
            change.do(root)
            others = [s for s in steps if _subject(s.change) != _subject(change)]
            steps = [*others, Step(change, done=True)]
            _record(root, steps)


def undo(root: Path, say: Callable[[str], None]) -> None:
    """Take all recorded changes back, the last first; say what has to stay.

    Raises:
        HostError: a command failed; it is tried again, with the rest, by the next undo.

    """
    with _locked(root):
        steps = [single for step in read_record(root) for single in _singly(step)]
        failed: list[Step] = []
        while steps:
            step = steps.pop()
            if _is_needed(step.change, failed):
                failed.insert(0, step)
                continue
            for words in step.change.undo_words():
                say(words)
            if left := step.change.undo(root):
                say(f"but: {left}")
                # Of a command that was never done there may be nothing to end.
                if isinstance(step.change, Run) and step.done:
                    failed.insert(0, step)
            _record(root, [*steps, *failed])
        if failed:
            raise HostError(
                "SETUP_COMMAND",
                "cannot take back all: what failed stays recorded",
                f"mend it and run setup --undo again; where nothing is left to end, rm {RECORD}",
            )
        record = at(root, RECORD)
        for place in (record, _scrap(record)):
            place.unlink(missing_ok=True)
        with suppress(OSError):
            record.parent.rmdir()


def _singly(step: Step) -> list[Step]:
    """Take a command's undoing apart, so that what failed of it can be kept alone."""
    if not isinstance(step.change, Run):
        return [step]
    commands = reversed(step.change.undo_commands)  # steps are undone from behind
    return [replace(step, change=replace(step.change, undo_commands=(one,))) for one in commands]


def _is_needed(change: Change, failed: Iterable[Step]) -> bool:
    """Tell whether a command that failed reads this file of ours, by its path or as a unit."""
    if not isinstance(change, WriteFile):
        return False
    names = {change.path, os.path.basename(change.path)}
    commands = [step.change.undo_commands for step in failed if isinstance(step.change, Run)]
    return any(names & set(command) for (command,) in commands)


def read_record(root: Path) -> list[Step]:
    """Give what earlier runs have done, in order.

    Raises:
        HostError: the record cannot be read.

    """
    text = read_text(at(root, RECORD))
    if text is None:
        return []
    try:
        return [_step(entry) for entry in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        remedy = "take back by hand what docs/operating.md lists, and remove the file"
        raise HostError("SETUP_RECORD", f"cannot read {RECORD}: {error}", remedy) from error


def _step(entry: dict[str, Any]) -> Step:
    kind = KINDS[entry.pop("kind")]
    done = entry.pop("done")
    if kind is Run:
        commands = tuple(tuple(command) for command in entry["undo_commands"])
        return Step(Run(tuple(entry["command"]), commands), done)
    return Step(kind(**entry), done)


def _record(root: Path, steps: Iterable[Step]) -> None:
    entries = [
        {"kind": type(step.change).__name__, "done": step.done, **asdict(step.change)}
        for step in steps
    ]
    place = at(root, RECORD)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _replace(place, json.dumps(entries, indent=1) + "\n", 0o600)


def _subject(change: Change) -> tuple[object, ...]:
    """Name what a change is about: a later one about the same takes its place in the record."""
    if isinstance(change, AddLine):
        return (AddLine, change.path, change.text)
    if isinstance(change, Run):
        return (Run, change.command or change.undo_commands)
    return (type(change), change.path)


# --- files ----------------------------------------------------------------------------------------


def at(root: Path, path: str) -> Path:
    """Give the place of an absolute path in the tree of a system."""
    return root / path.lstrip("/")


def read_text(place: Path) -> str | None:
    """Read a file, so that writing it again gives the same bytes; None: it is not there."""
    try:
        # Bytes that are no UTF-8 come through as they are, and so do other line ends.
        with place.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _scrap(place: Path) -> Path:
    return place.with_name(f"{place.name}.sandboxd-new")


def _replace(place: Path, content: str, mode: int | None = None) -> None:
    """Put new content in the place of a file, whole or not at all; keep its owner and mode."""
    scrap = _scrap(place)
    scrap.unlink(missing_ok=True)
    fd = os.open(scrap, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(content)
        file.flush()
        try:
            before = place.stat()
        except FileNotFoundError:
            os.fchmod(fd, 0o644 if mode is None else mode)
        else:
            os.fchown(fd, before.st_uid, before.st_gid)
            os.fchmod(fd, before.st_mode & 0o7777 if mode is None else mode)
        os.fsync(fd)
    scrap.replace(place)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep useradd(8) and its like, and another setup, away from the files of accounts."""
    place = at(root, LOCK)
    made = not place.exists()
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)  # lckpwdf(3) takes a record lock, not flock(2)
        yield
    finally:
        if made:
            place.unlink(missing_ok=True)
        os.close(fd)


def _failure(command: tuple[str, ...]) -> str:
    """Run a command; give why it failed, or nothing."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return error.strerror or ""
    if ended.returncode == 0:
        return ""
    return ended.stderr.strip() or f"exit code {ended.returncode}"
