"""What the tests of market data say in one line."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection

from balances.models import Trade
from exchange.kafka import LogRecord
from matching.market_data.candles import INTERVALS, Candle, TradeFacts, candles_of
from matching.market_data.follower import Follower
from matching.models import Candle as CandleRow
from matching.models import CandleProgress
from tests.support import World, differences

ADA = "ADA-USDT"
BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def settled_trades(market: str) -> list[TradeFacts]:
    return [
        TradeFacts(trade.trade_id, trade.price, trade.quantity, int(trade.executed_at.timestamp()))
        for trade in Trade.objects.filter(market_id=market).order_by("trade_id")
    ]


def stored_candles(market: str) -> dict[int, dict[int, Candle]]:
    found: dict[int, dict[int, Candle]] = {seconds: {} for seconds in INTERVALS.values()}
    for row in CandleRow.objects.filter(market_id=market):
        start = int(row.start.timestamp())
        found[row.seconds][start] = Candle(
            start, row.open, row.high, row.low, row.close, row.volume, row.quote_volume,
            row.trades, row.first_trade_id, row.last_trade_id,
        )  # fmt: skip
    return found


def assert_candles_agree(*markets: str) -> None:
    """Every candle is what the settled trades say, and there is no other."""
    for market in markets or (ADA,):
        trades = settled_trades(market)
        expected = {seconds: candles_of(trades, seconds) for seconds in INTERVALS.values()}
        assert stored_candles(market) == expected
        reached = CandleProgress.objects.filter(pk=market).values_list("last_trade_id", flat=True)
        assert list(reached) == ([trades[-1].trade_id] if trades else list(reached))
    assert [line for line in differences() if line.startswith("candles")] == []


def trade(world: World, count: int = 1, *, market: str = ADA, price: str = "1.9") -> None:
    """Have `count` trades matched and settled, each of 1."""
    for _ in range(count):
        world.place(1, "buy", 1, price, market=market)
        world.place(2, "sell", 1, price, market=market)
    world.pump()


def move_trades(trade_ids: list[int], at: datetime, market: str = ADA) -> None:
    """Have trades been settled at another time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_trade SET executed_at = %s WHERE market_id = %s AND trade_id = ANY(%s)",
            [at, market, trade_ids],
        )


def follow(follower: Follower, records: list[LogRecord]) -> int:
    follower.note(records)
    return follower.follow()


def answer(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body
