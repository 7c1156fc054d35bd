"""Building a partition's engine from Postgres: the state at the checkpoint, and no further.

Checkpoint and live orders are read in one repeatable-read snapshot, so they belong together; the
replay of `order-events` from the checkpoint then brings the engine to where it was. Nothing here
writes.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import NamedTuple, TypeAlias, cast

from django.db import connection, transaction
from django.db.models import Q

from balances.models import Checkpoint, Trade
from exchange.arrays import array
from exchange.kafka import partition_for
from exchange.money import to_units
from exchange.postgres import lift_time_limits
from exchange.records import PreventionName, TimeInForceName
from matching.engine import BUY, SELL, Engine, MarketState, PlaceStop, TimeInForce
from orders.models import Market, Order

FETCH = 5_000

Rules: TypeAlias = tuple[TimeInForce, bool, PreventionName]

StateChange = tuple[int, MarketState]
"""The number of a market's last change of state (0: there was none), and the state."""


class LastTrade(NamedTuple):
    """The number of a market's last trade, and its price (quote per base)."""

    trade_id: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Scale:
    """How a market's decimals become the engine's integers: price in ticks, quantity in lots."""

    tick: Decimal
    lot: Decimal


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition's engine at its checkpoint, the scales of its markets, the epoch of all this."""

    partition: int
    engine: Engine
    scales: dict[str, Scale]
    epoch: int
    broken: Mapping[str, str] = field(default_factory=dict)
    """Markets whose live orders are no book, and why; the engine has an empty one of theirs."""


def recover(partition: int, alive: Callable[[], None] = lambda: None) -> Recovered:
    """Return the engine of `partition` as it was at its checkpoint; call `alive` on the way."""
    with snapshot(), _without_collection():
        checkpoint = Checkpoint.objects.get(pk=partition)
        engine = Engine(checkpoint.offset)
        scales: dict[str, Scale] = {}
        broken: dict[str, str] = {}
        for market in markets_on(partition):
            problem = open_market(
                engine, scales, market, last_trade=last_trade(market), state=settled_state(market)
            )
            if problem:
                broken[market.symbol] = problem
        _restore_books(engine, scales, alive, broken)
    return Recovered(partition, engine, scales, checkpoint.epoch_id, broken)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let no garbage be looked for: a book is a million objects that stay, and no rings of them.

    Python would walk all of them again and again, for a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _restore_books(
    engine: Engine, scales: dict[str, Scale], alive: Callable[[], None], broken: dict[str, str]
) -> None:
    """Put all orders back where they were; add to `broken` the markets where that cannot be.

    One order that somebody has changed by hand must not stop the other markets.
    """
    markets = [market for market in scales if market not in broken]
    rows: Iterator[LiveOrder | WaitingStop] = chain(live_orders(markets), waiting_stops(markets))
    for count, row in enumerate(rows):
        if count % FETCH == 0:
            alive()
        order_id, market = row[0], row[2]
        if market in broken:
            continue
        try:
            restore(engine, scales, row)
        except ValueError as error:  # DuplicateOrder and CrossedBook among them
            broken[market] = f"order {order_id} cannot rest: {type(error).__name__}: {error}"
            engine.empty_book(market)


def open_market(
    engine: Engine,
    scales: dict[str, Scale],
    market: Market,
    *,
    last_trade: LastTrade | None = None,
    state: StateChange = (0, "open"),
) -> str:
    """Give `engine` the empty book of `market`, whose last trade was `last_trade`; None: none was.

    Returns what is wrong with that trade, "" if nothing is; the engine then knows no last price.
    """
    change_id, name = state
    number, price = last_trade or LastTrade(0, Decimal(0))
    last_price, problem = 0, ""
    try:
        last_price = to_units(price, market.tick_size)
    except ValueError as error:
        problem = f"its last trade, {number}: {error}"
    engine.add_market(
        market.symbol, number, last_price=last_price, state=name, change_id=change_id
    )  # fmt: skip
    scales[market.symbol] = Scale(market.tick_size, market.lot_size)
    return problem


def settled_state(market: Market) -> StateChange:
    """Return the last change of the market's state that has been settled, and that state."""
    return market.state_change_id, cast(MarketState, market.ordered_state)


def markets_on(partition: int) -> list[Market]:
    """Return the markets whose events are on `partition`."""
    return [market for market in Market.objects.all() if partition_for(market.base_id) == partition]


def last_trade(market: Market) -> LastTrade | None:
    """Return the market's last settled trade, None before any."""
    trades = Trade.objects.filter(market=market).order_by("-trade_id")
    found = trades.values_list("trade_id", "price").first()
    return None if found is None else LastTrade._make(found)


LiveOrder = tuple[int, int, str, str, Decimal, Decimal, Decimal, Decimal | None]
"""Id, user, market, side, price, quantity, how much of it is gone (filled, or prevented), and how
much an iceberg shows at a time."""


def live_orders(markets: list[str]) -> Iterator[LiveOrder]:
    """Yield the live orders in the order of their places in the queue: that is their priority.

    That is the place of their own event on the log, unless a later one has put them elsewhere.
    """
    with connection.chunked_cursor() as cursor:
        cursor.execute(_LIVE_ORDERS, [array(markets)])
        while rows := cursor.fetchmany(FETCH):
            yield from rows


# Written out: the framework takes as long for each row as Postgres and the driver together.
_LIVE_ORDERS = """
SELECT id, user_id, market_id, side, price, quantity, filled_quantity + prevented_quantity,
  visible_quantity
FROM orders_order
WHERE market_id = ANY(%s::varchar[]) AND status IN ('open', 'partially_filled')
ORDER BY coalesce(queue_epoch, epoch), coalesce(queue_offset, "offset"), coalesce(queue_rank, 0)
"""


def price_of_trade(market: Market, trade_id: int) -> Decimal | None:
    """Return the price of a settled trade, None if there is none of this number."""
    found = Trade.objects.filter(market=market, trade_id=trade_id)
    return found.values_list("price", flat=True).first()


class WaitingStop(NamedTuple):
    """A stop order that has not been triggered; `elected`: its price has come."""

    order_id: int
    user_id: int
    market: str
    side: str
    price: Decimal
    quantity: Decimal
    stop_price: Decimal
    time_in_force: TimeInForceName
    post_only: bool
    self_trade_prevention: PreventionName
    elected: bool


def waiting_stops(markets: list[str]) -> Iterator[WaitingStop]:
    """Yield the untriggered orders, the oldest first: at one stop price that is their turn."""
    rows = (
        Order.objects.filter(market_id__in=markets, status=Order.Status.UNTRIGGERED)
        .order_by("epoch", "offset")
        .annotate(elected=Q(elected_at__isnull=False))
        .values_list(
            "id", "user_id", "market_id", "side", "price", "quantity", "stop_price",
            "time_in_force", "post_only", "self_trade_prevention", "elected",
        )
        .iterator(chunk_size=FETCH)
    )  # fmt: skip
    return map(WaitingStop._make, rows)


def restore(engine: Engine, scales: dict[str, Scale], row: LiveOrder | WaitingStop) -> None:
    """Put an order back where it was: into its book, or among the stop orders."""
    if isinstance(row, WaitingStop):
        restore_stop(engine, scales, row)
    else:
        restore_order(engine, scales, row)


def restore_stop(engine: Engine, scales: dict[str, Scale], row: WaitingStop) -> None:
    """Put an untriggered order back, behind those restored before it."""
    scale = scales[row.market]
    order = PlaceStop(
        row.order_id,
        row.user_id,
        row.market,
        BUY if row.side == Order.Side.BUY else SELL,
        to_units(row.price, scale.tick),
        to_units(row.quantity, scale.lot),
        to_units(row.stop_price, scale.tick),
        *rules_in_engine(row.time_in_force, row.post_only, row.self_trade_prevention),
    )
    engine.restore_stop(order, elected=row.elected)


def rules_in_engine(
    time_in_force: TimeInForceName, post_only: bool, prevention: PreventionName
) -> Rules:
    """Return what an order says beyond its price, as `PlaceWithRules` takes it.

    An order that is good till a date rests until it is canceled: the engine has no clock.
    """
    return "gtc" if time_in_force == "gtd" else time_in_force, post_only, prevention


def restore_order(engine: Engine, scales: dict[str, Scale], row: LiveOrder) -> None:
    """Put a live order back into its book, behind those restored before it."""
    order_id, user_id, market, side, price, quantity, gone, visible = row
    scale = scales[market]
    engine.restore(
        market,
        order_id,
        user_id,
        BUY if side == Order.Side.BUY else SELL,
        to_units(price, scale.tick),
        to_units(quantity - gone, scale.lot),
        visible_lots(visible, scale),
    )


def visible_lots(visible_quantity: Decimal | None, scale: Scale) -> int:
    """Return how many lots an order shows at a time, 0 for one that shows all.

    Raises:
        ValueError: it is not a number of lots.
    """
    return 0 if visible_quantity is None else to_units(visible_quantity, scale.lot)


@contextmanager
def snapshot() -> Iterator[None]:
    """One consistent view of the database, however long the reading takes."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        lift_time_limits()
        yield
