"""Bytes of large messages: bounded for all, for each caller half."""

from __future__ import annotations

import pytest

from sandboxd.errors import Busy
from sandboxd.server.budgets import SMALL_BYTES, Budget

LARGE = 2 * SMALL_BYTES


def test_one_caller_has_half_and_all_together_the_whole() -> None:
    budget = Budget(4 * LARGE, "things")
    held = [budget.take("a", LARGE) for _ in range(2)]
    with pytest.raises(Busy, match="cannot have more things under way") as busy:
        budget.take("a", LARGE)
    assert busy.value.reason == "STREAMS_EXHAUSTED"
    held.append(budget.take("b", 2 * LARGE))
    with pytest.raises(Busy):
        budget.take("c", LARGE)
    budget.take("c", SMALL_BYTES)
    for give_back in held:
        give_back()
    with budget.taken("a", 100 * LARGE), pytest.raises(Busy):
        budget.take("b", LARGE)
    budget.take("b", LARGE)
