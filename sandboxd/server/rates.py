"""How often somebody may call: a bucket of tokens that fills with time; pure."""

from __future__ import annotations

from datetime import timedelta

MIN_RETRY_AFTER = timedelta(milliseconds=1)


class Bucket:
    """Lets `rate` calls a second through over time, and `burst` of them at once."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        """Take the bounds, and the time in seconds of any clock that never goes back."""
        self.rate = rate
        self.burst = burst
        self._filled = float(burst)
        self._since = now

    def take(self, now: float) -> timedelta | None:
        """Let a call through, or give the time after which one would be."""
        self._filled = min(self.burst, self._filled + (now - self._since) * self.rate)
        self._since = now
        if self._filled >= 1:
            self._filled -= 1
            return None
        return max(timedelta(seconds=(1 - self._filled) / self.rate), MIN_RETRY_AFTER)
