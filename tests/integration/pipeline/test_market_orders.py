"""Market orders, from the band's edge through the log to the settlement, to the last digit."""

import json
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from balances.models import Balance
from exchange.records import NewOrder, decode_order_event
from orders.models import Market, Order
from orders.services import NoReferencePriceError, PriceOutsideBandError, place_order
from tests.api import ApiClient
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World, balance_of, differences


@pytest.fixture
def banded(exchange_world: World) -> World:
    """ADA-USDT has traded 1 at 2 last, and has a band of a tenth: from 1.8 to 2.2."""
    exchange_world.place(2, "sell", 1, 2)
    exchange_world.place(1, "buy", 1, 2)
    exchange_world.pump()
    Market.objects.filter(pk="ADA-USDT").update(price_band="0.1")
    return exchange_world


def market_order(world: World, user_id: int, side: str, quantity: str | int) -> Order:
    return world.place(
        user_id, side, quantity, None, order_type="market", time_in_force="ioc",
        self_trade_prevention="cancel_taker",
    )  # fmt: skip


def end_of(order: Order) -> tuple[object, ...]:
    order.refresh_from_db()
    return order.status, order.reason, order.filled_quantity


def test_a_purchase_holds_its_worst_price_and_gets_the_rest_back(banded: World) -> None:
    banded.place(2, "sell", 3, "1.9")
    banded.place(2, "sell", 3, "2.1")
    banded.pump()
    order = market_order(banded, 1, "buy", 4)
    assert (order.price, balance_of(1, "USDT")) == (Decimal("2.2"), ("989.2", "8.8"))
    assert differences() == []
    banded.pump()
    assert end_of(order) == ("filled", "", 4)
    assert balance_of(1, "USDT") == ("990.2", "0")  # 998 - 3 * 1.9 - 2.1
    assert differences() == []


def test_nothing_trades_beyond_the_band_and_the_rest_is_canceled(banded: World) -> None:
    banded.place(2, "sell", 3, "2.2")
    banded.place(2, "sell", 3, "2.2001")
    banded.pump()
    order = market_order(banded, 1, "buy", 4)
    banded.pump()
    assert end_of(order) == ("canceled", "ioc_remainder", 3)
    assert balance_of(1, "USDT") == ("991.4", "0")
    assert differences() == []


def test_a_sale_trades_down_to_the_lower_edge(banded: World) -> None:
    banded.place(1, "buy", 3, "1.8")
    banded.place(1, "buy", 3, "1.7999")
    banded.pump()
    order = market_order(banded, 2, "sell", 5)
    assert (order.price, balance_of(2, "ADA")) == (Decimal("1.8"), ("494", "5"))
    banded.pump()
    assert end_of(order) == ("canceled", "ioc_remainder", 3)
    assert balance_of(2, "ADA") == ("496", "0")
    assert differences() == []


def test_an_empty_book_sends_it_back(banded: World) -> None:
    order = market_order(banded, 1, "buy", 4)
    banded.pump()
    assert end_of(order) == ("canceled", "ioc_remainder", 0)
    assert balance_of(1, "USDT") == ("998", "0")
    assert differences() == []


def test_the_record_says_that_it_is_a_market_order(banded: World) -> None:
    order = market_order(banded, 1, "buy", 4)
    event = decode_order_event(banded.order_events()[-1].value)
    assert isinstance(event, NewOrder)
    assert (event.order_id, event.order_type) == (order.pk, "market")
    assert (event.price, event.time_in_force) == ("2.2", "ioc")


def test_the_band_is_around_the_last_settled_trade(banded: World) -> None:
    banded.place(2, "sell", 1, "2.2")
    banded.place(1, "buy", 1, "2.2")
    with pytest.raises(PriceOutsideBandError):
        banded.place(1, "buy", 1, "2.3")  # the trade is not settled yet
    banded.pump()
    assert banded.place(1, "buy", 1, "2.3").price == Decimal("2.3")
    assert market_order(banded, 1, "buy", 1).price == Decimal("2.42")


def test_before_the_first_trade_a_limit_order_has_any_price(exchange_world: World) -> None:
    Market.objects.update(price_band="0.1")
    exchange_world.place(2, "sell", 1, 7)
    with pytest.raises(NoReferencePriceError):
        market_order(exchange_world, 1, "buy", 1)


def test_only_an_order_on_a_market_with_a_band_asks_for_the_last_trade(banded: World) -> None:
    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            place_order(
                user_id=1, market="ADA-USDT", side="buy", price=Decimal(1), quantity=Decimal(1)
            )
        return [one["sql"] for one in seen.captured_queries if "balances_trade" in one["sql"]]

    assert len(statements()) == 1
    Market.objects.update(price_band=None)
    assert statements() == []


def test_over_http_alone_and_in_a_batch(banded: World, api: ApiClient) -> None:
    banded.place(2, "sell", 9, "2.1")
    banded.pump()
    asked = {"user_id": 1, "asset": "ADA", "order_type": "buy", "type": "market", "quantity": 2}
    alone = api.send(json.dumps(asked))
    assert alone.status_code == 201
    told = alone.json()
    assert (told["type"], told["time_in_force"], told["price"]) == ("market", "ioc", "2.2")
    both = {"orders": [asked | {"time_in_force": "ioc"}, asked | {"type": "limit", "price": "2.3"}]}
    results = api.post("/orders/batch", both, content_type="application/json").json()["results"]
    assert [result["status"] for result in results] == [201, 422]
    assert results[0]["order"]["price"] == "2.2"
    assert results[1]["error"]["code"] == "price_outside_band"
    banded.pump()
    listed = api.get("/orders?user_id=1&status=filled").json()["results"]
    assert [order["type"] for order in listed] == ["market", "market", "limit"]
    assert differences() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_random_orders_and_market_orders_keep_every_promise(banded: World, seed: int) -> None:
    Market.objects.update(price_band="0.99")
    for part in range(4):
        random_flow(banded, seed=seed + 10 * part, count=15, rules=True)
        market_order(banded, 1, "buy", 3 + part)
        market_order(banded, 2, "sell", 5)
        banded.pump()
    before = banded.host.state_hashes()
    banded.restart_matching()
    assert banded.host.state_hashes() == before
    assert not Balance.objects.filter(available__lt=0).exists()
    assert differences() == []


@pytest.mark.parametrize("change", [{"time_in_force": "fok"}, {"order_type": "stop"}])
def test_the_database_refuses_what_no_market_order_can_be(
    banded: World, change: dict[str, str]
) -> None:
    order = market_order(banded, 1, "buy", 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**change)
