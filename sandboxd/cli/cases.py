"""The cases of `sandboxd batch`: lines of JSON, or the files of a directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sandboxd.cli.jobs import content_from, input_file
from sandboxd.cli.values import parse_limit
from sandboxd.model.batch import Case
from sandboxd.model.limits import ROW_OF, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandboxd.model.blob import Digest

KEYS: Mapping[str, type] = {
    "name": str,
    "stdin": str,
    "stdin_from": str,
    "argv": list,
    "env": dict,
    "files": dict,
    "limits": dict,
    "group": str,
}
"""What a line may say, and as what."""


class NamedCase(NamedTuple):
    """A case, and what people call it."""

    name: str
    case: Case


def cases_from_lines(path: str) -> list[NamedCase]:
    """Read a file of a JSON object a line; one that is called - is our input.

    Raises:
        BadParameter: it cannot be read, or a line is no case.

    """
    found = []
    content = content_from(path)
    assert isinstance(content, bytes)  # noqa: S101 - no digest is asked for
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(_case(json.loads(line), str(number)))
        except (TypeError, ValueError, click.BadParameter) as error:
            raise click.BadParameter(f"cannot use {path}, line {number}: {error}") from None
    return found


def cases_from_directory(directory: str) -> list[NamedCase]:
    """Make a case of each file of a directory, which is its input; in the order of their names.

    Raises:
        BadParameter: it cannot be read.

    """
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
    except OSError as error:
        raise click.BadParameter(f"cannot read {directory}: {error.strerror}") from error
    return [NamedCase(name, Case(stdin=_content(Path(directory, name)))) for name in names]


def _content(path: Path) -> bytes | Digest:
    return content_from(os.fspath(path.absolute()))  # which is never - and no digest


def _case(said: Any, number: str) -> NamedCase:  # noqa: ANN401 - whatever JSON has
    if not isinstance(said, dict):
        raise TypeError("it is no object")
    for key, value in said.items():
        if not isinstance(value, KEYS.get(key, ())):
            known = ", ".join(f"{name}: {kind.__name__}" for name, kind in KEYS.items())
            raise TypeError(f"{key!r} is none of {known}")
    _check_texts(said)
    if "stdin" in said and "stdin_from" in said:
        raise ValueError("'stdin' and 'stdin_from' exclude each other")
    stdin: bytes | Digest | None = said["stdin"].encode() if "stdin" in said else None
    if "stdin_from" in said:
        stdin = content_from(said["stdin_from"])
    case = Case(
        stdin=stdin,
        argv=tuple(said.get("argv", ())),
        env=said.get("env", {}),
        files=tuple(input_file(f"{to}={source}") for to, source in said.get("files", {}).items()),
        limits=_limits(said.get("limits", {})),
        group=said.get("group", ""),
    )
    return NamedCase(said.get("name", number), case)


def _check_texts(said: dict[str, Any]) -> None:
    texts = [*said.get("argv", ())]
    for key in ("env", "files"):
        texts += said.get(key, {}).values()
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("what 'argv', 'env' and 'files' hold must be texts")


def _limits(said: dict[str, Any]) -> Limits:
    unknown = said.keys() - ROW_OF.keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} is no limit; see docs/limits.md")
    values: dict[str, Any] = {
        name: parse_limit(ROW_OF[name], str(value)) for name, value in said.items()
    }
    return Limits(**values)
