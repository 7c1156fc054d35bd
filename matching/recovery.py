"""Building a partition's engine from Postgres: the state at the checkpoint, and no further.

Checkpoint and live orders are read in one repeatable-read snapshot, so they belong together; the
replay of `order-events` from the checkpoint then brings the engine to where it was. Nothing here
writes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from balances.models import Checkpoint, Trade
from exchange.kafka import partition_for
from exchange.money import to_units
from exchange.postgres import lift_time_limits
from matching.engine import BUY, SELL, Engine, MarketState
from orders.models import LIVE_STATUSES, Market, Order

FETCH = 5_000

StateChange = tuple[int, MarketState]
"""The number of a market's last change of state (0: there was none), and the state."""


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
    with snapshot():
        checkpoint = Checkpoint.objects.get(pk=partition)
        engine = Engine(checkpoint.offset)
        scales: dict[str, Scale] = {}
        for market in markets_on(partition):
            open_market(
                engine, scales, market, last_trade_id=last_trade_id(market),
                state=settled_state(market),
            )  # fmt: skip
        broken = _restore_books(engine, scales, alive)
    return Recovered(partition, engine, scales, checkpoint.epoch_id, broken)


def _restore_books(
    engine: Engine, scales: dict[str, Scale], alive: Callable[[], None]
) -> dict[str, str]:
    """Put the live orders into their books; return the markets where that cannot be, and why.

    One order that somebody has changed by hand must not stop the other markets.
    """
    broken: dict[str, str] = {}
    for count, row in enumerate(live_orders(list(scales))):
        if count % FETCH == 0:
            alive()
        order_id, _, market, *_ = row
        if market in broken:
            continue
        try:
            restore_order(engine, scales, row)
        except ValueError as error:  # DuplicateOrder and CrossedBook among them
            broken[market] = f"order {order_id} cannot rest: {type(error).__name__}: {error}"
            engine.empty_book(market)
    return broken


def open_market(
    engine: Engine,
    scales: dict[str, Scale],
    market: Market,
    *,
    last_trade_id: int,
    state: StateChange = (0, "open"),
) -> None:
    """Give `engine` the empty book of `market`; its next trade is `last_trade_id + 1`."""
    change_id, name = state
    engine.add_market(market.symbol, last_trade_id, state=name, change_id=change_id)
    scales[market.symbol] = Scale(market.tick_size, market.lot_size)


def settled_state(market: Market) -> StateChange:
    """Return the last change of the market's state that has been settled, and that state."""
    return market.state_change_id, cast(MarketState, market.ordered_state)


def markets_on(partition: int) -> list[Market]:
    """Return the markets whose events are on `partition`."""
    return [market for market in Market.objects.all() if partition_for(market.base_id) == partition]


def last_trade_id(market: Market) -> int:
    """Return the number of the market's last settled trade, 0 before any."""
    numbers = Trade.objects.filter(market=market).order_by("-trade_id")
    return numbers.values_list("trade_id", flat=True).first() or 0


LiveOrder = tuple[int, int, str, str, Decimal, Decimal, Decimal]
"""Id, user, market, side, price, quantity, and how much of it is gone: filled, or prevented."""


def live_orders(markets: list[str]) -> Iterator[LiveOrder]:
    """Yield the live orders in the order of their places in the queue: that is their priority.

    That is the place of their own event on the log, unless a later one has put them elsewhere.
    """
    return (
        Order.objects.filter(market_id__in=markets, status__in=LIVE_STATUSES)
        .order_by(
            Coalesce("queue_epoch", "epoch"),
            Coalesce("queue_offset", "offset"),
            Coalesce("queue_rank", 0),
        )
        .annotate(gone=F("filled_quantity") + F("prevented_quantity"))
        .values_list("id", "user_id", "market_id", "side", "price", "quantity", "gone")
        .iterator(chunk_size=FETCH)
    )


def restore_order(engine: Engine, scales: dict[str, Scale], row: LiveOrder) -> None:
    """Put a live order back into its book, behind those restored before it."""
    order_id, user_id, market, side, price, quantity, gone = row
    scale = scales[market]
    engine.restore(
        market,
        order_id,
        user_id,
        BUY if side == Order.Side.BUY else SELL,
        to_units(price, scale.tick),
        to_units(quantity - gone, scale.lot),
    )


@contextmanager
def snapshot() -> Iterator[None]:
    """One consistent view of the database, however long the reading takes."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        lift_time_limits()
        yield
