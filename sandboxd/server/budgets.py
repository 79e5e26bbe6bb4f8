"""How many bytes of large messages may be in memory at once: of one caller half of all."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandboxd.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

RETRY_AFTER = timedelta(seconds=1)
SMALL_BYTES = 1 << 20
"""A message of no more is not counted."""

LITTLE_BYTES = 64 << 10
"""An answer of no more is not counted: so many calls as may be open hold little in such."""
UNTAKEN_BYTES = 512 << 20


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


class Untaken:
    """Counts answers that their callers have not taken yet: gRPC keeps them until then.

    Whoever has too many gets no further job; the answer of one that has run is never lost.
    """

    def __init__(self, most_bytes: int = UNTAKEN_BYTES) -> None:
        """Take the bound for all callers together; one has half of it."""
        self._most_bytes = most_bytes
        self._bytes: Counter[str] = Counter()

    def check(self, tenant: str) -> None:
        """Refuse another job of a caller that does not take its answers.

        Raises:
            Busy: there are too many of its answers, or of all (reason ANSWERS_UNTAKEN).

        """
        own, all_bytes = self._bytes[tenant], self._bytes.total()
        if 2 * own > self._most_bytes or (own and all_bytes > self._most_bytes):
            text = f"cannot take another job: {own} bytes of answers to you are not taken yet"
            busy = Busy(text, RETRY_AFTER)
            busy.reason = "ANSWERS_UNTAKEN"
            raise busy

    def count(self, tenant: str, size_bytes: int, context: Context) -> None:
        """Count an answer until its caller has it, or has left."""
        if size_bytes <= LITTLE_BYTES:
            return
        self._bytes[tenant] += size_bytes

        def give_back(_: object) -> None:
            self._bytes[tenant] -= size_bytes
            if not self._bytes[tenant]:
                del self._bytes[tenant]

        context.add_done_callback(give_back)  # type: ignore[arg-type]  # the stub wants a class
