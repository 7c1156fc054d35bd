"""A user's fills over HTTP: each side sees its own half of a trade, and no more."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from balances.models import LedgerEntry, Trade
from balances.services import deposit
from orders.models import Market, Order
from tests.api import ApiClient, refusal
from tests.support import World


@pytest.fixture
def traded(exchange_world: World) -> World:
    """User 2 offers 3 ADA at 1.5, user 1 takes 1 and 2 of them; then user 1 sells 1 BTC to user 2."""
    world = exchange_world
    deposit(user_id=1, asset="BTC", amount=Decimal(1))
    deposit(user_id=2, asset="USDT", amount=Decimal(500))
    world.place(2, "sell", 3, "1.5")
    world.place(1, "buy", 1, "1.9")
    world.place(1, "buy", 2, "1.5")
    world.place(2, "buy", "0.01", 100, market="BTC-USDT")
    world.place(1, "sell", "0.01", 90, market="BTC-USDT")
    world.pump()
    return world


def fills(api: ApiClient, path: str) -> list[dict[str, Any]]:
    response = api.get(path)
    assert response.status_code == 200, response.content
    return list(response.json()["results"])


def test_a_fill_says_all_of_ones_own_side_and_nothing_of_the_other(
    traded: World, api: ApiClient
) -> None:
    newest, *_, first = fills(api, "/fills?user_id=1")
    trade, mine = Trade.objects.get(market="ADA-USDT", trade_id=1), Order.objects.filter(user=1)
    assert first == {
        "market": "ADA-USDT", "trade_id": 1, "order_id": mine.earliest("pk").pk, "side": "buy",
        "role": "taker", "price": "1.5", "quantity": "1", "quote_quantity": "1.5",
        "fee": "0", "fee_asset": "ADA", "executed_at": trade.executed_at.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert (newest["market"], newest["side"], newest["role"]) == ("BTC-USDT", "sell", "taker")
    assert (newest["price"], newest["quote_quantity"]) == ("100", "1")
    others = {order.pk for order in Order.objects.filter(user=2)}
    assert not others & {fill["order_id"] for fill in fills(api, "/fills?user_id=1")}


def test_each_side_has_its_half(traded: World, api: ApiClient) -> None:
    halves = {
        user: [
            (fill["market"], fill["trade_id"], fill["side"], fill["role"], fill["quantity"])
            for fill in fills(api, f"/fills?user_id={user}")
        ]
        for user in (1, 2)
    }
    assert halves[1] == [
        ("BTC-USDT", 1, "sell", "taker", "0.01"),
        ("ADA-USDT", 2, "buy", "taker", "2"),
        ("ADA-USDT", 1, "buy", "taker", "1"),
    ]
    assert halves[2] == [
        ("BTC-USDT", 1, "buy", "maker", "0.01"),
        ("ADA-USDT", 2, "sell", "maker", "2"),
        ("ADA-USDT", 1, "sell", "maker", "1"),
    ]


def test_who_trades_with_themselves_has_both_halves(exchange_world: World, api: ApiClient) -> None:
    deposit(user_id=1, asset="ADA", amount=Decimal(5))
    exchange_world.place(1, "sell", 1, "1.5")
    exchange_world.place(1, "buy", 1, "1.5")
    exchange_world.pump()
    found = fills(api, "/fills?user_id=1")
    if not found:
        pytest.skip("self-trade prevention leaves no such trade")
    assert {(fill["side"], fill["role"]) for fill in found} == {("sell", "maker"), ("buy", "taker")}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("market=ADA-USDT", [("ADA-USDT", 2), ("ADA-USDT", 1)]),
        ("market=BTC-USDT", [("BTC-USDT", 1)]),
        ("market=ADA-BTC", []),
        ("market=NOSUCH", []),
        ("order_id={first}", [("ADA-USDT", 1)]),
        ("order_id={first}&market=BTC-USDT", []),
        ("order_id={of_other}", []),
        ("from={second}", [("BTC-USDT", 1), ("ADA-USDT", 2), ("ADA-USDT", 1)]),
        ("to={second}", []),
        ("limit=1", [("BTC-USDT", 1)]),
    ],
)
def test_fills_are_narrowed_down(
    traded: World, api: ApiClient, query: str, found: list[tuple[str, int]]
) -> None:
    query = query.format(
        first=Order.objects.filter(user=1).earliest("pk").pk,
        of_other=Order.objects.filter(user=2).earliest("pk").pk,
        second=Trade.objects.earliest("pk").executed_at.isoformat().replace("+00:00", "Z"),
    )
    seen = fills(api, f"/fills?user_id=1&{query}")
    assert [(fill["market"], fill["trade_id"]) for fill in seen] == found


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("user_id=1&from=now", "invalid", "from"),
        ("user_id=1&market=%00", "invalid", "market"),
        ("user_id=1&order_id=-1", "too_small", "order_id"),
        ("user_id=1&cursor=x", "invalid_cursor", "cursor"),
        ("user_id=x", "invalid", "user_id"),
        ("", "required", "user_id"),  # in demo mode nobody has signed in
    ],
)
def test_what_makes_no_sense_is_refused(
    exchange_world: World, api: ApiClient, query: str, code: str, field: str
) -> None:
    assert refusal(api.get(f"/fills?{query}")) == (400, code, field)


def test_an_orders_fills(traded: World, api: ApiClient) -> None:
    order = Order.objects.filter(user=2).earliest("pk")
    assert [fill["quantity"] for fill in fills(api, f"/orders/{order.pk}/fills")] == ["2", "1"]
    assert fills(api, f"/orders/{order.pk}/fills") == fills(
        api, f"/fills?user_id=2&order_id={order.pk}"
    )
    resting = traded.place(1, "buy", 1, "1.5")
    assert fills(api, f"/orders/{resting.pk}/fills") == []
    none = api.get("/orders/999999999/fills")
    assert refusal(none) == (404, "unknown_order", "order_id")


@pytest.mark.parametrize("path", ["/fills?user_id=1&limit=1", "/orders/{order}/fills?limit=1"])
def test_pages_stay_while_trades_come_in(traded: World, api: ApiClient, path: str) -> None:
    path = path.format(order=Order.objects.filter(user=2).earliest("pk").pk)
    whole = fills(api, path.replace("limit=1", "limit=9"))
    page = api.get(path).json()
    traded.place(2, "sell", 1, "1.5")
    traded.place(1, "buy", 1, "1.5")
    traded.pump()
    seen = page["results"]
    while page["next"]:
        page = api.get(page["next"]).json()
        seen += page["results"]
    assert seen == whole


def test_a_page_costs_four_queries(traded: World, api: ApiClient) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert len(fills(api, "/fills?user_id=1")) == 3
    assert len(queries) == 4  # the markets, the user's assets, the page, its trades


def test_every_trade_has_two_fills(traded: World, api: ApiClient) -> None:
    quantity = sum(
        Decimal(fill["quantity"])
        for user in (1, 2)
        for fill in fills(api, f"/fills?user_id={user}")
    )
    assert quantity == 2 * sum(trade.quantity for trade in Trade.objects.all())
    assert LedgerEntry.objects.filter(kind="trade").count() == 4 * Trade.objects.count()


def test_a_fill_says_its_own_fee_and_not_that_of_the_other(
    exchange_world: World, api: ApiClient
) -> None:
    Market.objects.update(maker_fee_rate="0.001", taker_fee_rate="0.002")
    sell = exchange_world.place(2, "sell", 3, "1.5")
    exchange_world.place(1, "buy", 3, "1.9")
    exchange_world.pump()

    (bought,) = fills(api, "/fills?user_id=1")
    assert (bought["role"], bought["fee"], bought["fee_asset"]) == ("taker", "0.006", "ADA")
    (sold,) = fills(api, f"/orders/{sell.pk}/fills")
    assert (sold["role"], sold["fee"], sold["fee_asset"]) == ("maker", "0.0045", "USDT")
    order = api.get(f"/orders/{sell.pk}").json()
    assert (order["maker_fee_rate"], order["taker_fee_rate"]) == ("0.001", "0.002")
    public = api.get("/markets/ADA-USDT/trades").json()["results"]
    assert not {"fee", "buyer_fee", "seller_fee"} & public[0].keys()
