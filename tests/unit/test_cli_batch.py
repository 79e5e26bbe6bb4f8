"""The cases of `sandboxd batch`, as they stand in files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click
import pytest

from sandboxd.cli.cases import NamedCase, cases_from_directory, cases_from_lines
from sandboxd.model.batch import Case
from sandboxd.model.blob import Digest
from sandboxd.model.job import InputFile
from sandboxd.model.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "a" * 64


def lines(tmp_path: Path, *some: str) -> str:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(some))
    return str(path)


def test_a_line_says_what_is_different(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\xff\0")
    path = lines(
        tmp_path,
        '{"stdin": "1 2\\n", "limits": {"cpu_time": "200ms", "memory_bytes": "1MiB"}}',
        "",
        f'{{"name": "b", "stdin_from": "{tmp_path}/in", "argv": ["a", "b"], "group": "g"}}',
        f'{{"stdin_from": "{DIGEST}", "env": {{"K": "v"}}, "files": {{"f": "{DIGEST}"}}}}',
        "{}",
    )
    blob = Digest("a" * 64)
    assert cases_from_lines(path) == [
        NamedCase(
            "1",
            Case(
                stdin=b"1 2\n",
                limits=Limits(cpu_time=timedelta(milliseconds=200), memory_bytes=1 << 20),
            ),
        ),
        NamedCase("b", Case(stdin=b"\xff\0", argv=("a", "b"), group="g")),
        NamedCase(
            "4",
            Case(stdin=blob, env={"K": "v"}, files=(InputFile("f", blob, executable=True),)),
        ),
        NamedCase("5", Case()),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "it is no object"),
        ("{", "Expecting property name"),
        ('{"stdni": ""}', "'stdni' is none of name: str, stdin: str"),
        ('{"argv": "true"}', "'argv' is none of"),
        ('{"argv": [1]}', "must be texts"),
        ('{"env": {"A": 1}}', "must be texts"),
        ('{"stdin": "", "stdin_from": "x"}', "exclude each other"),
        ('{"limits": {"cpu": "1s"}}', "cpu is no limit"),
        ('{"limits": {"cpu_time": "soon"}}', "'soon' is no duration"),
        ('{"stdin_from": "/no-such-file"}', "cannot read /no-such-file"),
    ],
)
def test_a_line_that_is_no_case_is_told_by_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = lines(tmp_path, "{}", line)
    with pytest.raises(click.BadParameter, match=f"cannot use {path}, line 2: ") as caught:
        cases_from_lines(path)
    assert told in str(caught.value)


def test_each_file_of_a_directory_is_a_case(tmp_path: Path) -> None:
    for name in ("10", "02", "sha256:x"):
        (tmp_path / name).write_text(name)
    (tmp_path / "below").mkdir()
    assert cases_from_directory(str(tmp_path)) == [
        NamedCase(name, Case(stdin=name.encode())) for name in ("02", "10", "sha256:x")
    ]
    with pytest.raises(click.BadParameter, match="cannot read"):
        cases_from_directory(str(tmp_path / "none"))
