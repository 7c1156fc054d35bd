"""Candles and ticker over HTTP: every interval is there, and every number is the trades' own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from matching.market_data.folding import fold
from tests.api import ApiClient, refusal
from tests.integration.market_data.support import ADA, BEGIN, answer, move_trades, trade
from tests.support import World


@pytest.fixture
def traded(exchange_world: World) -> World:
    """Trades of 1 at 1.5, 1.2 and 1.8 within a minute, and at 2 in the minute after the next."""
    for price in ("1.5", "1.2", "1.8", "2"):
        trade(exchange_world, price=price)
    move_trades([1], BEGIN)
    move_trades([2, 3], BEGIN + timedelta(seconds=59))
    move_trades([4], BEGIN + timedelta(seconds=120))
    fold({ADA})
    return exchange_world


def candles(api: ApiClient, interval: str = "1m", **query: Any) -> list[dict[str, Any]]:
    text = "".join(f"&{name}={value}" for name, value in query.items())
    body = answer(api.get(f"/markets/{ADA}/candles?interval={interval}{text}"))
    assert (body["market"], body["interval"]) == (ADA, interval)
    found: list[dict[str, Any]] = body["candles"]
    return found


def test_candles_have_every_interval(traded: World, api: ApiClient) -> None:
    found = candles(api, end="2026-01-01T12:03:00Z")
    assert found == [
        {
            "start": "2026-01-01T12:00:00Z", "open": "1.5", "high": "1.8", "low": "1.2",
            "close": "1.8", "volume": "3", "quote_volume": "4.5", "trades": 3,
        },
        {  # a gap: flat at the price before it, and no trade
            "start": "2026-01-01T12:01:00Z", "open": "1.8", "high": "1.8", "low": "1.8",
            "close": "1.8", "volume": "0", "quote_volume": "0", "trades": 0,
        },
        {
            "start": "2026-01-01T12:02:00Z", "open": "2", "high": "2", "low": "2",
            "close": "2", "volume": "1", "quote_volume": "2", "trades": 1,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ("5m", ["12:00"]), ("15m", ["12:00"]), ("1h", ["12:00"]), ("4h", ["12:00"]),
        ("1d", ["00:00"]),
    ],
)  # fmt: skip
def test_longer_intervals(traded: World, api: ApiClient, interval: str, starts: list[str]) -> None:
    found = candles(api, interval, end="2026-01-01T12:03:00Z")
    assert [candle["start"][11:16] for candle in found] == starts
    assert (found[0]["open"], found[0]["close"], found[0]["trades"]) == ("1.5", "2", 4)


@pytest.mark.parametrize(
    ("end", "limit", "starts"),
    [
        ("2026-01-01T12:03:00Z", 1, ["12:02"]),
        ("2026-01-01T12:02:00Z", 1, ["12:01"]),
        ("2026-01-01T12:02:00.5Z", 1, ["12:02"]),
        ("2026-01-01T14:02:00%2B02:00", 9, ["12:00", "12:01"]),
        ("2026-01-01T12:00:00Z", 9, []),
        ("0001-01-01T00:00:00Z", 500, []),
        ("2026-01-01T12:10:00Z", 2, ["12:08", "12:09"]),
    ],
)
def test_pages_go_back_by_the_end(
    traded: World, api: ApiClient, end: str, limit: int, starts: list[str]
) -> None:
    found = candles(api, end=end, limit=limit)
    assert [candle["start"][11:16] for candle in found] == starts
    if starts == ["12:08", "12:09"]:
        assert [(candle["close"], candle["trades"]) for candle in found] == [("2", 0)] * 2


def test_the_last_candle_is_the_present_one(exchange_world: World, api: ApiClient) -> None:
    trade(exchange_world)
    fold({ADA})
    for end in ("", "9999-12-31T23:59:59Z"):
        found = candles(api, "1d", **({"end": end} if end else {}))
        start = datetime.fromisoformat(found[-1]["start"])
        assert timezone.now() - timedelta(days=1) < start <= timezone.now()
        assert sum(candle["trades"] for candle in found) == 1


def test_a_market_that_was_never_traded_has_no_candles(
    exchange_world: World, api: ApiClient
) -> None:
    for _ in range(2):
        body = answer(api.get(f"/markets/{ADA}/candles?interval=1h"))
        assert (body["last_trade_id"], body["candles"]) == (0, [])
        fold({ADA})  # its progress is known now


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("", "interval", "required"), ("interval=2m", "interval", "invalid_choice"),
        ("interval=1m&limit=501", "limit", "too_large"), ("interval=1m&limit=0", "limit", "too_small"),
        ("interval=1m&end=2026-01-01", "end", "invalid"),
        ("interval=1m&end=2026-01-01T12:00:00", "end", "invalid"),
        ("interval=1m&end=2026-02-30T12:00:00Z", "end", "invalid"),
        ("interval=1m&end=0001-01-01T00:00:00%2B23:59", "end", "invalid"),
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(
    api: ApiClient, query: str, field: str, code: str
) -> None:
    assert refusal(api.get(f"/markets/{ADA}/candles?{query}")) == (400, code, field)


@pytest.mark.parametrize("what", ["candles?interval=1m", "ticker", "bbo", "book"])
def test_of_an_unknown_market_nothing_is_known(api: ApiClient, what: str) -> None:
    assert refusal(api.get(f"/markets/NO-SUCH/{what}"))[:2] == (404, "unknown_market")


def test_the_ticker_is_of_the_last_24_hours(exchange_world: World, api: ApiClient) -> None:
    now = timezone.now()
    for price in ("9", "1.6", "1.2", "2"):
        trade(exchange_world, price=price)
    move_trades([1], now - timedelta(hours=24, minutes=2))
    move_trades([2], now - timedelta(hours=23, minutes=58))
    move_trades([3], now - timedelta(hours=1))
    fold({ADA})
    ticker = answer(api.get(f"/markets/{ADA}/ticker"))
    since = datetime.fromisoformat(ticker.pop("since"))
    assert (since.second, since.tzinfo) == (0, UTC)
    assert now - timedelta(hours=24, minutes=1) < since <= timezone.now() - timedelta(hours=24)
    assert ticker == {
        "market": ADA, "last_trade_id": 4, "open": "1.6", "high": "2", "low": "1.2", "last": "2",
        "change": "0.4", "change_percent": "25", "volume": "3", "quote_volume": "4.8", "trades": 3,
    }  # fmt: skip


def test_a_day_without_a_trade_is_flat(traded: World, api: ApiClient) -> None:
    move_trades([1, 2, 3, 4], timezone.now() - timedelta(days=3))
    ticker = answer(api.get(f"/markets/{ADA}/ticker"))
    assert ticker.pop("since")
    assert ticker == {
        "market": ADA, "last_trade_id": 4, "open": "2", "high": "2", "low": "2", "last": "2",
        "change": "0", "change_percent": "0", "volume": "0", "quote_volume": "0", "trades": 0,
    }  # fmt: skip


def test_a_market_that_was_never_traded_has_no_price(exchange_world: World, api: ApiClient) -> None:
    for _ in range(2):
        ticker = answer(api.get(f"/markets/{ADA}/ticker"))
        assert (ticker["last_trade_id"], ticker["trades"], ticker["volume"]) == (0, 0, "0")
        assert {ticker[name] for name in ("open", "high", "low", "last", "change")} == {None}
        fold({ADA})


def test_each_answer_is_of_one_moment(
    traded: World, api: ApiClient, django_assert_num_queries: Any
) -> None:
    """The market, and then one statement."""
    for what in ("candles?interval=1d&limit=500", "ticker"):
        with django_assert_num_queries(2):
            api.get(f"/markets/{ADA}/{what}")
