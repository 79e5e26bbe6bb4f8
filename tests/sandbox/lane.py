"""What every lane needs that makes sandboxes: the supervisor that most tests share, or why not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from house import House

from sandboxd.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = os.environ.get("SANDBOXD_REQUIRE_SANDBOX", "") not in {"", "0"}


def unavailable(reason: str) -> None:
    """Skip for a reason that the host gives, or fail where this lane must run."""
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """Give the one supervisor that most tests share."""
    if os.geteuid() == 0:
        unavailable("this lane runs as an ordinary user: see scripts/as_test_user.py")
    try:
        house = House()
        house.__enter__()
    except HostError as error:
        unavailable(str(error))
    yield house
    house.__exit__()
