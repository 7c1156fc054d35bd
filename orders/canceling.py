"""Asking for the cancels of many orders at once: by number, or all of a user.

The rules are those of `orders.services.request_cancel`: the engine decides, and the hold is
released once it has confirmed. A settlement may hold the locks of several orders, in no particular
order, so nothing here waits for an order's lock while it has that of another.
"""

from collections.abc import Collection, Sequence
from typing import TypeAlias

import structlog
from django.db import connection
from django.utils import timezone

from exchange.api.errors import ClientError
from exchange.arrays import array
from orders import outbox
from orders.errors import OrderFinishedError, OrderNotFoundError
from orders.models import UNFINISHED_STATUSES, Order

logger = structlog.get_logger(__name__)

MAX_CANCELS = 200
"""Asked for with one request."""

CancelOutcome: TypeAlias = Order | ClientError
_UNFINISHED = "status IN ('pending', 'untriggered', 'open', 'partially_filled')"
assert UNFINISHED_STATUSES == ("pending", "untriggered", "open", "partially_filled"), "as above"


def request_cancels(*, order_ids: Sequence[int], user_id: int | None = None) -> list[CancelOutcome]:
    """Ask for the cancel of each order; return it as it is then, or why there is nothing to ask.

    Asking again is harmless, here and later. `user_id`: only orders of this user.
    """
    asked = _ask_for(set(order_ids), user_id)
    found = _orders(order_ids, user_id)
    outcomes = {number: _outcome(number, found.get(number)) for number in order_ids}
    if asked:
        logger.info("cancels_accepted", order_ids=sorted(asked))
    outbox.publish_cancels_soon([order for order in outcomes.values() if isinstance(order, Order)])
    return [outcomes[number] for number in order_ids]


def request_cancel_of_all(
    *, user_id: int, market: str | None = None, up_to: int | None = None
) -> tuple[int, bool]:
    """Ask for the cancel of a user's unfinished orders, the oldest first, `MAX_CANCELS` at most.

    Returns of how many that was asked now, and whether others remain of which it was not. One
    that is just being settled is not waited for: it remains. `up_to`: only orders up to this
    number.
    """
    where = f"user_id = %s AND {_UNFINISHED} AND cancel_requested_at IS NULL"
    given: list[int | str] = [user_id]
    if market is not None:
        where, given = f"{where} AND market_id = %s", [*given, market]
    if up_to is not None:
        where, given = f"{where} AND id <= %s", [*given, up_to]
    chosen = f"SELECT id FROM orders_order WHERE {where}"  # noqa: S608 - conditions of this module
    asked = _mark(f"{chosen} ORDER BY id LIMIT {MAX_CANCELS}", given)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({chosen})", given)
        remain = bool(cursor.fetchone()[0])
    if asked:
        logger.info("cancels_accepted", order_ids=sorted(asked))
    found = _orders(asked, user_id)
    outbox.publish_cancels_soon([found[number] for number in sorted(asked)])
    return len(asked), remain


def _ask_for(numbers: set[int], user_id: int | None) -> set[int]:
    """Note the wish on those of the orders that are unfinished; return where it is new."""
    owned = "" if user_id is None else "AND user_id = %s"
    owner: list[int | str] = [] if user_id is None else [user_id]
    chosen = (
        "SELECT id FROM orders_order WHERE id = ANY(%s::bigint[])"  # noqa: S608 - as above
        f" AND {_UNFINISHED} AND cancel_requested_at IS NULL {owned}"
    )
    asked = _mark(chosen, [array(numbers), *owner])
    while waiting := _first(chosen, [array(numbers), *owner]):
        # It was locked, by a settlement most likely: wait for it with no other lock at hand.
        asked |= _mark(chosen, [array([waiting]), *owner], wait=True)
        asked |= _mark(chosen, [array(numbers), *owner])
    return asked


def _mark(chosen: str, given: Sequence[int | str], *, wait: bool = False) -> set[int]:
    """Note the wish on the chosen orders, those left out that are locked; `wait`: not left out."""
    lock = "FOR NO KEY UPDATE" if wait else "FOR NO KEY UPDATE SKIP LOCKED"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH chosen AS ({chosen} {lock}) UPDATE orders_order o"  # noqa: S608 - as above
            " SET cancel_requested_at = %s FROM chosen WHERE o.id = chosen.id RETURNING o.id",
            [*given, timezone.now()],
        )
        return {row[0] for row in cursor.fetchall()}


def _first(chosen: str, given: Sequence[int | str]) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen} ORDER BY id LIMIT 1", given)
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _orders(numbers: Collection[int], user_id: int | None) -> dict[int, Order]:
    orders = Order.objects.filter(pk__in=numbers)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    return {order.pk: order for order in orders}


def _outcome(number: int, order: Order | None) -> CancelOutcome:
    if order is None:
        return OrderNotFoundError(f"There is no order {number}.")
    if order.status not in UNFINISHED_STATUSES:
        return OrderFinishedError(
            f"The order is {order.status} already: nothing is left to cancel."
        )
    return order
