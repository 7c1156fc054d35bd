"""Keeps the candles up to date with the settled trades: each trade goes in once, in its order.

A market's trades are numbered without a gap, and the number up to which they are in the candles is
written in the same transaction. So nothing can be folded twice or left out, whoever calls, however
often: what is on the log only says when to look.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from django.db import connection, transaction

from exchange.arrays import array, columns
from exchange.postgres import lift_time_limits
from matching.market_data.candles import (
    INTERVALS,
    SHORTEST,
    Candle,
    TradeFacts,
    candles_of,
    rolled_up,
)
from matching.models import Candle as CandleRow
from matching.models import CandleProgress
from orders.models import Market

CHUNK = 20_000
"""Trades of a market that are folded in one transaction."""


class Left(NamedTuple):
    """The markets to be folded again: they have `more`, or are `busy`, as somebody folds them."""

    more: set[str]
    busy: set[str]


def fold(markets: Collection[str]) -> Left:
    """Fold what has been settled on `markets` and is not in their candles yet, or a part of it."""
    with transaction.atomic():
        progress = _locked(markets)
        known = set(progress)
        if missing := set(markets) - known:
            known |= _begin(missing)
            progress |= _locked(missing)
        return Left(_fold_chunk(progress), known - progress.keys())


def rebuild(market: str) -> int:
    """Make a market's candles anew from its trades; return how many trades are in them.

    One transaction: until it ends readers see the candles as they were, and nobody else folds.
    """
    with transaction.atomic(durable=True):
        lift_time_limits()
        _begin({market})
        CandleProgress.objects.select_for_update().get(pk=market)
        CandleRow.objects.filter(market_id=market).delete()
        CandleProgress.objects.filter(pk=market).update(last_trade_id=0)
        while _fold_chunk(_reached({market})):
            pass
        return _reached({market})[market]


def _locked(markets: Collection[str]) -> dict[str, int]:
    """Lock the progress of those of `markets` that nobody else has locked, in order."""
    rows = CandleProgress.objects.filter(pk__in=markets).order_by("pk")
    locked = rows.select_for_update(skip_locked=True)
    return dict(locked.values_list("market_id", "last_trade_id"))


def _reached(markets: Collection[str]) -> dict[str, int]:
    rows = CandleProgress.objects.filter(pk__in=markets)
    return dict(rows.values_list("market_id", "last_trade_id"))


def _begin(markets: Collection[str]) -> set[str]:
    """Make the rows of those of `markets` that have none; return which of them exist at all."""
    known = set(Market.objects.filter(pk__in=markets).values_list("symbol", flat=True))
    CandleProgress.objects.bulk_create(
        [CandleProgress(market_id=symbol) for symbol in sorted(known)], ignore_conflicts=True
    )
    return known


def _fold_chunk(progress: Mapping[str, int]) -> set[str]:
    """Fold the next trades after `progress`, whose rows are locked; return who may have more."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_TRADES, [array(progress), array(progress.values()), CHUNK])
        rows = cursor.fetchall()
    full: set[str] = set()
    candles: list[tuple[str, int, Candle]] = []
    reached: dict[str, int] = {}
    for market, of_market in groupby(rows, key=lambda row: str(row[0])):
        trades = [TradeFacts(*row[1:]) for row in of_market]
        reached[market] = trades[-1].trade_id
        candles += ((market, seconds, candle) for seconds, candle in _all_intervals(trades))
        if len(trades) == CHUNK:
            full.add(market)
    if candles:
        _merge(candles)
        _move(reached)
    return full


def _all_intervals(trades: Iterable[TradeFacts]) -> Iterable[tuple[int, Candle]]:
    shortest = candles_of(trades, SHORTEST)
    for seconds in INTERVALS.values():
        longer = shortest if seconds == SHORTEST else rolled_up(shortest.values(), seconds)
        yield from ((seconds, candle) for candle in longer.values())


def _merge(candles: Iterable[tuple[str, int, Candle]]) -> None:
    rows = (
        (
            market, seconds, candle.start, candle.open, candle.high, candle.low, candle.close,
            candle.volume, candle.quote_volume, candle.trades, candle.first_trade_id,
            candle.last_trade_id,
        )
        for market, seconds, candle in candles
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_MERGE, columns(rows))


def _move(reached: Mapping[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE matching_candleprogress p SET last_trade_id = d.last"
            " FROM unnest(%s::varchar[], %s::bigint[]) AS d(market, last)"
            " WHERE p.market_id = d.market",
            columns(reached.items()),
        )


_NEXT_TRADES = """
SELECT p.market, t.trade_id, t.price, t.quantity,
  floor(extract(epoch FROM t.executed_at))::bigint
FROM unnest(%s::varchar[], %s::bigint[]) AS p(market, last)
CROSS JOIN LATERAL (
  SELECT * FROM balances_trade
  WHERE market_id = p.market AND trade_id > p.last ORDER BY trade_id LIMIT %s
) t
ORDER BY p.market, t.trade_id
"""

# What is merged in has higher trade numbers than what is there: `open` stays, `close` moves.
_MERGE = """
INSERT INTO matching_candle AS c (market_id, seconds, start, open, high, low, close, volume,
  quote_volume, trades, first_trade_id, last_trade_id)
SELECT market, seconds, to_timestamp(start), open, high, low, close, volume, quote_volume, trades,
  first_trade_id, last_trade_id
FROM unnest(%s::varchar[], %s::int[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[],
  %s::numeric[], %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[], %s::bigint[])
  AS d(market, seconds, start, open, high, low, close, volume, quote_volume, trades,
    first_trade_id, last_trade_id)
ON CONFLICT (market_id, seconds, start) DO UPDATE SET
  high = greatest(c.high, excluded.high),
  low = least(c.low, excluded.low),
  close = excluded.close,
  volume = c.volume + excluded.volume,
  quote_volume = c.quote_volume + excluded.quote_volume,
  trades = c.trades + excluded.trades,
  last_trade_id = excluded.last_trade_id
"""
