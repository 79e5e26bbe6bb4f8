"""What waits for a caller is bounded by its bytes, and where it is small by its number."""

from __future__ import annotations

import asyncio

import pytest

from sandboxd.server.outbox import Outbox

HIGH_BYTES = 1 << 20


@pytest.mark.parametrize("size_bytes", [0, 1, 1000, HIGH_BYTES])
def test_no_more_waits_than_memory_is_there_for(size_bytes: int) -> None:
    told: list[bool] = []
    outbox: Outbox[bytes] = Outbox(told.append, HIGH_BYTES)
    count = 0
    while not told:
        outbox.put(bytes(size_bytes), size_bytes)
        count += 1
        assert count <= HIGH_BYTES // 128
    assert told == [True]

    async def take() -> int:
        outbox.close()
        return len([message async for message in outbox])

    assert asyncio.run(take()) == count
    assert told == [True, False]
