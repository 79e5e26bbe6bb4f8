"""Runs and descriptions, over each kind of address, by either client."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import sandboxd.version
from sandboxd.client import Client, SyncClient
from sandboxd.model.job import InputFile, OutputPath
from sandboxd.model.limits import Limits, names
from sandboxd.model.outcome import (
    Captured,
    Exited,
    FileFault,
    LimitExceeded,
    NotStarted,
    OutputFile,
    Signaled,
)

if TYPE_CHECKING:
    from conftest import Running

ALL_BYTES = bytes(range(256))


async def test_run_answers_with_output_ending_and_usage(address: str) -> None:
    async with Client(address) as client:
        result = await client.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert result.ending == Exited(7)
    assert result.stdout == Captured(b"out\n", 4, truncated=False)
    assert result.stderr == Captured(b"err\n", 4, truncated=False)
    assert timedelta() < result.usage.wall_time < timedelta(seconds=10)
    assert {limit.limit for limit in result.outcome.enforced} <= names() | {"landlock"}
    assert len(result.outcome.policy_digest) == 64


def test_run_by_the_synchronous_client_is_the_same(address: str) -> None:
    with SyncClient(address) as client:
        result = client.run(["sh", "-c", "echo out; exit 7"], timeout=timedelta(seconds=30))
    assert (result.ending, result.stdout.data) == (Exited(7), b"out\n")


def test_a_synchronous_client_serves_many_threads(server: Running) -> None:
    with SyncClient(server.unix) as client, ThreadPoolExecutor(8) as threads:
        results = threads.map(lambda n: client.run(["echo", str(n)]).stdout.data, range(32))
        assert list(results) == [f"{number}\n".encode() for number in range(32)]
    assert threading.active_count() < 8


async def test_every_byte_survives_in_stdin_files_and_output(address: str) -> None:
    content = ALL_BYTES * 1024
    async with Client(address) as client:
        result = await client.run(
            ["sh", "-c", "cat; cat in.bin >&2; cp in.bin out.bin"],
            stdin=content,
            files=(InputFile("in.bin", content),),
            outputs=(OutputPath("out.bin"),),
        )
    assert result.ending == Exited(0)
    assert result.stdout.data == result.stderr.data == content
    assert result.files == (OutputFile("out.bin", content=content),)


async def test_a_large_answer_arrives_whole(server: Running) -> None:
    size = 32 << 20
    async with Client(server.unix) as client:
        result = await client.run(
            ["head", "-c", str(size), "/dev/zero"], limits=Limits(output_bytes=size)
        )
    assert result.stdout == Captured(bytes(size), size, truncated=False)


async def test_a_file_name_that_is_no_utf8_is_written_visibly(server: Running) -> None:
    async with Client(server.unix) as client:
        result = await client.run(
            ["sh", "-c", r"printf x > $(printf 'a\377b')"], outputs=(OutputPath("a*"),)
        )
    assert result.files == (OutputFile(r"a\xffb", content=b"x"),)


async def test_what_is_asked_of_the_job_arrives(server: Running) -> None:
    async with Client(server.unix) as client:
        result = await client.run(
            ["sh", "-c", 'echo "$GREETING"; pwd; ./tool; echo err >&2'],
            env={"GREETING": "grüß dich"},
            working_directory="/workspace/inner",
            files=(InputFile("tool", b"#!/bin/sh\necho tool\n", executable=True),),
            outputs=(OutputPath("absent"), OutputPath("maybe", optional=True)),
            merge_stderr=True,
        )
    assert result.stdout.data.decode() == "grüß dich\n/workspace/inner\ntool\nerr\n"
    assert result.stderr == Captured()
    assert result.files == (OutputFile("absent", fault=FileFault.MISSING),)


@pytest.mark.parametrize(
    ("argv", "limits", "ending"),
    [
        (["sh", "-c", "kill -SEGV $$"], Limits(), Signaled("SEGV")),
        (["sleep", "60"], Limits(wall_time=timedelta(milliseconds=50)), LimitExceeded("wall_time")),
        (["yes"], Limits(output_bytes=10, stop_on_output=True), LimitExceeded("output_bytes")),
    ],
)
async def test_a_program_that_fails_is_an_ordinary_answer(
    server: Running, argv: list[str], limits: Limits, ending: object
) -> None:
    async with Client(server.unix) as client:
        assert (await client.run(argv, limits=limits)).ending == ending


async def test_a_program_that_is_not_there_is_not_started(server: Running) -> None:
    async with Client(server.unix) as client:
        ending = (await client.run(["no-such-program"])).ending
    assert isinstance(ending, NotStarted)
    assert ending.errno == "ENOENT"


async def test_get_host_describes_this_host(address: str) -> None:
    async with Client(address) as client:
        host = await client.get_host()
    assert host.version == sandboxd.version.__version__
    assert host.kernel_release == os.uname().release
    assert host.id_mode in {"range", "single"}
    assert host.slot_count >= 1
    assert set(host.mechanisms) == names()
    assert len(host.policies["default"].digest) == 64
    assert "host" in host.roots
    assert host.ceilings.cpu_count == host.processor_count


def test_get_host_by_the_synchronous_client_is_the_same(server: Running) -> None:
    with SyncClient(server.unix) as client:
        assert client.get_host(timeout=timedelta(seconds=30)).slot_count >= 1


async def test_what_get_host_lists_as_features_may_be_required(server: Running) -> None:
    async with Client(server.unix) as client:
        host = await client.get_host()
        result = await client.run(["true"], require=host.features)
    assert result.ending == Exited(0)
