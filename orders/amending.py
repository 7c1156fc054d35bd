"""Writes to amendments: what a user asks for. What becomes of it is the settlement's work.

An amendment goes through the log, because it decides which orders trade. What the order may need
beyond its hold is put on hold together with the wish; the settlement of its result leaves exactly
what the order then needs, and gives the rest back. The order keeps its number and its history.
"""

from collections.abc import Sequence
from decimal import Decimal

import structlog
from django.db.models import QuerySet

from balances import selectors as balance_selectors
from balances import services as balances
from balances.cache import CachedBalance
from balances.changes import change_balances
from orders import backlog, outbox, selectors
from orders.errors import (
    AmendmentWaitingError,
    CancelRequestedError,
    NothingToAmendError,
    OrderFinishedError,
    OrderNotAmendableError,
    OrderNotFoundError,
    QuantityAlreadyFilledError,
)
from orders.models import LIVE_STATUSES, RESTING_TIMES, STOP_TYPES, Amendment, Market, Order
from orders.models import UNFINISHED_STATUSES as UNFINISHED
from orders.rules import Wish, require_allowed, within_band

logger = structlog.get_logger(__name__)

ZERO = Decimal(0)


def request_amendment(
    *,
    order_id: int,
    price: Decimal | None = None,
    quantity: Decimal | None = None,
    user_id: int | None = None,
    request_id: str = "",
) -> Amendment:
    """Ask the engine to give a live order another price (quote per base) or quantity (base).

    `quantity`: its new total, what has traded included. `user_id`: only an order of this user.
    A smaller quantity keeps the order's place in the queue; anything else loses it.

    Raises:
        ClientError: of `orders.errors`, `orders.backlog` or `balances.services`; nothing has
            changed.
    """
    backlog.require_room()

    def work() -> tuple[Amendment, Sequence[CachedBalance]]:
        order = _locked(order_id, user_id)
        amendment = _new_amendment(order, price, quantity, request_id)
        amendment.save(force_insert=True)
        return amendment, _hold(order, amendment)

    amendment = change_balances(work)
    logger.info(
        "amendment_accepted", amendment_id=amendment.pk, order_id=order_id,
        market=amendment.market_id,
    )  # fmt: skip
    outbox.publish_amendment_soon(amendment)
    return amendment


def _locked(order_id: int, user_id: int | None) -> Order:
    """Return the order, which nobody changes before this transaction ends."""
    orders: QuerySet[Order] = Order.objects.filter(pk=order_id)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    order = orders.select_for_update(no_key=True).first()
    if order is None:
        raise OrderNotFoundError(f"There is no order {order_id}.")
    return order


def _new_amendment(
    order: Order, price: Decimal | None, quantity: Decimal | None, request_id: str
) -> Amendment:
    """Return what is asked of a locked order, if that is possible and the market takes it."""
    _require_amendable(order)
    new_price = order.price if price is None else price
    new_quantity = order.quantity if quantity is None else quantity
    if (new_price, new_quantity) == (order.price, order.quantity):
        raise NothingToAmendError("The order has this price and this quantity already.")
    market = _require_taken(order, new_price, new_quantity)
    gone = order.filled_quantity + order.prevented_quantity
    if new_quantity <= gone:
        raise QuantityAlreadyFilledError(
            "As much of the order has traded already. To give up the rest of it, cancel it."
        )
    return Amendment(
        order=order,
        market=market,
        price=new_price,
        quantity=new_quantity,
        price_before=order.price,
        quantity_before=order.quantity,
        held=needed_at_most(order, new_price, new_quantity),
        request_id=request_id,
    )


def needed_at_most(order: Order, price: Decimal, quantity: Decimal) -> Decimal:
    """Return what the amended order may need beyond its hold, whatever trades before it is there.

    With the rest r that the book will have then, from what is left now down to nothing, a buy needs
    price * (r + change) and has price before * r: the most is at one of the two ends.
    """
    change: Decimal = quantity - order.quantity
    if order.side != Order.Side.BUY:
        return max(change, ZERO)
    raised: Decimal = max(price - order.price, ZERO)
    return max(raised * order.remaining_quantity + price * change, ZERO)


def _require_amendable(order: Order) -> None:
    if order.status not in UNFINISHED:
        raise OrderFinishedError(f"The order is {order.status} already: nothing is left to amend.")
    if (
        order.time_in_force not in RESTING_TIMES
        or order.visible_quantity is not None
        or (order.order_type in STOP_TYPES and order.status not in LIVE_STATUSES)
    ):
        raise OrderNotAmendableError(
            "Only an order that rests in the book can be amended, and no iceberg: cancel this one"
            " and place another."
        )
    if order.cancel_requested_at is not None:
        raise CancelRequestedError("The order is being canceled.")
    if Amendment.objects.filter(order=order, status=Amendment.Status.WAITING).exists():
        raise AmendmentWaitingError("An amendment of the order is on its way: wait for its result.")


def _require_taken(order: Order, price: Decimal, quantity: Decimal) -> Market:
    """Hold the amended order against the rules of its market, as if it were new."""
    wish = Wish(
        order.user_id, order.market_id, order.side, price, quantity,
        time_in_force=order.time_in_force, post_only=order.post_only, expires_at=order.expires_at,
        self_trade_prevention=order.self_trade_prevention,
    )  # fmt: skip
    market = require_allowed(wish, selectors.rules_of([order.market_id]).get(order.market_id))
    if market.price_band is not None:
        within_band(wish, market, balance_selectors.last_prices([order.market_id]))
    return market


def _hold(order: Order, amendment: Amendment) -> Sequence[CachedBalance]:
    if not amendment.held:
        return []
    base, _, quote = order.market_id.partition("-")
    asset = quote if order.side == Order.Side.BUY else base
    return balances.hold(
        user_id=order.user_id, asset=asset, amount=amendment.held, order_id=order.pk
    )
