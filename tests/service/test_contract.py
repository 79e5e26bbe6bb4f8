"""The protos and this lane agree: each rpc says which codes it answers, and each has its test."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest

from sandboxd.v1 import runner_service_pb2 as pb

HERE = Path(__file__).parent
PROTOS = HERE.parent.parent / "protos"
RPC = re.compile(r"((?:^ *//.*\n)*)^ *rpc (\w+)\(", re.MULTILINE)
CODES = re.compile(r"^ *//   ([A-Z_, ]+):", re.MULTILINE)
TEST = re.compile(r"^async def (test_\w+)\(", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    """Give the codes that each rpc's comment names."""
    found = {}
    for path in sorted(PROTOS.rglob("*.proto")):
        for comment, rpc in RPC.findall(path.read_text(encoding="utf-8")):
            rows = CODES.findall(comment)
            found[rpc] = [code for row in rows for code in row.split(", ")]
    return found


def names_of_tests() -> set[str]:
    return {
        name
        for path in HERE.glob("test_*.py")
        for name in TEST.findall(path.read_text(encoding="utf-8"))
    }


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_every_rpc_of_the_protos_is_found_here() -> None:
    service = pb.DESCRIPTOR.services_by_name["RunnerService"]
    assert documented().keys() == set(service.methods_by_name)


@pytest.mark.parametrize("rpc", documented())
def test_every_rpc_documents_codes_of_grpc(rpc: str) -> None:
    codes = documented()[rpc]
    assert {"CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL"} <= set(codes)
    assert set(codes) <= {code.name for code in grpc.StatusCode}
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("rpc", "code"), [(rpc, code) for rpc, codes in documented().items() for code in codes]
)
def test_every_documented_code_has_a_test_of_its_name(rpc: str, code: str) -> None:
    prefix = f"test_{snake(rpc)}_{code.lower()}_"
    assert any(name.startswith(prefix) for name in names_of_tests()), (
        f"no test is called {prefix}..."
    )
