"""How many bytes of large messages may be in memory at once: of one caller half of all."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RETRY_AFTER = timedelta(seconds=1)
SMALL_BYTES = 1 << 20
"""A message of no more is not counted."""


class Budget:
    """Counts what is under way now, by tenant."""

    def __init__(self, most_bytes: int, what: str) -> None:
        """Take the bound, and what the messages are."""
        self._most_bytes = most_bytes
        self._what = what
        self._taken: Counter[str] = Counter()

    def take(self, tenant: str, size_bytes: int) -> Callable[[], None]:
        """Count a message; gives what ends that. Who has none under way has half of all to himself.

        Raises:
            Busy: there is no room for it now (reason STREAMS_EXHAUSTED).

        """
        if size_bytes <= SMALL_BYTES:
            return lambda: None
        own, all_bytes = self._taken[tenant], self._taken.total()
        if own and 2 * (own + size_bytes) > self._most_bytes:
            raise self._busy()
        if all_bytes and all_bytes + size_bytes > self._most_bytes:
            raise self._busy()
        self._taken[tenant] += size_bytes

        def give_back() -> None:
            self._taken[tenant] -= size_bytes
            if not self._taken[tenant]:
                del self._taken[tenant]

        return give_back

    @contextmanager
    def taken(self, tenant: str, size_bytes: int) -> Iterator[None]:
        """Count a message while the context lasts.

        Raises:
            Busy: as `take`.

        """
        give_back = self.take(tenant, size_bytes)
        try:
            yield
        finally:
            give_back()

    def _busy(self) -> Busy:
        busy = Busy(
            f"cannot have more {self._what} under way: {self._most_bytes} bytes may be at once, of "
            "one caller half of it",
            RETRY_AFTER,
        )
        busy.reason = "STREAMS_EXHAUSTED"
        return busy
