"""Run: one call, one job, one answer; on both kinds of address, files and bytes as they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from post import request, stub_of

from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from post import Post

EVERY_BYTE = bytes(range(256))


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_run_answers_on_a_unix_socket_and_on_tcp(post: Post, kind: str) -> None:
    async with stub_of(getattr(post, kind)) as stub:
        answer = await stub.Run(request("sh", "-c", "echo out; echo err >&2; exit 7"))
    assert answer.outcome.exited.exit_code == 7
    assert answer.stdout == pb.Captured(data=b"out\n", total_bytes=4)
    assert answer.stderr == pb.Captured(data=b"err\n", total_bytes=4)
    assert not answer.files


async def test_an_answer_says_what_was_used_and_what_was_enforced(stub: Any) -> None:
    described = await stub.GetHost(pb.GetHostRequest())
    answer = await stub.Run(request("true"))
    usage = answer.outcome.usage
    assert usage.wall_time.ToMicroseconds() > 0
    assert usage.setup_time.ToMicroseconds() > 0
    parts = usage.user_time.ToMicroseconds() + usage.system_time.ToMicroseconds()
    assert usage.cpu_time.ToMicroseconds() - parts in {0, 1, 2}, "each is cut off by itself"
    mechanisms = {row.limit: row.mechanism for row in described.mechanisms}
    enforced = {row.limit: row.mechanism for row in answer.outcome.enforced}
    assert enforced.pop("landlock").startswith(("Landlock ABI ", "none"))
    assert {"cpu_time", "memory_bytes", "process_count"} <= enforced.keys()
    for limit, mechanism in enforced.items():
        assert mechanism in mechanisms[limit], "a part of what the host has, or all of it"
    (digest,) = (policy.digest for policy in described.policies if policy.name == "default")
    assert answer.outcome.policy_digest == digest


async def test_binary_output_comes_back_byte_for_byte(stub: Any) -> None:
    answer = await stub.Run(request("cat", stdin=pb.Content(data=EVERY_BYTE * 2000)))
    assert answer.stdout.data == EVERY_BYTE * 2000
    assert not answer.stdout.truncated


async def test_output_above_the_limit_is_counted_and_marked(stub: Any) -> None:
    asked = request("head", "-c", "3000000", "/dev/zero", limits=pb.Limits(output_bytes=10))
    answer = await stub.Run(asked)
    assert answer.stdout == pb.Captured(data=bytes(10), total_bytes=3_000_000, truncated=True)
    assert answer.outcome.limits_touched == ["output_bytes"]


async def test_merged_stderr_keeps_the_order(stub: Any) -> None:
    asked = request("sh", "-c", "echo a; echo b >&2; echo c", merge_stderr=True)
    answer = await stub.Run(asked)
    assert (answer.stdout.data, answer.stderr.data) == (b"a\nb\nc\n", b"")


async def test_the_environment_and_directory_are_as_asked(stub: Any) -> None:
    asked = request("sh", "-c", "pwd; echo $GREETING", working_directory="/tmp")
    asked.job.env["GREETING"] = "grüezi"
    answer = await stub.Run(asked)
    assert answer.stdout.data.decode() == "/tmp\ngrüezi\n"


async def test_files_go_in_and_come_out(stub: Any) -> None:
    asked = request(
        "sh",
        "-c",
        "./deep/run; cp data copy; chmod +x copy; stat -c %a data deep/run",
        files=[
            pb.InputFile(path="data", content=pb.Content(data=EVERY_BYTE)),
            pb.InputFile(
                path="deep/run",
                content=pb.Content(data=b"#!/bin/sh\necho ran > /workspace/log.txt\n"),
                executable=True,
            ),
            pb.InputFile(path="/tmp/empty"),
        ],
        outputs=[
            pb.OutputPath(path="*.txt"),
            pb.OutputPath(path="copy"),
            pb.OutputPath(path="absent", optional=True),
        ],
    )
    answer = await stub.Run(asked)
    assert answer.stdout.data == b"644\n755\n"
    assert list(answer.files) == [
        pb.OutputFile(path="log.txt", content=pb.Content(data=b"ran\n")),
        pb.OutputFile(path="copy", content=pb.Content(data=EVERY_BYTE), executable=True),
    ]


async def test_each_fault_of_an_output_has_its_name_and_changes_no_ending(stub: Any) -> None:
    script = "mkdir d; mkfifo p; ln -s /etc/passwd l; head -c 100 /dev/zero > big; exit 3"
    asked = request(
        "sh",
        "-c",
        script,
        outputs=[
            pb.OutputPath(path="absent"),
            pb.OutputPath(path="d"),
            pb.OutputPath(path="p"),
            pb.OutputPath(path="l"),
            pb.OutputPath(path="big", max_bytes=99),
        ],
    )
    answer = await stub.Run(asked)
    assert answer.outcome.exited.exit_code == 3
    assert {file.path: file.fault for file in answer.files} == {
        "absent": pb.FILE_FAULT_MISSING,
        "d": pb.FILE_FAULT_DIRECTORY,
        "p": pb.FILE_FAULT_PIPE,
        "l": pb.FILE_FAULT_LINK,
        "big": pb.FILE_FAULT_TOO_LARGE,
    }
    assert not any(file.HasField("content") for file in answer.files)


async def test_an_output_name_that_is_no_utf8_becomes_visible(stub: Any) -> None:
    asked = request("sh", "-c", r"echo x > $(printf 'a\377')", outputs=[pb.OutputPath(path="a*")])
    answer = await stub.Run(asked)
    assert [file.path for file in answer.files] == [r"a\xff"]


async def test_every_ending_travels(stub: Any) -> None:
    memory = pb.Limits(memory_bytes=32 << 20)
    hog = "python3", "-c", "x = b'x' * (200 << 20)"
    answers = await asyncio.gather(
        stub.Run(request("sh", "-c", "exit 137")),
        stub.Run(request("sh", "-c", "kill -9 $$")),
        stub.Run(request(*hog, limits=memory)),
        stub.Run(request("no-such-program")),
    )
    exited, killed, hungry, missing = (answer.outcome for answer in answers)
    assert exited.exited == pb.Exited(exit_code=137)
    assert killed.signaled == pb.Signaled(signal="KILL")
    assert hungry.limit_exceeded == pb.LimitExceeded(limit="memory_bytes")
    assert missing.not_started.errno == "ENOENT"


async def test_many_calls_at_once_are_all_answered_with_their_own(stub: Any) -> None:
    calls = [stub.Run(request("echo", str(number))) for number in range(40)]
    answers = await asyncio.gather(*calls)
    assert [int(answer.stdout.data) for answer in answers] == list(range(40))


async def test_fields_of_a_newer_client_are_ignored(post: Post) -> None:
    newer = request("echo", "ok").SerializeToString() + b"\xfa\x3f\x01x"  # field 1023
    async with stub_of(post.unix) as stub:
        answer = await stub.Run(pb.RunRequest.FromString(newer))
    assert answer.stdout.data == b"ok\n"
