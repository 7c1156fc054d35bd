"""Market data: rules, books by level, trades. Unknown markets and bad queries are in `refusals`."""

from typing import Any

import pytest

from balances.models import Trade
from orders.models import Market
from orders.seeding import MARKETS
from tests.api import ApiClient
from tests.support import World


def book(api: ApiClient, query: str = "", market: str = "ADA-USDT") -> dict[str, Any]:
    """Both sides as (price, quantity) pairs."""
    response = api.get(f"/markets/{market}/book{query}")
    assert response.status_code == 200
    body = response.json()
    assert body["market"] == market
    return {
        side: [(level["price"], level["quantity"]) for level in body[side]]
        for side in ("bids", "asks")
    }


def test_markets_are_listed_with_their_rules(api: ApiClient) -> None:
    listed = api.get("/markets").json()["results"]
    assert [market["symbol"] for market in listed] == sorted(MARKETS)
    assert listed[1] == {
        "symbol": "ADA-USDT", "base": "ADA", "quote": "USDT", "tick_size": "0.0001",
        "lot_size": "0.01", "min_quantity": None, "max_quantity": None, "min_notional": None, "price_band": None,
        "maker_fee_rate": "0", "taker_fee_rate": "0", "state": "open", "state_reason": "",
    }  # fmt: skip


def test_a_market_says_its_price_band(api: ApiClient) -> None:
    Market.objects.filter(pk="ADA-BTC").update(price_band="0.1")
    assert api.get("/markets").json()["results"][0]["price_band"] == "0.1"


def test_markets_come_in_pages(api: ApiClient) -> None:
    first = api.get("/markets?limit=3").json()
    second = api.get(first["next"]).json()
    symbols = [market["symbol"] for page in (first, second) for market in page["results"]]
    assert symbols == sorted(MARKETS)
    assert second["next"] is None


def test_a_halted_market_says_why(api: ApiClient) -> None:
    Market.objects.filter(pk="ADA-BTC").update(state="halted", state_reason="audit")
    first = api.get("/markets").json()["results"][0]
    assert (first["symbol"], first["state"], first["state_reason"]) == (
        "ADA-BTC",
        "halted",
        "audit",
    )


def test_a_book_nobody_trades_on_is_empty(api: ApiClient) -> None:
    assert book(api) == {"bids": [], "asks": []}


@pytest.fixture
def full_book(exchange_world: World) -> World:
    """Three bids on two levels, three asks on two levels, one of them half taken."""
    world = exchange_world
    for user, side, quantity, price in (
        (1, "buy", 1, "1.8"), (1, "buy", 2, "1.9"), (1, "buy", "0.5", "1.8"),
        (2, "sell", 3, "2.1"), (2, "sell", 4, 2), (2, "sell", 1, "2.1"),
        (1, "buy", 2, 2),
    ):  # fmt: skip
        world.place(user, side, quantity, price)
    world.pump()
    return world


def test_a_book_has_one_level_per_price_the_best_first(full_book: World, api: ApiClient) -> None:
    assert book(api) == {
        "bids": [("1.9", "2"), ("1.8", "1.5")],
        "asks": [("2", "2"), ("2.1", "4")],
    }


def test_a_book_can_be_cut_to_its_best_levels(full_book: World, api: ApiClient) -> None:
    assert book(api, "?levels=1") == {"bids": [("1.9", "2")], "asks": [("2", "2")]}
    assert book(api, "?levels=500") == book(api)


def test_a_book_shows_what_is_settled_and_nothing_else(full_book: World, api: ApiClient) -> None:
    before = book(api)
    order = full_book.place(1, "buy", 1, "1.95")
    assert book(api) == before
    full_book.pump()
    assert book(api)["bids"][0] == ("1.95", "1")
    full_book.cancel(order)
    full_book.pump()
    assert book(api) == before


def test_a_book_is_of_one_market(full_book: World, api: ApiClient) -> None:
    assert book(api, market="BTC-USDT") == {"bids": [], "asks": []}


@pytest.fixture
def five_trades(exchange_world: World) -> World:
    """Trades 1 to 5 of ADA-USDT: user 2 sells 1, 2, … ADA to the bid of user 1."""
    exchange_world.place(1, "buy", 100, "1.9")
    for quantity in range(1, 6):
        exchange_world.place(2, "sell", quantity, "1.5")
    exchange_world.pump()
    return exchange_world


def test_trades_are_listed_newest_first(five_trades: World, api: ApiClient) -> None:
    listed = api.get("/markets/ADA-USDT/trades").json()["results"]
    assert [trade["trade_id"] for trade in listed] == [5, 4, 3, 2, 1]
    executed_at = Trade.objects.get(trade_id=5).executed_at.isoformat().replace("+00:00", "Z")
    assert listed[0] == {
        "trade_id": 5, "price": "1.9", "quantity": "5", "taker_side": "sell",
        "executed_at": executed_at,
    }  # fmt: skip


def test_trades_come_in_pages_that_stay_where_they_are(five_trades: World, api: ApiClient) -> None:
    first = api.get("/markets/ADA-USDT/trades?limit=2").json()
    five_trades.place(2, "sell", 1, "1.5")
    five_trades.pump()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    ids = [[trade["trade_id"] for trade in page["results"]] for page in (first, second, third)]
    assert ids == [[5, 4], [3, 2], [1]]
    assert third["next"] is None


def test_trades_are_of_one_market(five_trades: World, api: ApiClient) -> None:
    assert api.get("/markets/ADA-BTC/trades").json()["results"] == []
