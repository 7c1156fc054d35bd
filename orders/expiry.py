"""The end of orders that are good till a date: periodic work asks for their cancels.

The engine has no clock: an order has expired when its cancel comes on the log, with that reason,
and may trade until then. Asking is one statement for many orders, which are found by an index of
those that can expire; an order that is just being settled is left to the next run. Who dies after
it has committed leaves the wish on the order's row: the relay publishes it, with its reason. Two
runs at once do no harm. The time is Postgres' own.
"""

import time

import structlog
from django.db import connection

from exchange.arrays import array
from orders import outbox
from orders.models import EXPIRED, UNFINISHED_STATUSES, Order

logger = structlog.get_logger(__name__)

RUN_SECONDS = 1.5
"""How long one run goes on; the next one continues."""
TOGETHER = 1_000
"""Orders of which it is asked with one statement."""


def run() -> int:
    """Ask for the cancel of the orders whose time is over; return of how many."""
    deadline = time.monotonic() + RUN_SECONDS
    asked = 0
    while True:
        count = expire()
        asked += count
        if count < TOGETHER or time.monotonic() >= deadline:
            return asked


def expire() -> int:
    """Ask for the cancel of those that expired first, `TOGETHER` at most; return of how many."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRE, [TOGETHER])
        numbers = sorted(row[0] for row in cursor.fetchall())
    if not numbers:
        return 0
    logger.info("orders_expired", order_ids=numbers)
    expired = Order.objects.raw(
        "SELECT * FROM orders_order WHERE id = ANY(%s::bigint[]) ORDER BY id", [array(numbers)]
    )
    outbox.publish_cancels_soon(list(expired))
    return len(numbers)


_UNFINISHED = "status IN ('pending', 'untriggered', 'open', 'partially_filled')"
assert UNFINISHED_STATUSES == ("pending", "untriggered", "open", "partially_filled"), "as above"

_EXPIRE = f"""
WITH due AS (
  SELECT id FROM orders_order
  WHERE expires_at <= now() AND cancel_requested_at IS NULL AND {_UNFINISHED}
  ORDER BY expires_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE orders_order o SET cancel_requested_at = now(), cancel_reason = '{EXPIRED}'
FROM due WHERE o.id = due.id RETURNING o.id
"""  # noqa: S608 - words of ours
