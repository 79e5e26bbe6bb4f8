"""The table of limits and the contract say the same, name by name and number by number."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from sandboxd.model import job, outcome
from sandboxd.model.limits import ROWS, LimitRow, Limits, Unit
from sandboxd.v1 import runner_service_pb2 as pb

if TYPE_CHECKING:
    from enum import Enum

KINDS = {
    Unit.DURATION: FieldDescriptor.TYPE_MESSAGE,
    Unit.BYTES: FieldDescriptor.TYPE_INT64,
    Unit.COUNT: FieldDescriptor.TYPE_INT64,
    Unit.PROCESSORS: FieldDescriptor.TYPE_DOUBLE,
}


def test_every_row_has_a_field_and_every_field_a_row() -> None:
    assert list(pb.Limits.DESCRIPTOR.fields_by_name) == [field.name for field in fields(Limits)]
    assert [row.name for row in ROWS] == list(pb.Limits.DESCRIPTOR.fields_by_name)[: len(ROWS)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_and_its_field_have_the_same_kind_and_tell_unset_from_zero(row: LimitRow) -> None:
    field = pb.Limits.DESCRIPTOR.fields_by_name[row.name]
    assert field.type == KINDS[row.unit]
    assert field.has_presence
    if row.unit is Unit.DURATION:
        assert field.message_type.full_name == "google.protobuf.Duration"


def test_numbers_follow_the_table_and_are_never_used_twice() -> None:
    numbers = [field.number for field in pb.Limits.DESCRIPTOR.fields]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("kind", "descriptor"),
    [
        (outcome.FileFault, pb.FileFault.DESCRIPTOR),
        (job.Network, pb.Network.DESCRIPTOR),
    ],
)
def test_every_choice_has_a_number_in_the_contract(
    kind: type[Enum], descriptor: EnumDescriptor
) -> None:
    prefix = descriptor.values[0].name.removesuffix("UNSPECIFIED")
    named = {value.name.removeprefix(prefix).lower() for value in descriptor.values[1:]}
    assert named == {member.name.lower() for member in kind}
