"""Whatever bytes come from outside, they are understood or refused: nothing else ever happens.

The same targets run for long, guided by coverage, with `make fuzz`.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from types import ModuleType

TARGETS = ("channel", "config", "policy", "profile", "wire")
EXAMPLES = int(os.environ.get("SANDBOXD_FUZZ_EXAMPLES", "500"))
TOKENS = st.sampled_from(
    [*(bytes([byte]) for byte in b'\0\xff"[]{}=,.:\\\n#'), b"-1", b"0", b"1e999", b"true", b"null"]
    + [str(2**bits).encode() for bits in (31, 32, 63, 64, 100)]
    + [
        b"[" * 3000,
        b"9" * 5000,
        b"inf",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u0000",
        "é".encode(),
        b"nan",
        b"9" * 30,
    ]
)


@st.composite
def edited(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Give one of the seeds with some pieces cut, doubled, moved or replaced."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        other = draw(st.integers(0, len(data)))
        piece = draw(TOKENS | st.binary(max_size=4) | st.just(data[other : other + 20]))
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_understood_or_refused(name: str) -> None:
    target: ModuleType = importlib.import_module(f"targets.{name}")

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(edited(target.SEEDS) | st.binary(max_size=300))
    def check(data: bytes) -> None:
        target.check(data)

    check()


ENDLESS = Any()
ENDLESS.Pack(RetryInfo(retry_delay=Duration(seconds=2**62)))
UNREADABLE = Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
CRASHES = [
    pytest.param("policy", b"x = " + b"[" * 5000, id="a policy's tables too deep"),
    pytest.param("policy", b"x = " + b"9" * 5000, id="a policy's number too long"),
    pytest.param("config", b"x = " + b"[" * 5000, id="a configuration's tables too deep"),
    pytest.param("config", b"slot_count = inf", id="infinitely many slots"),
    pytest.param("config", b'listen = ["a\\nb\\u007f"]', id="a line break in an address"),
    pytest.param("config", b'grace = "21474836481.5s"', id="a duration with an exponent"),
    pytest.param("config", b'[ceilings]\nwall_time = "100000.25s"', id="a duration's last digits"),
    pytest.param(
        "wire",
        Status(details=[UNREADABLE]).SerializeToString(),
        id="a status with a detail that is none",
    ),
    pytest.param(
        "wire",
        Status(code=8, details=[ENDLESS]).SerializeToString(),
        id="a status that asks to wait for ever",
    ),
]
"""What once ended otherwise than by being understood or refused."""


@pytest.mark.parametrize(("name", "data"), CRASHES)
def test_what_once_broke_something_is_understood_or_refused(name: str, data: bytes) -> None:
    importlib.import_module(f"targets.{name}").check(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_understood(name: str) -> None:
    target: ModuleType = importlib.import_module(f"targets.{name}")
    for seed in target.SEEDS:
        target.check(seed)
