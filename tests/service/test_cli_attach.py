"""`sandboxd attach --address`: the same as without, at a server."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
from post import PATIENCE, eventually, marker, sleepers

if TYPE_CHECKING:
    from post import Post

pytestmark = pytest.mark.usefixtures("sandboxing_host")


async def attached(post: Post, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "sandboxd", "attach", "--address", post.unix),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_lines_are_answered_as_they_come_from_a_server(post: Post) -> None:
    script = "while read x; do echo got $x; echo err >&2; done; exit 3"
    process = await attached(post, "--", "sh", "-c", script)
    assert process.stdin is not None
    assert process.stdout is not None
    for word in (b"one\n", b"two\n"):
        process.stdin.write(word)
        assert await process.stdout.readline() == b"got " + word
    assert await asyncio.wait_for(process.communicate(b""), PATIENCE) == (b"", b"err\nerr\n")
    assert process.returncode == 3


async def test_a_terminal_of_a_server_has_our_size_or_the_usual_one(post: Post) -> None:
    process = await attached(post, "--terminal", "--", "sh", "-c", "tty; stty size; cat")
    out, _ = await asyncio.wait_for(process.communicate(b"typed\n"), PATIENCE)
    assert b"/dev/pts/0\r\n24 80\r\n" in out
    assert out.count(b"typed\r\n") == 2
    assert process.returncode == 0


async def test_a_signal_to_the_command_reaches_the_program_at_the_server(post: Post) -> None:
    sleep = marker()
    process = await attached(post, "--", "sleep", sleep)
    await eventually(lambda: len(sleepers(sleep)) == 1)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 128 + 15
    await eventually(lambda: not sleepers(sleep))


async def test_what_the_server_refuses_is_told_in_one_line(post: Post) -> None:
    process = await attached(post, "--policy", "none", "--", "true")
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 125
    assert err.startswith(b"sandboxd: cannot find policy 'none'")
    assert err.count(b"\n") == 1
