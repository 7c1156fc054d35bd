"""The arithmetic of candles, against the plainest way to do it, on random trades."""

import random
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from matching.market_data.candles import (
    INTERVALS,
    SHORTEST,
    Candle,
    TradeFacts,
    candles_of,
    merged,
    rolled_up,
    start_of,
    without_gaps,
)

NOON = 1_767_268_800  # 2026-01-01 12:00 UTC


@st.composite
def trades(draw: st.DrawFn) -> list[TradeFacts]:
    """Numbered from 1; the time mostly goes on, and now and then steps back."""
    at, found = NOON, []
    for number in range(1, draw(st.integers(1, 60)) + 1):
        at += draw(st.sampled_from([0, 0, 1, 7, 59, 60, 61, 900, 2_000, 90_000, -1, -61]))
        price = Decimal(draw(st.integers(1, 500))) / 100
        quantity = Decimal(draw(st.integers(1, 10**6))) / 1000
        found.append(TradeFacts(number, price, quantity, at))
    return found


def plainly(trades: Sequence[TradeFacts], seconds: int) -> dict[int, Candle]:
    """Look through all trades once more for each interval."""
    found = {}
    for start in {trade.at // seconds * seconds for trade in trades}:
        own = sorted(trade for trade in trades if start <= trade.at < start + seconds)
        prices = [trade.price for trade in own]
        found[start] = Candle(
            start=start, open=prices[0], high=max(prices), low=min(prices), close=prices[-1],
            volume=sum((t.quantity for t in own), Decimal(0)),
            quote_volume=sum((t.price * t.quantity for t in own), Decimal(0)),
            trades=len(own), first_trade_id=own[0].trade_id, last_trade_id=own[-1].trade_id,
        )  # fmt: skip
    return found


def together(one: dict[int, Candle], other: dict[int, Candle]) -> dict[int, Candle]:
    found = dict(one)
    for start, candle in other.items():
        found[start] = merged(found[start], candle) if start in found else candle
    return found


intervals = st.sampled_from(list(INTERVALS.values()))


@given(seconds=intervals, trades=trades())
def test_candles_are_what_their_trades_say(seconds: int, trades: list[TradeFacts]) -> None:
    assert candles_of(trades, seconds) == plainly(trades, seconds)


@given(seconds=intervals, trades=trades(), seed=st.integers(0, 1000))
def test_the_order_of_the_trades_does_not_matter(
    seconds: int, trades: list[TradeFacts], seed: int
) -> None:
    shuffled = random.Random(seed).sample(trades, len(trades))
    assert candles_of(shuffled, seconds) == candles_of(trades, seconds)


@given(seconds=intervals, trades=trades(), cut=st.integers(0, 60))
def test_a_part_merged_with_the_rest_is_the_whole(
    seconds: int, trades: list[TradeFacts], cut: int
) -> None:
    parts = candles_of(trades[:cut], seconds), candles_of(trades[cut:], seconds)
    assert together(*parts) == together(*reversed(parts)) == candles_of(trades, seconds)


@given(seconds=intervals, trades=trades())
def test_longer_candles_come_of_shorter_ones(seconds: int, trades: list[TradeFacts]) -> None:
    shortest = candles_of(trades, SHORTEST)
    assert rolled_up(shortest.values(), seconds) == candles_of(trades, seconds)


@given(seconds=intervals, trades=trades())
def test_candles_hold_every_trade_once(seconds: int, trades: list[TradeFacts]) -> None:
    found = candles_of(trades, seconds).values()
    assert sum(candle.trades for candle in found) == len(trades)
    assert sum(candle.volume for candle in found) == sum(trade.quantity for trade in trades)
    for candle in found:
        assert candle.start % seconds == 0
        assert candle.low <= min(candle.open, candle.close)
        assert candle.high >= max(candle.open, candle.close)


@given(seconds=intervals, trades=trades())
def test_a_gap_is_flat_at_the_price_before_it(seconds: int, trades: list[TradeFacts]) -> None:
    candles = candles_of(trades, seconds)
    first, last = min(candles), max(candles) + 2 * seconds
    if (last - first) // seconds > 2_000:
        first = last - 2_000 * seconds
    earlier = [candles[start] for start in sorted(candles) if start < first]
    listed = without_gaps(
        candles, seconds=seconds, first=first, last=last, before=earlier[-1] if earlier else None
    )
    assert [candle.start for candle in listed] == list(range(first, last + 1, seconds))
    previous = earlier[-1] if earlier else None
    for candle in listed:
        if candle.start in candles:
            assert candle == candles[candle.start]
        else:
            assert previous is not None
            prices = {candle.open, candle.high, candle.low, candle.close}
            assert prices == {previous.close}
            assert candle.volume == candle.quote_volume == candle.trades == 0
        previous = candle


def test_before_the_first_trade_there_is_nothing() -> None:
    candles = candles_of([TradeFacts(1, Decimal(2), Decimal(1), NOON)], 60)
    listed = without_gaps(candles, seconds=60, first=NOON - 600, last=NOON, before=None)
    assert [candle.start for candle in listed] == [NOON]


def test_every_interval_is_a_multiple_of_the_shortest_and_a_part_of_a_day() -> None:
    for seconds in INTERVALS.values():
        assert seconds % SHORTEST == 0
        assert 86_400 % seconds == 0
        assert start_of(NOON + 1, seconds) % seconds == 0
