"""Reads of candles and tickers. Nothing here writes.

Each answer is read in one statement, so it is of one moment: that of the trade number it names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.db import connection

from matching.market_data.candles import INTERVALS, SHORTEST, Candle, start_of, without_gaps

DAY = 86_400
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Candles:
    """A market's candles, the oldest first, of the trades up to `last_trade_id`, no other."""

    last_trade_id: int
    candles: list[Candle]


@dataclass(frozen=True)
class Ticker:
    """The trades since `since`: 24 hours in whole minutes, and the minute that is under way.

    Prices and `change`: quote per base; None before the market's first trade. Without a trade in
    that time all prices are that of the last one before it.
    """

    since: datetime
    last_trade_id: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    last: Decimal | None
    volume: Decimal
    quote_volume: Decimal
    trades: int

    @property
    def change(self) -> Decimal | None:
        return None if self.last is None or self.open is None else self.last - self.open

    @property
    def change_percent(self) -> Decimal | None:
        """Of the opening price, to the hundredth."""
        if self.change is None or not self.open:
            return None
        return (self.change * 100 / self.open).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def list_candles(*, market: str, interval: str, end: datetime, limit: int) -> Candles:
    """Return the last `limit` candles that begin before `end`, without a gap.

    An interval without a trade has a candle that is flat at the price before it, with 0 trades.
    There is none before the market's first trade.
    """
    seconds = INTERVALS[interval]
    last = start_of(_seconds_up(end) - 1, seconds)
    first = last - (limit - 1) * seconds
    with connection.cursor() as cursor:
        cursor.execute(
            _CANDLES,
            {"market": market, "seconds": seconds, "first": first, "last": last},
        )
        rows = cursor.fetchall()
    if not rows:
        return Candles(0, [])
    candles = {row[1]: Candle(*row[1:]) for row in rows if row[1] is not None}
    before = next((candle for start, candle in candles.items() if start < first), None)
    listed = without_gaps(candles, seconds=seconds, first=first, last=last, before=before)
    return Candles(rows[0][0], listed)


def get_ticker(*, market: str, now: datetime) -> Ticker:
    """Return what the trades of the last 24 hours come to."""
    since = start_of((now - _BEGINNING) // timedelta(seconds=1), SHORTEST) - DAY
    with connection.cursor() as cursor:
        cursor.execute(_TICKER, {"market": market, "seconds": SHORTEST, "since": since})
        row = cursor.fetchone()
    return _ticker(datetime.fromtimestamp(since, UTC), row)


def count_unfolded() -> int:
    """Return how many settled trades are not in the candles yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(coalesce(t.trade_id, 0) - coalesce(p.last_trade_id, 0)), 0)"
            " FROM orders_market m LEFT JOIN matching_candleprogress p ON p.market_id = m.symbol"
            " LEFT JOIN LATERAL (SELECT trade_id FROM balances_trade"
            "  WHERE market_id = m.symbol ORDER BY trade_id DESC LIMIT 1) t ON true"
        )
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _ticker(since: datetime, row: Iterable[Any] | None) -> Ticker:
    if row is None:
        return Ticker(since, 0, None, None, None, None, Decimal(0), Decimal(0), 0)
    last_trade_id, last, opened, high, low, volume, quote_volume, trades = row
    if not trades:
        return Ticker(since, last_trade_id, last, last, last, last, Decimal(0), Decimal(0), 0)
    return Ticker(
        since, last_trade_id, opened, high, low, last, volume, quote_volume, int(trades)
    )  # fmt: skip


def _seconds_up(at: datetime) -> int:
    """Return the first whole second at or after `at`."""
    return -((_BEGINNING - at) // timedelta(seconds=1))


_CANDLES = """
SELECT p.last_trade_id, extract(epoch FROM c.start)::bigint, c.open, c.high, c.low, c.close,
  c.volume, c.quote_volume, c.trades, c.first_trade_id, c.last_trade_id
FROM matching_candleprogress p LEFT JOIN LATERAL (
  (SELECT * FROM matching_candle WHERE market_id = p.market_id AND seconds = %(seconds)s
     AND start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s))
  UNION ALL
  (SELECT * FROM matching_candle WHERE market_id = p.market_id AND seconds = %(seconds)s
     AND start < to_timestamp(%(first)s) ORDER BY start DESC LIMIT 1)
) c ON true
WHERE p.market_id = %(market)s
ORDER BY c.start
"""

_TICKER = """
SELECT p.last_trade_id, t.price, day.*
FROM matching_candleprogress p
LEFT JOIN balances_trade t ON t.market_id = p.market_id AND t.trade_id = p.last_trade_id
CROSS JOIN LATERAL (
  SELECT (array_agg(open ORDER BY first_trade_id))[1], max(high), min(low), sum(volume),
    sum(quote_volume), sum(trades)
  FROM matching_candle
  WHERE market_id = p.market_id AND seconds = %(seconds)s AND start >= to_timestamp(%(since)s)
) day
WHERE p.market_id = %(market)s
"""
