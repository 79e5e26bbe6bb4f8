"""`sandboxd group`: a judge and a solver from the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
from post import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")

TALK = ("--pipe", "judge>solver", "--pipe", "solver>judge")


async def group(post: Post, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "sandboxd", "group", "--address", post.unix),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_judge_and_a_solver_from_files(post: Post, tmp_path: Path) -> None:
    judge, solver = tmp_path / "judge.sh", tmp_path / "solver.sh"
    judge.write_text("echo 20; read got; test $got = 40 && echo fine >&2")
    solver.write_text("read n; echo $((n * 2))")
    code, out, err = await group(
        post,
        *("--member", "judge=sh judge.sh", "--member", "solver=sh solver.sh"),
        *TALK,
        *("--file", f"judge:judge.sh={judge}", "--file", f"solver:solver.sh={solver}"),
        *("--record", "100"),
    )
    assert code == 0
    assert "judge: fine\n" in out
    assert "'20\\n'" in out
    assert "solver" in err


async def test_the_first_failure_is_the_exit_code_and_json_is_all(post: Post) -> None:
    code, out, err = await group(
        post, "--member", "a=sh -c 'exit 7'", "--member", "b=true", "--json"
    )
    assert (code, err) == (7, "")
    results = json.loads(out)["results"]
    assert [one["name"] for one in results] == ["a", "b"]
    assert results[0]["response"]["outcome"]["exited"] == {"exitCode": 7}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--member", "a=true", "--pipe", "a-b"), "cannot read 'a-b'"),
        (("--member", "a=true", "--file", "x:y=z"), "cannot place 'x:y=z'"),
        (("--member", "a='"), "cannot split"),
        (("--member", "a=true", "--pipe", "a>b"), "pipes[0].reader.member"),
        (("--member", "a=true", "--policy", "none"), "cannot find policy"),
    ],
)
async def test_what_is_wrong_is_told(post: Post, arguments: tuple[str, ...], told: str) -> None:
    code, _, err = await group(post, *arguments)
    assert code == 125
    assert told in err
