"""Writes to orders: place, ask for a cancel, halt a market.

A service validates, changes Postgres in one transaction, and only then publishes. Publishing may
fail: the order row is the outbox, and the relay (`orders.relay`) publishes again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from balances import selectors as balance_selectors
from balances import services as balances
from balances.cache import CachedBalance
from balances.changes import change_balances
from orders import backlog, outbox, selectors, storing
from orders.counting import counts_orders
from orders.errors import (
    OrderFinishedError,
    OrderNotFoundError,
)
from orders.models import UNFINISHED_STATUSES, Market, MarketChange, Order
from orders.rules import (
    MarketName,
    Wish,
    require_allowed,
    require_room_for_stop,
    within_band,
)

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Placed:
    """The stored order; `created` is False when the client's own id was known already."""

    order: Order
    created: bool


@counts_orders
def place_order(
    *,
    user_id: int,
    market: str,
    side: str,
    price: Decimal | None,
    quantity: Decimal | None,
    client_order_id: str | None = None,
    request_id: str = "",
    market_named_by: MarketName = "market",
    time_in_force: str = "gtc",
    post_only: bool = False,
    self_trade_prevention: str = "none",
    expires_at: datetime | None = None,
    order_type: str = "limit",
    quote_amount: Decimal | None = None,
    stop_price: Decimal | None = None,
    visible_quantity: Decimal | None = None,
) -> Placed:
    """Hold the money, store the order, publish it. The order is as a `Wish` says it.

    With a `client_order_id` that the user has used before, nothing happens and the first order is
    returned: a retry is harmless.

    Raises:
        ClientError: of `orders.errors`, `orders.backlog` or `balances.services`; nothing
            has changed.
    """
    if client_order_id is not None and (known := _known(user_id, client_order_id)):
        return Placed(known, created=False)
    wish = Wish(
        user_id, market, side, price, quantity, client_order_id, market_named_by,
        time_in_force, post_only, self_trade_prevention, expires_at, order_type,
        quote_amount, stop_price, visible_quantity,
    )  # fmt: skip
    rules = require_allowed(wish, selectors.rules_of([market]).get(market))
    if rules.price_band is not None:
        wish = within_band(wish, rules, balance_selectors.last_prices([market]))
    if stop_price is not None:
        require_room_for_stop(wish, selectors.count_stops([user_id])[user_id, market])
    backlog.require_room()
    order = new_order(wish, rules, request_id, timezone.now())
    try:
        change_balances(lambda: _store_with_hold(order, rules))
    except balances.InsufficientBalanceError:
        if not get_user_model().objects.filter(pk=user_id).exists():
            raise balances.UnknownUserError(f"There is no user {user_id}.") from None
        raise
    except IntegrityError:
        # Two requests with the same id at once: the other one was first.
        if client_order_id is not None and (known := _known(user_id, client_order_id)):
            return Placed(known, created=False)
        raise
    backlog.note_accepted()
    logger.info("order_accepted", order_id=order.pk, market=market, side=side, user_id=user_id)
    outbox.publish_soon(order)
    return Placed(order, created=True)


def request_cancel(*, order_id: int, user_id: int | None = None) -> Order:
    """Ask the engine to take what remains of an order out of the book.

    The hold is released when the engine has confirmed: the order may be filled first. Asking
    again is harmless. `user_id`: only an order of this user.

    Raises:
        OrderNotFoundError: there is no such order.
        OrderFinishedError: there is nothing left to cancel.
    """
    orders = Order.objects.filter(pk=order_id)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    asked = orders.filter(status__in=UNFINISHED_STATUSES, cancel_requested_at__isnull=True).update(
        cancel_requested_at=timezone.now()
    )
    order = orders.select_related("market").first()
    if order is None:
        raise OrderNotFoundError(f"There is no order {order_id}.")
    if order.status not in UNFINISHED_STATUSES:
        raise OrderFinishedError(f"The order is {order.status} already: nothing is left to cancel.")
    if asked:
        logger.info("cancel_accepted", order_id=order.pk, order_request_id=order.request_id)
    outbox.publish_cancel_soon(order)
    return order


def halt_market(*, market: str, reason: str, in_place_of: str = "") -> None:
    """Take no more orders on `market`; what rests there stays as it is.

    A market that is halted already keeps its reason, unless that is `in_place_of`.
    """
    Market.objects.filter(
        ~Q(state=Market.State.HALTED) | Q(state_reason=in_place_of), pk=market
    ).update(state=Market.State.HALTED, state_reason=reason[:500])


def reopen_market(*, market: str, halted_for: str) -> None:
    """Put `market` back into the state that was ordered, if that is why it takes no orders."""
    change = MarketChange.objects.filter(pk=OuterRef("state_change_id")).exclude(
        state=Market.State.OPEN
    )
    Market.objects.filter(pk=market, state=Market.State.HALTED, state_reason=halted_for).update(
        state=F("ordered_state"),
        state_reason=Coalesce(Subquery(change.values("reason")), Value("")),
    )


def new_order(wish: Wish, market: Market, request_id: str, created_at: datetime) -> Order:
    """Return the order of an allowed wish; it is not stored yet, and has no number."""
    assert wish.price is not None, "a market order has its price from the band"
    assert wish.quantity is not None, "a market order has its quantity from the band"
    return storing.new_order(
        user_id=wish.user_id,
        market=wish.market,
        side=wish.side,
        order_type=wish.order_type,
        price=wish.price,
        stop_price=wish.stop_price,
        quantity=wish.quantity,
        time_in_force=wish.time_in_force,
        post_only=wish.post_only,
        self_trade_prevention=wish.self_trade_prevention,
        expires_at=wish.expires_at,
        quote_amount=wish.quote_amount,
        visible_quantity=wish.visible_quantity,
        client_order_id=wish.client_order_id,
        request_id=request_id,
        created_at=created_at,
        maker_fee_rate=market.maker_fee_rate,
        taker_fee_rate=market.taker_fee_rate,
    )


def amount_to_hold(market: Market, order: Order) -> tuple[str, Decimal]:
    """Return what an order needs while it is live: (asset, amount)."""
    if order.side != Order.Side.BUY:
        return market.base_id, order.quantity
    if order.quote_amount is not None:
        return market.quote_id, order.quote_amount
    return market.quote_id, order.price * order.quantity


def _known(user_id: int, client_order_id: str) -> Order | None:
    return Order.objects.filter(user_id=user_id, client_order_id=client_order_id).first()


def _store_with_hold(order: Order, market: Market) -> tuple[None, Sequence[CachedBalance]]:
    storing.insert_one(order)
    asset, amount = amount_to_hold(market, order)
    return None, balances.hold(user_id=order.user_id, asset=asset, amount=amount, order_id=order.pk)
