"""The arithmetic of candles. Pure: no clock, no database, no floats.

A candle is what a set of trades of one market comes to. Two candles of different trades merge into
that of all of them, in whichever order: the first and the last price are those of the lowest and
the highest trade number, because times may be equal, or step back between two workers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

INTERVALS: Mapping[str, int] = MappingProxyType(
    {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}
)
"""Each interval's seconds. It begins at a multiple of them since 1970: a day at 00:00 UTC."""
SHORTEST = 60


class TradeFacts(NamedTuple):
    """As much of a trade as a candle needs. `at`: whole seconds since 1970."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    at: int


@dataclass(frozen=True, slots=True)
class Candle:
    """What the trades of one interval come to.

    `start`: seconds since 1970; prices: quote per base; `volume`: base; `quote_volume`: quote.
    One without trades is flat at the price before it, and has no trade numbers.
    """

    start: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    first_trade_id: int | None
    last_trade_id: int | None


def start_of(at: int, seconds: int) -> int:
    """Return the beginning of the interval in which `at` lies."""
    return at - at % seconds


def candles_of(trades: Iterable[TradeFacts], seconds: int) -> dict[int, Candle]:
    """Return the candles of `trades`, each of them given once, by start."""
    found: dict[int, Candle] = {}
    for trade in trades:
        start = start_of(trade.at, seconds)
        one = _of_trade(trade, start)
        found[start] = merged(found[start], one) if start in found else one
    return found


def rolled_up(candles: Iterable[Candle], seconds: int) -> dict[int, Candle]:
    """Return the candles of longer intervals, whose seconds are a multiple of those given."""
    found: dict[int, Candle] = {}
    for candle in candles:
        start = start_of(candle.start, seconds)
        moved = _at(candle, start)
        found[start] = merged(found[start], moved) if start in found else moved
    return found


def merged(one: Candle, other: Candle) -> Candle:
    """Return the candle of all trades of both: the same interval, no trade in common."""
    assert one.start == other.start
    assert one.first_trade_id is not None
    assert one.last_trade_id is not None
    assert other.first_trade_id is not None
    assert other.last_trade_id is not None
    first = one if one.first_trade_id < other.first_trade_id else other
    last = one if one.last_trade_id > other.last_trade_id else other
    return Candle(
        start=one.start,
        open=first.open,
        high=max(one.high, other.high),
        low=min(one.low, other.low),
        close=last.close,
        volume=one.volume + other.volume,
        quote_volume=one.quote_volume + other.quote_volume,
        trades=one.trades + other.trades,
        first_trade_id=first.first_trade_id,
        last_trade_id=last.last_trade_id,
    )


def without_gaps(
    candles: Mapping[int, Candle], *, seconds: int, first: int, last: int, before: Candle | None
) -> list[Candle]:
    """Return a candle for each interval from `first` to `last`, flat where there was no trade.

    `before`: the last one before `first`. Where nothing has ever been traded, there is none.
    """
    found: list[Candle] = []
    previous = before
    for start in range(first, last + 1, seconds):
        candle = candles.get(start)
        if candle is None and previous is not None:
            candle = _flat(start, previous.close)
        if candle is not None:
            found.append(candle)
            previous = candle
    return found


def _of_trade(trade: TradeFacts, start: int) -> Candle:
    price = trade.price
    return Candle(
        start, price, price, price, price, trade.quantity, price * trade.quantity, 1,
        trade.trade_id, trade.trade_id,
    )  # fmt: skip


def _at(candle: Candle, start: int) -> Candle:
    return Candle(
        start, candle.open, candle.high, candle.low, candle.close, candle.volume,
        candle.quote_volume, candle.trades, candle.first_trade_id, candle.last_trade_id,
    )  # fmt: skip


def _flat(start: int, price: Decimal) -> Candle:
    return Candle(start, price, price, price, price, Decimal(0), Decimal(0), 0, None, None)
