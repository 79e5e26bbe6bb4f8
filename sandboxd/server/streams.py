"""How many blobs may be on their way at once: each takes descriptors, whoever's it is."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sandboxd.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STREAMS = 256
MAX_STREAMS_OF_ONE = 64
RETRY_AFTER = timedelta(seconds=1)


class Streams:
    """Counts what is on its way now, by tenant."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[str] = Counter()

    @contextmanager
    def one_more(self, tenant: str) -> Iterator[None]:
        """Count one while the context lasts.

        Raises:
            Busy: there are as many as may be, of this tenant or of all (reason STREAMS_EXHAUSTED).

        """
        if self._counts[tenant] >= MAX_STREAMS_OF_ONE or self._counts.total() >= MAX_STREAMS:
            busy = Busy(
                f"cannot send or take more blobs at once: one caller has {MAX_STREAMS_OF_ONE} at "
                f"most, all together {MAX_STREAMS}",
                RETRY_AFTER,
            )
            busy.reason = "STREAMS_EXHAUSTED"
            raise busy
        self._counts[tenant] += 1
        try:
            yield
        finally:
            self._counts[tenant] -= 1
            if not self._counts[tenant]:
                del self._counts[tenant]
