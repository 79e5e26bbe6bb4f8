"""The protos and this lane agree: each rpc says which codes it answers, and each has its test."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from sandboxd.v1 import blob_service_pb2 as blob_pb
from sandboxd.v1 import job_service_pb2 as job_pb
from sandboxd.v1 import runner_service_pb2 as pb
from sandboxd.v1 import sandbox_service_pb2 as sandbox_pb

SERVICES = (
    pb.DESCRIPTOR.services_by_name["RunnerService"],
    blob_pb.DESCRIPTOR.services_by_name["BlobService"],
    job_pb.DESCRIPTOR.services_by_name["JobService"],
    sandbox_pb.DESCRIPTOR.services_by_name["SandboxService"],
)
HERE = Path(__file__).parent
PROTOS = HERE.parent.parent / "protos"
RPC = re.compile(r"((?:^ *//.*\n)*)^ *rpc (\w+)\(", re.MULTILINE)
CODES = re.compile(r"^ *//   ([A-Z_, ]+):", re.MULTILINE)
ALIKE = re.compile(r"those of (?:RunnerService\.)?(\w+)")
"""An rpc whose errors another one has, too."""
TEST = re.compile(r"^async def (test_\w+)\(", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    """Give the codes that each rpc's comment names."""
    return {rpc: codes_in(comment) for rpc, comment in comments().items()}


def comments() -> dict[str, str]:
    return {
        rpc: comment
        for path in sorted(PROTOS.rglob("*.proto"))
        for comment, rpc in RPC.findall(path.read_text(encoding="utf-8"))
    }


def codes_in(comment: str) -> list[str]:
    return [code for row in CODES.findall(comment) for code in row.split(", ")]


def all_codes_of(rpc: str) -> set[str]:
    """Give the codes that a comment names, and those of the rpc that it refers to."""
    comment = comments()[rpc]
    found = set(codes_in(comment))
    for other in ALIKE.findall(comment.split("Errors:")[-1]):
        found |= all_codes_of(other)
    return found


def service_of(rpc: str) -> str:
    (name,) = (service.name for service in SERVICES if rpc in service.methods_by_name)
    return name


def names_of_tests() -> set[str]:
    return {
        name
        for path in HERE.glob("test_*.py")
        for name in TEST.findall(path.read_text(encoding="utf-8"))
    }


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_every_rpc_of_the_protos_is_found_here() -> None:
    assert documented().keys() == {rpc for one in SERVICES for rpc in one.methods_by_name}


@pytest.mark.parametrize("rpc", documented())
def test_every_rpc_documents_codes_of_grpc(rpc: str) -> None:
    codes = all_codes_of(rpc)
    assert {"CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL"} <= codes
    assert codes <= {code.name for code in grpc.StatusCode}


@pytest.mark.parametrize(
    ("rpc", "code"), [(rpc, code) for rpc, codes in documented().items() for code in codes]
)
def test_every_documented_code_has_a_test_of_its_name(rpc: str, code: str) -> None:
    kinds = (snake(rpc), f"every_rpc_of_{snake(service_of(rpc))}")
    prefixes = tuple(f"test_{kind}_{code.lower()}_" for kind in kinds)
    assert any(name.startswith(prefixes) for name in names_of_tests()), (
        f"no test is called {' or '.join(prefixes)}..."
    )
