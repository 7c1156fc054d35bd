"""The state in which the present log began, from Postgres.

Epochs that begin for a missing result or a resumed halt go on in the same log; one for a new or a
cut log does not. The log can be replayed from the latest of those: e0. The books at its beginning
are the orders placed before e0 and not finished before it, less what the trades before e0 have
taken. A trade belongs to the epoch of its taker; if that is a stop order, to that of its trigger.
Where an iceberg stood then is said by those trades too: its row only says where it stands now.
A stop order waits if it was placed before e0 and triggered later, or never. It was elected then if
its election is of an epoch before e0.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import cast

from django.db import connection

from balances.audit.places import refilled, taken_epoch
from balances.models import LogEpoch
from exchange.records import NO_OFFSET
from matching.engine import CrossedBook, DuplicateOrder, Engine, MarketState
from matching.recovery import (
    LastTrade,
    LiveOrder,
    Recovered,
    Scale,
    StateChange,
    WaitingStop,
    markets_on,
    open_market,
    restore,
)
from matching.replay.tally import Tally
from orders.models import MarketChange

FETCH = 5_000


class CannotReplayError(Exception):
    """The log cannot be compared with what is settled; why, and what can be done."""


@dataclass(frozen=True)
class LogBeginning:
    """The present log. `first_epoch`: e0. `offsets`: per partition, the last event before it."""

    first_epoch: int
    order_topic_id: str
    offsets: Mapping[int, int]


def present_log() -> LogBeginning:
    """Return the log that the present epoch counts in.

    Raises:
        CannotReplayError: there has been none yet.
    """
    present = LogEpoch.objects.first()
    first = LogEpoch.objects.filter(is_new_log=True).first()
    if present is None or first is None:
        raise CannotReplayError("No log has been begun yet: nothing has been matched.")
    offsets = {int(partition): offset for partition, offset in first.begin_offsets.items()}
    return LogBeginning(first.number, present.order_topic_id, offsets)


def state_at_beginning(partition: int, log: LogBeginning, tally: Tally) -> Recovered:
    """Return the engine of `partition` as it was when `log` began."""

    def note(row: LiveOrder | WaitingStop, problem: str) -> None:
        tally.add(partition, row[0], row[2], problem)

    engine = Engine(log.offsets.get(partition, NO_OFFSET))
    scales: dict[str, Scale] = {}
    markets = markets_on(partition)
    last_trades = _last_trades([market.symbol for market in markets], log.first_epoch)
    states = _states_before(log.first_epoch)
    for market in markets:
        problem = open_market(
            engine, scales, market, last_trade=last_trades.get(market.symbol),
            state=states.get(market.symbol, (0, "open")),
        )  # fmt: skip
        if problem:
            tally.add(partition, None, market.symbol, problem)
    rows: Iterable[LiveOrder | WaitingStop] = chain(
        _live_before(list(scales), log.first_epoch), _waiting_before(list(scales), log.first_epoch)
    )
    tally.looked_at += restore_orders(engine, scales, rows, note)
    return Recovered(partition, engine, scales, log.first_epoch)


def restore_orders(
    engine: Engine,
    scales: dict[str, Scale],
    rows: Iterable[LiveOrder | WaitingStop],
    note: Callable[[LiveOrder | WaitingStop, str], None],
) -> int:
    """Put `rows` where they were and return how many they are.

    One that cannot have been there is left out, and `note` is told.
    """
    count = 0
    for row in rows:
        count += 1
        try:
            restore(engine, scales, row)
        except (CrossedBook, DuplicateOrder, ValueError, AssertionError) as error:
            note(row, f"{type(error).__name__}: {error}")
    return count


def _states_before(epoch: int) -> dict[str, StateChange]:
    """Return the last change of each market that was settled before `epoch` began."""
    changes = MarketChange.objects.filter(epoch__lt=epoch).order_by("pk")
    return {
        market: (pk, cast(MarketState, state))
        for market, pk, state in changes.values_list("market_id", "pk", "state")
    }


def _last_trades(markets: Sequence[str], epoch: int) -> dict[str, LastTrade]:
    with connection.cursor() as cursor:
        cursor.execute(_LAST_TRADES, {"markets": list(markets), "epoch": epoch})
        return {row[0]: LastTrade._make(row[1:]) for row in cursor.fetchall()}


def _live_before(markets: Sequence[str], epoch: int) -> Iterator[LiveOrder]:
    """Yield the orders that were live when `epoch` began, in the order of their priority."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_LIVE_BEFORE, {"markets": list(markets), "epoch": epoch})
        while rows := cursor.fetchmany(FETCH):
            yield from rows


def _waiting_before(markets: Sequence[str], epoch: int) -> Iterator[WaitingStop]:
    """Yield the orders that were untriggered when `epoch` began, the oldest first."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_WAITING_BEFORE, {"markets": list(markets), "epoch": epoch})
        while rows := cursor.fetchmany(FETCH):
            yield from map(WaitingStop._make, rows)


_TAKER = "CASE t.taker_side WHEN 'buy' THEN t.buy_order_id ELSE t.sell_order_id END"

_TAKEN_IN = taken_epoch("taker", "t.trade_id")
_REFILLED_IN = taken_epoch("taker", "took.rank")

_LAST_TRADES = f"""
SELECT market_id, trade_id, price FROM (
  SELECT t.market_id, max(t.trade_id) AS trade_id
  FROM balances_trade t JOIN orders_order taker ON taker.id = {_TAKER}
  WHERE t.market_id = ANY(%(markets)s) AND {_TAKEN_IN} < %(epoch)s GROUP BY t.market_id
) last JOIN balances_trade USING (market_id, trade_id)
"""  # noqa: S608 - our own SQL

# A prevented self-trade that reduces two orders finishes one of them: it was in that epoch.
_LIVE_BEFORE = f"""
WITH old AS (
  SELECT id, user_id, market_id, side, visible_quantity,
    coalesce(later.price_before, price) AS price,
    coalesce(later.quantity_before, quantity) AS quantity,
    CASE WHEN queue_epoch < %(epoch)s THEN queue_epoch
      ELSE coalesce(moved.epoch, triggered_epoch, o.epoch) END AS epoch,
    CASE WHEN queue_epoch < %(epoch)s THEN queue_offset
      ELSE coalesce(moved."offset", triggered_offset, o."offset") END AS "offset",
    CASE WHEN queue_epoch < %(epoch)s THEN queue_rank ELSE 0 END AS rank
  FROM orders_order o LEFT JOIN LATERAL (
    SELECT price_before, quantity_before FROM orders_amendment a
    WHERE o.first_price IS NOT NULL AND a.order_id = o.id AND a.status = 'applied'
      AND a.epoch >= %(epoch)s ORDER BY a.id LIMIT 1
  ) later ON true LEFT JOIN LATERAL (
    SELECT a.epoch, a."offset" FROM orders_amendment a
    WHERE o.first_price IS NOT NULL AND a.order_id = o.id AND a.moved
      AND a.epoch < %(epoch)s ORDER BY a.id DESC LIMIT 1
  ) moved ON true
  WHERE market_id = ANY(%(markets)s) AND o.epoch < %(epoch)s AND status <> 'rejected'
    AND (finished_epoch IS NULL OR finished_epoch >= %(epoch)s)
    AND (stop_price IS NULL OR triggered_epoch < %(epoch)s)
), gone AS (
  SELECT id, sum(quantity) AS quantity FROM (
    SELECT old.id, t.quantity, {_TAKEN_IN} AS epoch
    FROM old JOIN balances_trade t ON t.buy_order_id = old.id
      JOIN orders_order taker ON taker.id = {_TAKER}
    UNION ALL
    SELECT old.id, t.quantity, {_TAKEN_IN}
    FROM old JOIN balances_trade t ON t.sell_order_id = old.id
      JOIN orders_order taker ON taker.id = {_TAKER}
    UNION ALL
    SELECT old.id, d.quantity, least(t.finished_epoch, m.finished_epoch)
    FROM old JOIN balances_decrement d ON d.taker_order_id = old.id
      JOIN orders_order t ON t.id = d.taker_order_id JOIN orders_order m ON m.id = d.maker_order_id
    UNION ALL
    SELECT old.id, d.quantity, least(t.finished_epoch, m.finished_epoch)
    FROM old JOIN balances_decrement d ON d.maker_order_id = old.id
      JOIN orders_order t ON t.id = d.taker_order_id JOIN orders_order m ON m.id = d.maker_order_id
  ) taken WHERE epoch < %(epoch)s GROUP BY 1
), iceberg AS (
  SELECT old.id, old.quantity - coalesce(gone.quantity, 0) AS rest, visible_quantity
  FROM old LEFT JOIN gone USING (id) WHERE visible_quantity IS NOT NULL
), refilled AS ({refilled("iceberg", f"{_REFILLED_IN} < %(epoch)s")})
SELECT old.id, user_id, market_id, side, price, old.quantity, coalesce(gone.quantity, 0),
  visible_quantity
FROM old LEFT JOIN gone USING (id) LEFT JOIN refilled r USING (id)
ORDER BY coalesce(r.epoch, old.epoch), coalesce(r."offset", old."offset"),
  coalesce(r.rank, old.rank)
"""  # noqa: S608 - our own SQL

_WAITING_BEFORE = """
SELECT id, user_id, market_id, side, price, quantity, stop_price, time_in_force, post_only,
  self_trade_prevention, coalesce(elected_epoch < %(epoch)s, false)
FROM orders_order
WHERE market_id = ANY(%(markets)s) AND epoch < %(epoch)s AND status <> 'rejected'
  AND (finished_epoch IS NULL OR finished_epoch >= %(epoch)s)
  AND stop_price IS NOT NULL AND (triggered_epoch IS NULL OR triggered_epoch >= %(epoch)s)
ORDER BY epoch, "offset"
"""
