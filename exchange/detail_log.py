"""How much may be logged of single orders: a line each while there are few, a summary when many.

A line costs as much as matching and settling its order together (docs/performance.md). So each
worker has a budget of lines; what is beyond it is told by one line for the whole batch. The
audit's trail is the database, never the log.
"""

import time
from collections.abc import Callable

LINES_PER_SECOND = 200
BURST = 400


class DetailBudget:
    """A bucket of log lines that fills with time. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        lines_per_second: float = LINES_PER_SECOND,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = lines_per_second
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def allows(self, lines: int) -> bool:
        """Take `lines` from the budget and return True, or take nothing and return False."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if lines > self._left:
            return False
        self._left -= lines
        return True
