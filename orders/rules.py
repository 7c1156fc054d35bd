"""What a market takes: an order that is asked for, held against the market's rules.

Nothing is written here. What the rules need to know of other orders, the price of the last trade,
is given by the caller.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from django.utils import timezone

from balances.services import UnknownAssetError
from exchange.api.errors import ClientError
from exchange.money import MAX_AMOUNT, format_amount
from orders.bands import band_around
from orders.errors import (
    ExpiryMissingError,
    ExpiryNeedsGtdError,
    ExpiryNotInFutureError,
    IcebergNeedsGtcError,
    MarketCancelOnlyError,
    MarketHaltedError,
    MarketOrderHasPriceError,
    MarketOrderNeedsIocError,
    MarketPostOnlyError,
    NoPriceBandError,
    NoReferencePriceError,
    NotionalTooSmallError,
    OrderTooLargeError,
    PostOnlyNeedsGtcError,
    PriceNotOnTickError,
    PriceNotPositiveError,
    PriceOutsideBandError,
    QuantityNotOnLotError,
    QuantityNotPositiveError,
    QuantityTooLargeError,
    QuantityTooSmallError,
    QuoteAmountNeedsBuyError,
    QuoteAmountNeedsMarketOrderError,
    QuoteAmountNotOnStepError,
    QuoteAmountNotPositiveError,
    QuoteAmountTooSmallError,
    QuoteAmountWithQuantityError,
    StopPriceMissingError,
    StopPriceNeedsStopError,
    StopPriceNotOnTickError,
    StopPriceNotPositiveError,
    TooManyStopsError,
    UnknownMarketError,
    VisibleNotBelowQuantityError,
    VisibleNotOnLotError,
    VisibleNotPositiveError,
    VisibleTooSmallError,
)
from orders.models import MAX_PARTS, RESTING_TIMES, STOP_TYPES, UNPRICED_TYPES, Asset, Market, Order

MarketName = Literal["market", "asset"]

MAX_STOPS_OF_USER = 200
"""Stop orders of a user that wait on a market. The engine has a bound for the market
(`matching.engine.stops.MAX_STOPS`), which nobody shall use up alone."""


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


def require_allowed(wish: Wish, market: Market | None) -> Market:
    """Return the market of `wish`, if it exists and its rules allow such an order.

    Raises:
        ClientError: one of `orders.errors`, or `UnknownAssetError`.
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


def require_room_for_stop(wish: Wish, waiting: int) -> None:
    """Refuse a stop order of a user who has `waiting` others on the market, if that is too many.

    Raises:
        TooManyStopsError
    """
    if waiting >= MAX_STOPS_OF_USER:
        raise TooManyStopsError(
            f"You have {MAX_STOPS_OF_USER} stop orders on {wish.market} that wait: cancel some."
        )


def within_band(wish: Wish, market: Market, last_prices: Mapping[str, Decimal]) -> Wish:
    """Return an allowed wish on a market with a price band, with the price up to which it trades.

    A limit order keeps its own, which must not be beyond the band on the side where it would trade;
    a market order, also one that waits for a stop price, gets the edge of the band there.
    `last_prices`: of the markets' last settled trades. Before the first there is no band: limit
    orders have any price, and make it. The band of a stop order is around its stop price: that is
    where the last trade will be when it comes.

    Raises:
        ClientError: one of `orders.errors`.
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


def _no_market(market: str, named_by: MarketName) -> ClientError:
    base = market.rpartition("-")[0]
    if named_by == "asset" and not Asset.objects.filter(pk=base).exists():
        return UnknownAssetError(f"There is no asset {base}. GET /markets lists them.")
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
