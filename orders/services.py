"""Writes to orders: place, ask for a cancel, halt a market.

A service validates, changes Postgres in one transaction, and only then publishes. Publishing may
fail: the order row is the outbox, and the relay (`orders.relay`) publishes again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

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
from exchange.api.errors import ClientError
from exchange.money import MAX_AMOUNT, format_amount
from orders import backlog, outbox, selectors, storing
from orders.bands import band_around
from orders.counting import counts_orders
from orders.models import (
    MAX_PARTS,
    RESTING_TIMES,
    STOP_TYPES,
    UNFINISHED_STATUSES,
    UNPRICED_TYPES,
    Asset,
    Market,
    MarketChange,
    Order,
)

logger = structlog.get_logger(__name__)


class UnknownMarketError(ClientError):
    code = "unknown_market"
    field = "market"


class MarketHaltedError(ClientError):
    code = "market_halted"
    field = "market"


class MarketCancelOnlyError(MarketHaltedError):
    code = "market_cancel_only"


class MarketPostOnlyError(MarketHaltedError):
    code = "market_post_only"


class PriceNotPositiveError(ClientError):
    code = "price_not_positive"
    field = "price"


class QuantityNotPositiveError(ClientError):
    code = "quantity_not_positive"
    field = "quantity"


class PriceNotOnTickError(ClientError):
    code = "price_not_on_tick"
    field = "price"


class QuantityNotOnLotError(ClientError):
    code = "quantity_not_on_lot"
    field = "quantity"


class QuantityTooSmallError(ClientError):
    code = "quantity_too_small"
    field = "quantity"


class QuantityTooLargeError(ClientError):
    code = "quantity_too_large"
    field = "quantity"


class NotionalTooSmallError(ClientError):
    code = "notional_too_small"
    field = "quantity"


class OrderTooLargeError(ClientError):
    code = "order_too_large"
    field = "quantity"


class PriceOutsideBandError(ClientError):
    code = "price_outside_band"
    field = "price"


class MarketOrderHasPriceError(ClientError):
    code = "market_order_has_price"
    field = "price"


class MarketOrderNeedsIocError(ClientError):
    code = "market_order_needs_ioc"
    field = "time_in_force"


class NoPriceBandError(ClientError):
    code = "no_price_band"
    field = "type"


class NoReferencePriceError(ClientError):
    code = "no_reference_price"
    field = "type"


class QuoteAmountNeedsMarketOrderError(ClientError):
    code = "quote_amount_needs_market_order"
    field = "quote_amount"


class QuoteAmountNeedsBuyError(ClientError):
    code = "quote_amount_needs_buy"
    field = "quote_amount"


class QuoteAmountWithQuantityError(ClientError):
    code = "quote_amount_with_quantity"
    field = "quote_amount"


class QuoteAmountNotPositiveError(ClientError):
    code = "quote_amount_not_positive"
    field = "quote_amount"


class QuoteAmountNotOnStepError(ClientError):
    code = "quote_amount_not_on_step"
    field = "quote_amount"


class QuoteAmountTooSmallError(ClientError):
    code = "quote_amount_too_small"
    field = "quote_amount"


class PostOnlyNeedsGtcError(ClientError):
    code = "post_only_needs_gtc"
    field = "post_only"


class ExpiryMissingError(ClientError):
    code = "expires_at_missing"
    field = "expires_at"


class ExpiryNeedsGtdError(ClientError):
    code = "expires_at_needs_gtd"
    field = "expires_at"


class ExpiryNotInFutureError(ClientError):
    code = "expires_at_not_in_future"
    field = "expires_at"


class StopPriceMissingError(ClientError):
    code = "stop_price_missing"
    field = "stop_price"


class StopPriceNeedsStopError(ClientError):
    code = "stop_price_needs_stop"
    field = "stop_price"


class StopPriceNotPositiveError(ClientError):
    code = "stop_price_not_positive"
    field = "stop_price"


class StopPriceNotOnTickError(ClientError):
    code = "stop_price_not_on_tick"
    field = "stop_price"


class VisibleNotPositiveError(ClientError):
    code = "visible_quantity_not_positive"
    field = "visible_quantity"


class VisibleNotOnLotError(ClientError):
    code = "visible_quantity_not_on_lot"
    field = "visible_quantity"


class VisibleNotBelowQuantityError(ClientError):
    code = "visible_quantity_not_below_quantity"
    field = "visible_quantity"


class VisibleTooSmallError(ClientError):
    code = "visible_quantity_too_small"
    field = "visible_quantity"


class IcebergNeedsGtcError(ClientError):
    code = "iceberg_needs_gtc"
    field = "visible_quantity"


class OrderNotFoundError(ClientError):
    code = "unknown_order"
    field = "order_id"
    http_status = 404


class OrderFinishedError(ClientError):
    code = "order_finished"
    field = "order_id"


MarketName = Literal["market", "asset"]


class Wish(NamedTuple):
    """An order as it is asked for. `price`: quote per base; `quantity`: base.

    `self_trade_prevention`: what happens when it meets an order of the same user; with "none" they
    trade. `market_named_by`: which input an error about the market names. `expires_at`: given if it
    is good till a date (gtd), and only then. A market order names no price, and one with a
    `quote_amount` to spend no quantity: `within_band` gives it both. `stop_price` (quote per base):
    given if it is a stop order, and only then. `visible_quantity` (base): how much of itself it
    shows at a time, if it is an iceberg.
    """

    user_id: int
    market: str
    side: str
    price: Decimal | None
    quantity: Decimal | None
    client_order_id: str | None = None
    market_named_by: MarketName = "market"
    time_in_force: str = "gtc"
    post_only: bool = False
    self_trade_prevention: str = "none"
    expires_at: datetime | None = None
    order_type: str = "limit"
    quote_amount: Decimal | None = None
    stop_price: Decimal | None = None
    visible_quantity: Decimal | None = None


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
        ClientError: one of this module's, of `orders.backlog` or `balances.services`; nothing
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


def require_allowed(wish: Wish, market: Market | None) -> Market:
    """Return the market of `wish`, if it exists and its rules allow such an order.

    Raises:
        ClientError: one of this module's, or `UnknownAssetError`.
    """
    if market is None:
        raise _no_market(wish.market, wish.market_named_by)
    if market.state != Market.State.OPEN:
        _check_state(market, wish)
    if wish.quote_amount is not None and wish.order_type != Order.Type.MARKET:
        raise QuoteAmountNeedsMarketOrderError(
            "Only a market order is placed by what it may spend."
        )
    if wish.order_type in UNPRICED_TYPES:
        _check_market_order(market, wish)
    else:
        assert wish.price is not None, "a limit order names its price"
        assert wish.quantity is not None, "a limit order names its quantity"
        _check_amounts(market, wish.price, wish.quantity)
    if wish.post_only and wish.time_in_force not in RESTING_TIMES:
        raise PostOnlyNeedsGtcError(
            "A post-only order rests, so it is good till canceled (gtc) or till a date (gtd)."
        )
    if wish.expires_at is not None or wish.time_in_force == Order.TimeInForce.GTD:
        _check_expiry(wish)
    if wish.stop_price is not None or wish.order_type in STOP_TYPES:
        _check_stop(market, wish)
    if wish.visible_quantity is not None:
        _check_iceberg(market, wish, wish.visible_quantity)
    return market


def within_band(wish: Wish, market: Market, last_prices: Mapping[str, Decimal]) -> Wish:
    """Return an allowed wish on a market with a price band, with the price up to which it trades.

    A limit order keeps its own, which must not be beyond the band on the side where it would trade;
    a market order, also one that waits for a stop price, gets the edge of the band there.
    `last_prices`: of the markets' last settled trades. Before the first there is no band: limit
    orders have any price, and make it. The band of a stop order is around its stop price: that is
    where the last trade will be when it comes.

    Raises:
        ClientError: one of this module's.
    """
    assert market.price_band is not None, market
    last = last_prices.get(wish.market) if wish.stop_price is None else wish.stop_price
    if last is None:
        if wish.order_type in UNPRICED_TYPES:
            raise NoReferencePriceError(f"{wish.market} has no trade yet that a price could be by.")
        return wish
    lowest, highest = band_around(last, market.price_band, market.tick_size)
    buys = wish.side == Order.Side.BUY
    when = "now" if wish.stop_price is None else "with this stop price"
    if wish.quote_amount is not None:
        return _priced_by_amount(wish, market, wish.quote_amount, lowest, highest)
    if wish.price is None:
        assert wish.quantity is not None, "an order without an amount to spend names its quantity"
        edge = highest if buys else lowest
        _check_amounts(market, edge, wish.quantity)
        return wish._replace(price=edge)
    if wish.price > highest if buys else wish.price < lowest:
        raise PriceOutsideBandError(
            f"The price must be at most {format_amount(highest)} {when}."
            if buys
            else f"The price must be at least {format_amount(lowest)} {when}."
        )
    return wish


def _priced_by_amount(
    wish: Wish, market: Market, amount: Decimal, lowest: Decimal, highest: Decimal
) -> Wish:
    """Return the wish with the quantity that `amount` buys at most, at the lowest price."""
    step = market.tick_size * market.lot_size
    if amount % step:
        raise QuoteAmountNotOnStepError(
            f"The amount to spend must be a multiple of {format_amount(step)}, tick times lot size."
        )
    quantity = amount // (lowest * market.lot_size) * market.lot_size
    if not quantity or (market.min_notional is not None and amount < market.min_notional):
        raise QuoteAmountTooSmallError(
            "The amount to spend is less than this market's orders cost."
        )
    if quantity > MAX_AMOUNT:
        raise OrderTooLargeError(
            "The quantity is beyond what an account can hold.", field="quote_amount"
        )
    _check_quantity(market, quantity, "quote_amount")
    return wish._replace(price=highest, quantity=quantity)


def _check_market_order(market: Market, wish: Wish) -> None:
    """Refuse a market order that says what none can, or that its market does not take."""
    if wish.price is not None:
        raise MarketOrderHasPriceError("A market order names no price; a limit order does.")
    if wish.time_in_force != Order.TimeInForce.IOC:
        raise MarketOrderNeedsIocError("A market order trades at once (ioc), and never rests.")
    if wish.quote_amount is not None:
        _check_quote_amount(wish, wish.quote_amount)
    if market.price_band is None:
        raise NoPriceBandError(f"{wish.market} has no price band, so it takes no market orders.")


def _check_quote_amount(wish: Wish, amount: Decimal) -> None:
    if wish.quantity is not None:
        raise QuoteAmountWithQuantityError("Give the quantity or the amount to spend, not both.")
    if wish.side != Order.Side.BUY:
        raise QuoteAmountNeedsBuyError(
            "Only a buy order spends the quote asset; give the quantity."
        )
    if amount <= 0:
        raise QuoteAmountNotPositiveError("The amount to spend must be greater than zero.")


def _check_expiry(wish: Wish) -> None:
    if wish.time_in_force != Order.TimeInForce.GTD:
        raise ExpiryNeedsGtdError("Only an order that is good till a date (gtd) expires.")
    if wish.expires_at is None:
        raise ExpiryMissingError("Say until when the order is good: expires_at.")
    if wish.expires_at <= timezone.now():
        raise ExpiryNotInFutureError("The order would have expired already.")


def _check_stop(market: Market, wish: Wish) -> None:
    if wish.order_type not in STOP_TYPES:
        raise StopPriceNeedsStopError(
            "Only a stop order (type stop_limit or stop_market) has a stop price."
        )
    if wish.stop_price is None:
        raise StopPriceMissingError("Say at which trade price the order comes: stop_price.")
    if wish.stop_price <= 0:
        raise StopPriceNotPositiveError("The stop price must be greater than zero.")
    if wish.stop_price % market.tick_size:
        tick = format_amount(market.tick_size)
        raise StopPriceNotOnTickError(
            f"The stop price must be a multiple of {tick}, the tick size."
        )


def _check_iceberg(market: Market, wish: Wish, visible: Decimal) -> None:
    """Refuse an iceberg that does not rest, or whose parts are none."""
    if wish.order_type != Order.Type.LIMIT or wish.time_in_force not in RESTING_TIMES:
        raise IcebergNeedsGtcError(
            "An iceberg is a limit order that rests: good till canceled (gtc) or till a date (gtd)."
        )
    assert wish.quantity is not None, "a limit order names its quantity"
    if visible <= 0:
        raise VisibleNotPositiveError("The visible quantity must be greater than zero.")
    if visible % market.lot_size:
        lot = format_amount(market.lot_size)
        raise VisibleNotOnLotError(
            f"The visible quantity must be a multiple of {lot}, the lot size."
        )
    if visible >= wish.quantity:
        raise VisibleNotBelowQuantityError(
            "The visible quantity must be less than the quantity: an order that shows all of"
            " itself gives none."
        )
    if wish.quantity > MAX_PARTS * visible:
        raise VisibleTooSmallError(
            f"An iceberg has at most {MAX_PARTS} parts: the quantity must be at most {MAX_PARTS}"
            " times the visible one."
        )


def _check_state(market: Market, wish: Wish) -> None:
    """Refuse what a market that is not open does not take."""
    if market.state == Market.State.HALTED:
        raise MarketHaltedError(
            f"{wish.market} is halted: no new orders until it is resumed.",
            field=wish.market_named_by,
        )
    if market.state == Market.State.CANCEL_ONLY:
        raise MarketCancelOnlyError(
            f"{wish.market} takes cancels only.", field=wish.market_named_by
        )
    if not wish.post_only:
        raise MarketPostOnlyError(
            f"{wish.market} takes only orders that cannot trade when they come (post_only).",
            field=wish.market_named_by,
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


def _no_market(market: str, named_by: MarketName) -> ClientError:
    base = market.rpartition("-")[0]
    if named_by == "asset" and not Asset.objects.filter(pk=base).exists():
        return balances.UnknownAssetError(f"There is no asset {base}. GET /markets lists them.")
    return UnknownMarketError(
        f"There is no market {market}. GET /markets lists them.", field=named_by
    )


def _check_amounts(market: Market, price: Decimal, quantity: Decimal) -> None:
    if price <= 0:
        raise PriceNotPositiveError("The price must be greater than zero.")
    if quantity <= 0:
        raise QuantityNotPositiveError("The quantity must be greater than zero.")
    if price % market.tick_size:
        tick = format_amount(market.tick_size)
        raise PriceNotOnTickError(f"The price must be a multiple of {tick}, the tick size.")
    if quantity % market.lot_size:
        lot = format_amount(market.lot_size)
        raise QuantityNotOnLotError(f"The quantity must be a multiple of {lot}, the lot size.")
    if price * quantity > MAX_AMOUNT:
        raise OrderTooLargeError("Price times quantity is beyond what an account can hold.")
    _check_size(market, price, quantity)


def _check_quantity(market: Market, quantity: Decimal, field: str = "quantity") -> None:
    """Refuse what the market's bounds do not allow; `field`: which input says how much it is."""
    smallest, largest = market.min_quantity, market.max_quantity
    if smallest is not None and quantity < smallest:
        raise QuantityTooSmallError(
            f"The quantity must be at least {format_amount(smallest)}.", field=field
        )
    if largest is not None and quantity > largest:
        raise QuantityTooLargeError(
            f"The quantity must be at most {format_amount(largest)}.", field=field
        )


def _check_size(market: Market, price: Decimal, quantity: Decimal) -> None:
    _check_quantity(market, quantity)
    notional = market.min_notional
    if notional is not None and price * quantity < notional:
        raise NotionalTooSmallError(
            f"Price times quantity must be at least {format_amount(notional)}."
        )


def _store_with_hold(order: Order, market: Market) -> tuple[None, Sequence[CachedBalance]]:
    storing.insert_one(order)
    asset, amount = amount_to_hold(market, order)
    return None, balances.hold(user_id=order.user_id, asset=asset, amount=amount, order_id=order.pk)
