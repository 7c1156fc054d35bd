"""Writes to many orders at once: place up to `MAX_ORDERS` in one transaction, ask for cancels.

The rules are those of `orders.services`; here they are applied to each order by itself, and what is
written is written together, in a number of statements that does not grow with the batch. Nothing
here may make one order's refusal another order's.

Whoever stores orders with holds takes the client's ids first and the balances after them, here
and in `orders.services`: so no two requests can wait for each other in a circle.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeAlias

import structlog
from django.utils import timezone

from balances import selectors as balance_selectors
from balances import services as balances
from balances.cache import CachedBalance
from balances.changes import change_balances
from exchange.api.errors import ClientError
from exchange.arrays import columns
from orders import backlog, outbox, selectors, storing
from orders.counting import counts_batches
from orders.models import Market, Order
from orders.rules import Wish, require_allowed, require_room_for_stop, within_band
from orders.services import Placed, amount_to_hold, new_order

logger = structlog.get_logger(__name__)

MAX_ORDERS = 200
"""In one batch. So many are stored in some hundredths of a second, with their balances locked."""

Outcome: TypeAlias = Placed | ClientError
_Key: TypeAlias = tuple[int, str]
"""(user id, the client's own id): what makes an order the same one."""


@counts_batches
def place_orders(*, wishes: Sequence[Wish], request_id: str = "") -> list[Outcome]:
    """Place each of `wishes`, as if one came after the other; return what became of each, in order.

    All that are accepted are committed together, and published in this order. A client's id that
    comes twice is one order, and is answered twice as that one is.

    Raises:
        BacklogFullError: too many orders wait already; nothing has changed.
    """
    known = _known_orders(wishes)
    markets = selectors.rules_of({wish.market for wish in wishes})
    banded = [symbol for symbol, market in markets.items() if market.price_band is not None]
    last_prices = balance_selectors.last_prices(banded) if banded else {}
    stopping = {wish.user_id for wish in wishes if wish.stop_price is not None}
    stops = selectors.count_stops(stopping) if stopping else Counter()
    outcomes: dict[int, Outcome] = {}
    first_with: dict[_Key, int] = {}
    same_as: dict[int, int] = {}
    fresh: dict[int, Wish] = {}
    for place, wish in enumerate(wishes):
        key = _key(wish)
        if key is not None and key in known:
            outcomes[place] = Placed(known[key], created=False)
        elif key is not None and key in first_with:
            same_as[place] = first_with[key]
        elif isinstance(allowed := _allowed(wish, markets, last_prices, stops), ClientError):
            outcomes[place] = allowed
        else:
            fresh[place] = allowed
            if key is not None:
                first_with[key] = place
    if fresh:
        outcomes |= zip(fresh, _accept(list(fresh.values()), markets, request_id), strict=True)
    for place, first in same_as.items():
        outcomes[place] = _again(outcomes[first])
    return [outcomes[place] for place in range(len(wishes))]


def _key(wish: Wish) -> _Key | None:
    return None if wish.client_order_id is None else (wish.user_id, wish.client_order_id)


def _allowed(
    wish: Wish,
    markets: dict[str, Market],
    last_prices: dict[str, Decimal],
    stops: Counter[tuple[int, str]],
) -> Wish | ClientError:
    """Return the wish, with its price if it is a market order, or why it is refused.

    `stops`: how many stop orders of a user wait on a market; a wish for one more is added.
    """
    try:
        market = require_allowed(wish, markets.get(wish.market))
        if market.price_band is not None:
            wish = within_band(wish, market, last_prices)
        if wish.stop_price is not None:
            require_room_for_stop(wish, stops[wish.user_id, wish.market])
            stops[wish.user_id, wish.market] += 1
    except ClientError as error:
        return error
    return wish


def _again(first: Outcome) -> Outcome:
    return Placed(first.order, created=False) if isinstance(first, Placed) else first


def _known_orders(wishes: Iterable[Wish]) -> dict[_Key, Order]:
    """Return the orders that there are under the users' own ids in `wishes`."""
    keys = {key for wish in wishes if (key := _key(wish)) is not None}
    if not keys:
        return {}
    found = Order.objects.raw(
        "SELECT o.* FROM orders_order o"
        " JOIN unnest(%s::bigint[], %s::varchar[]) AS k(user_id, client_order_id)"
        " ON o.user_id = k.user_id AND o.client_order_id = k.client_order_id",
        columns(keys),
    )
    return {(order.user_id, order.client_order_id or ""): order for order in found}


def _accept(wishes: Sequence[Wish], markets: dict[str, Market], request_id: str) -> list[Outcome]:
    """Store what can be paid for, publish it; return an outcome for each wish."""
    backlog.require_room(len(wishes))
    moment = timezone.now()
    orders = [new_order(wish, markets[wish.market], request_id, moment) for wish in wishes]
    stored, refused = change_balances(lambda: _store_with_holds(orders, markets))
    accepted = [order for order in orders if order.pk in stored]
    backlog.note_accepted(len(accepted))
    if accepted:
        logger.info("orders_accepted", order_ids=[order.pk for order in accepted])
    outbox.publish_all_soon(accepted)
    known: dict[_Key, Order] = {}
    if len(stored) + len(refused) < len(orders):
        # Another request with the same ids was first. It has committed: ours waited for that.
        known = _known_orders(wishes)
    outcomes: list[Outcome] = []
    for order in orders:
        if order.pk in stored:
            outcomes.append(Placed(order, created=True))
        elif order.pk in refused:
            outcomes.append(refused[order.pk])
        else:
            first = known[order.user_id, order.client_order_id or ""]
            outcomes.append(Placed(first, created=False))
    return outcomes


def _store_with_holds(
    orders: Sequence[Order], markets: dict[str, Market]
) -> tuple[tuple[set[int], dict[int, ClientError]], Sequence[CachedBalance]]:
    """Insert the orders and hold for them in turn; take those away again that have no hold.

    Returns the numbers of those that stay, and why the others do not. Those in neither are known
    under their client's id.
    """
    inserted = storing.insert(orders)
    refused, changed = balances.hold_in_turn(
        [
            balances.Hold(
                order.user_id,
                *amount_to_hold(markets[order.market_id], order),
                order.pk,
            )
            for order in orders
            if order.pk in inserted
        ]
    )
    if refused:
        storing.take_away(refused)
    return (inserted - refused.keys(), refused), changed
