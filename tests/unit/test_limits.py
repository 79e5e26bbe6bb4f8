"""The table of limits: what is asked is checked against it, what is not is filled from it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import JobError
from sandboxd.model.limits import (
    FILE_SIZE_MARGIN,
    MIB,
    MIN_OPEN_FILES,
    ROW_OF,
    ROWS,
    LimitRow,
    Limits,
    Unit,
    Value,
    as_text,
    built_in,
    effective,
    names,
)

DEFAULTS, CEILINGS = built_in("default"), built_in("ceiling")


def one_step(row: LimitRow) -> Value:
    return timedelta(microseconds=1) if row.unit is Unit.DURATION else 1


def refused(**asked: Value) -> list[str]:
    with pytest.raises(JobError) as error:
        effective(Limits(**asked), DEFAULTS, CEILINGS)
    return [violation.field for violation in error.value.violations]


def values_of(row: LimitRow) -> st.SearchStrategy[Value | None]:
    """Give every value that a row allows, and None."""
    ceiling = row.ceiling
    if isinstance(ceiling, timedelta):
        return st.none() | st.timedeltas(timedelta(microseconds=1), ceiling)
    if row.unit is Unit.PROCESSORS:
        return st.none() | st.floats(0.01, float(ceiling))
    least = 0 if row.zero else 1
    return st.none() | st.integers(
        max(least, {"open_file_count": 4}.get(row.name, 0)), int(ceiling)
    )


allowed = st.builds(Limits, **{row.name: values_of(row) for row in ROWS})


def test_the_table_and_the_fields_are_the_same() -> None:
    assert [row.name for row in ROWS] == [
        field.name for field in fields(Limits) if field.name != "stop_on_output"
    ]
    assert names() == {row.name for row in ROWS}
    assert all(ROW_OF[row.name] is row for row in ROWS)
    assert all(row.when_hit for row in ROWS)


def test_every_default_is_finite_and_within_its_ceiling() -> None:
    for row in ROWS:
        assert row.default is None or row.default <= row.ceiling, row
    filled = effective(Limits(), DEFAULTS, CEILINGS)
    unset = {row.name for row in ROWS if getattr(filled, row.name) is None}
    assert unset == {"address_space_bytes"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_negative_limit_is_refused(row: LimitRow) -> None:
    assert refused(**{row.name: -one_step(row)}) == [f"limits.{row.name}"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_zero_is_refused_where_it_is_meaningless(row: LimitRow) -> None:
    zero = timedelta() if row.unit is Unit.DURATION else 0
    asked = Limits(**{row.name: zero})
    if row.zero:
        assert getattr(effective(asked, DEFAULTS, CEILINGS), row.name) == zero
    else:
        assert refused(**{row.name: zero}) == [f"limits.{row.name}"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_ceiling_is_allowed_and_one_step_above_is_refused(row: LimitRow) -> None:
    asked = Limits(**{row.name: row.ceiling})
    assert getattr(effective(asked, DEFAULTS, CEILINGS), row.name) == row.ceiling
    assert refused(**{row.name: row.ceiling + one_step(row)}) == [f"limits.{row.name}"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    assert refused(cpu_count=value) == ["limits.cpu_count"]


@pytest.mark.parametrize("count", range(1, MIN_OPEN_FILES))
def test_too_few_descriptors_for_any_program_are_refused(count: int) -> None:
    assert refused(open_file_count=count) == ["limits.open_file_count"]


def test_every_violation_is_named_at_once() -> None:
    asked = {"cpu_time": timedelta(), "memory_bytes": -1, "process_count": 1 << 62}
    assert refused(**asked) == [f"limits.{name}" for name in asked]


def test_wall_time_follows_cpu_time_within_its_ceiling() -> None:
    def wall_time(seconds: float, ceilings: Limits = CEILINGS) -> timedelta | None:
        return effective(Limits(cpu_time=timedelta(seconds=seconds)), DEFAULTS, ceilings).wall_time

    assert wall_time(10) == timedelta(seconds=21)
    assert wall_time(0.5) == timedelta(seconds=2)
    assert wall_time(10, replace(CEILINGS, wall_time=timedelta(seconds=5))) == timedelta(seconds=5)


def test_file_size_is_just_above_scratch_bytes_within_its_ceiling() -> None:
    def file_size(scratch: int, ceilings: Limits = CEILINGS) -> int | None:
        return effective(Limits(scratch_bytes=scratch), DEFAULTS, ceilings).file_size_bytes

    assert file_size(5 * MIB) == 5 * MIB + FILE_SIZE_MARGIN
    assert file_size(0) == FILE_SIZE_MARGIN
    assert file_size(5 * MIB, replace(CEILINGS, file_size_bytes=MIB)) == MIB


@given(allowed)
def test_what_is_asked_is_never_changed_and_what_is_not_is_filled(asked: Limits) -> None:
    filled = effective(asked, DEFAULTS, CEILINGS)
    for row in ROWS:
        value = getattr(asked, row.name)
        got = getattr(filled, row.name)
        assert got == value if value is not None else True
        assert got is not None or row.name == "address_space_bytes"
        assert got is None or got <= row.ceiling
    assert effective(filled, DEFAULTS, CEILINGS) == filled


def test_a_value_is_shown_plainly() -> None:
    assert as_text(ROW_OF["cpu_time"], timedelta(seconds=10)) == "10s"
    assert as_text(ROW_OF["cpu_time"], timedelta(microseconds=1500)) == "0.0015s"
    assert as_text(ROW_OF["cpu_time"], timedelta(days=1)) == "86400s"
    assert as_text(ROW_OF["cpu_count"], 0.5) == "0.5"
    assert as_text(ROW_OF["cpu_count"], 2.0) == "2"
    assert as_text(ROW_OF["memory_bytes"], 256 * MIB) == "268435456"


@given(st.timedeltas(timedelta(microseconds=1), timedelta(hours=2)))
def test_a_shown_duration_is_exact(value: timedelta) -> None:
    text = as_text(ROW_OF["wall_time"], value)
    assert text.endswith("s")
    assert timedelta(microseconds=round(float(text[:-1]) * 1e6)) == value
