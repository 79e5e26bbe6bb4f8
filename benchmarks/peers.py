"""Servers of others that run jobs, named on the command line by their addresses.

A peer answers `POST /run` with a JSON list of results, or the method `pb.Executor/Exec` with the
same as a message. Where it speaks gRPC its client is the one that we have for our own server.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from servers import PROGRAM, RunJob, Server, connect_grpc

if TYPE_CHECKING:
    import argparse

METHOD = "/pb.Executor/Exec"
OUTPUT_BYTES = 1 << 20
COMMAND: dict[str, Any] = {
    "args": [PROGRAM],
    "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
    "files": [
        {"content": ""},
        {"name": "stdout", "max": OUTPUT_BYTES},
        {"name": "stderr", "max": OUTPUT_BYTES},
    ],
    "cpuLimit": 10 * 10**9,
    "clockLimit": 21 * 10**9,
    "memoryLimit": 1 << 28,
    "procLimit": 64,
}
"""What a peer is asked for: our defaults, times in nanoseconds."""


def peers(options: argparse.Namespace) -> list[Server]:
    """Give the servers that the command line names."""
    found = []
    if options.peer_grpc:
        address = options.peer_grpc
        request = _field(2, _command())
        found.append(
            Server(
                f"{options.peer_name}, gRPC",
                lambda: connect_grpc(address, METHOD, request, _succeeded),
            )
        )
    if options.peer_http:
        found.append(Server(f"{options.peer_name}, HTTP", lambda: connect_http(options.peer_http)))
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line name peers."""
    parser.add_argument("--peer-http", metavar="HOST:PORT", help="a peer that answers POST /run")
    parser.add_argument("--peer-grpc", metavar="HOST:PORT", help="the same, by pb.Executor/Exec")
    parser.add_argument("--peer-name", default="peer", metavar="NAME", help="what to call it")


async def connect_http(address: str) -> RunJob:
    """Open a connection that is kept."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"cmd": [COMMAND]}).encode()
    head = f"POST /run HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def run_job() -> None:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        answer = await reader.readexactly(int(length.partition(b"\r")[0]))
        if b'"status":"Accepted"' not in answer:
            raise SystemExit(f"cannot measure: {address} answers {answer!r}")

    return run_job


def _command() -> bytes:
    """Give COMMAND as a message; its fields have the numbers that the peer gives."""
    streams = [
        _field(4, _field(1, file["name"].encode()) + _field(2, file["max"]))
        if "name" in file
        else _field(2, b"")
        for file in COMMAND["files"]
    ]
    limits = ((4, "cpuLimit"), (5, "clockLimit"), (6, "memoryLimit"), (7, "procLimit"))
    return b"".join(
        [
            *(_field(1, word.encode()) for word in COMMAND["args"]),
            *(_field(2, word.encode()) for word in COMMAND["env"]),
            *(_field(3, stream) for stream in streams),
            *(_field(number, COMMAND[name]) for number, name in limits),
        ]
    )


def _succeeded(answer: bytes) -> bool:
    """Tell whether the first result begins with the status "accepted", which is 1."""
    return answer[:1] == b"\x12" and b"\x08\x01" in answer[2:5]


def _field(number: int, value: int | bytes) -> bytes:
    """Give one field of a protobuf message: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
