"""The bound on orders that wait to be matched: beyond it, new ones are refused for the moment.

Accepted orders are durable, so they may wait out an outage of Kafka or of the workers. But not
without end: what is pending has to be published, matched and settled afterwards, and held in memory
by the engines meanwhile. The count is taken once a second by whoever asks first, and each process
adds what it has accepted since; so with several processes the bound may be passed by what all of
them accept within a second.
"""

import threading
import time

from django.conf import settings
from django.db import connection

from exchange.api.errors import ClientError

COUNT_EVERY_SECONDS = 1.0


class BacklogFullError(ClientError):
    """Refused for the moment; the same order may be accepted in a few seconds."""

    code = "backlog_full"
    http_status = 503
    retry_after_seconds = 5


class _Count:
    """How many orders were pending when that was last asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending = 0
        self._expires_at = 0.0

    def pending(self) -> int:
        if time.monotonic() >= self._expires_at and self._lock.acquire(blocking=False):
            try:
                self._pending = count_pending()
                self._expires_at = time.monotonic() + COUNT_EVERY_SECONDS
            finally:
                self._lock.release()
        return self._pending

    def add(self, orders: int) -> None:
        self._pending += orders

    def forget(self) -> None:
        self._expires_at = 0.0


_count = _Count()


def require_room(orders: int = 1) -> None:
    """Return if so many more orders may be accepted.

    Raises:
        BacklogFullError: too many orders wait already.
    """
    if _count.pending() + orders > settings.ORDERS_MAX_PENDING:
        raise BacklogFullError(
            f"At most {settings.ORDERS_MAX_PENDING} orders may wait to be matched. "
            "Nothing was changed; send the same again in a few seconds."
        )


def note_accepted(orders: int = 1) -> None:
    """Count orders that this process has accepted since the last look."""
    _count.add(orders)


def forget_count() -> None:
    """Look anew at the next order: for tests and tools that change what is pending."""
    _count.forget()


def count_pending() -> int:
    """Return how many orders are pending, counted up to the bound and no further.

    Those of halted markets wait for an operator, and must not close the other markets.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM orders_order JOIN orders_market"
            " ON symbol = market_id WHERE status = 'pending' AND state <> 'halted'"
            " LIMIT %s) AS counted",
            [settings.ORDERS_MAX_PENDING],
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])
