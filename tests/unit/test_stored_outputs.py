"""Which files a job wants stored: patterns mean here what they mean to init, and cost no time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.kernel import files
from sandboxd.model.job import Job, OutputPath, is_to_store

if TYPE_CHECKING:
    from pathlib import Path

TREE = ["a", "b.out", "d/a", "d/b.out", "d/e/a", "d/e/b.out", "d/e/f/[x]", "d.out/x"]
PATTERNS = [
    "a", "*", "*.out", "?", "**", "**/a", "**/*.out", "d/*", "d/**", "d/**/a", "*/*/*",
    "**/**/b.out", "d/e/f/[[]x]", "d/e/f/[x]", "**/e/**", "no",
]  # fmt: skip


def job(*outputs: OutputPath) -> Job:
    return Job(argv=("true",), outputs=outputs)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_init_finds_by_a_pattern_is_stored_by_it(tree: Path, pattern: str) -> None:
    found = set()
    for match in files.collect(str(tree), [[pattern, True, 1000]]):
        if match.fd is not None:
            os.close(match.fd)
            found.add(match.path)
    asked = job(OutputPath(pattern, store=True))
    assert {name for name in TREE if is_to_store(asked, name)} == found


def test_only_entries_that_say_so_are_stored() -> None:
    asked = job(OutputPath("a"), OutputPath("*.out", store=True), OutputPath("b.out"))
    assert [is_to_store(asked, name) for name in ("a", "b.out", "c")] == [False, True, False]


@given(st.text("ab/*?[]", min_size=1, max_size=30), st.text("ab/", min_size=1, max_size=60))
def test_any_pattern_and_any_path_have_an_answer_at_once(pattern: str, path: str) -> None:
    parts = [part for part in pattern.split("/") if part] or ["a"]
    began = time.process_time()
    is_to_store(job(OutputPath("/".join(parts), store=True)), path)
    assert time.process_time() - began < 1


def test_a_hostile_pattern_takes_no_time() -> None:
    asked = job(OutputPath("/".join(["**", "*a*a*a*a*b"] * 32), store=True))
    began = time.process_time()
    assert not is_to_store(asked, "/".join(["a" * 255] * 15))
    assert time.process_time() - began < 1
