"""Market orders, from the band's edge through the log to the settlement, to the last digit."""

import json
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from balances import services as balances
from balances.models import Balance
from exchange.money import MAX_AMOUNT
from exchange.records import NewOrder, decode_order_event
from orders import outbox
from orders.errors import NoReferencePriceError, PriceOutsideBandError
from orders.market_states import change_state
from orders.models import Market, Order
from orders.services import place_order
from tests.api import ApiClient
from tests.integration.pipeline.test_market_states import replayed_without_difference
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


def by_amount(
    world: World, user_id: int, amount: str | int, *, self_trade_prevention: str = "cancel_taker"
) -> Order:
    return world.place(
        user_id, "buy", None, None, order_type="market", time_in_force="ioc", quote_amount=amount,
        self_trade_prevention=self_trade_prevention,
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


def stop_market(world: World, user_id: int, side: str, quantity: str | int, stop: str) -> Order:
    return world.place(
        user_id, side, quantity, None, order_type="stop_market", time_in_force="ioc",
        stop_price=stop, self_trade_prevention="cancel_taker",
    )  # fmt: skip


def trigger(world: World) -> None:
    """Settle what elects, and then what comes by its trigger."""
    world.pump()
    outbox.flush()
    world.pump()


def test_one_that_waits_for_a_price_trades_up_to_the_edge_around_it(banded: World) -> None:
    order = stop_market(banded, 1, "buy", 5, "2.2")
    assert (order.price, balance_of(1, "USDT")) == (Decimal("2.42"), ("985.9", "12.1"))
    banded.place(2, "sell", 1, "2.2")
    banded.place(2, "sell", 3, "2.42")
    banded.place(2, "sell", 3, "2.4201")
    banded.pump()
    assert end_of(order) == ("untriggered", "", 0)
    assert differences() == []
    banded.place(1, "buy", 1, "2.2")
    trigger(banded)
    assert end_of(order) == ("canceled", "ioc_remainder", 3)
    assert balance_of(1, "USDT") == ("988.54", "0")  # 998 - 2.2 - 3 * 2.42
    assert differences() == []
    replayed_without_difference()


def test_a_sale_that_waits_for_a_price_holds_its_quantity(banded: World) -> None:
    order = stop_market(banded, 2, "sell", 5, "1.8")
    assert (order.price, balance_of(2, "ADA")) == (Decimal("1.62"), ("494", "5"))
    banded.place(1, "buy", 1, "1.8")
    banded.place(1, "buy", 9, "1.7")
    banded.pump()
    banded.place(2, "sell", 1, "1.8")
    trigger(banded)
    assert end_of(order) == ("filled", "", 5)
    assert balance_of(2, "ADA") == ("493", "0")
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


def test_an_amount_is_spent_in_whole_lots_and_the_rest_comes_back(banded: World) -> None:
    banded.place(2, "sell", 3, "1.9")
    banded.place(2, "sell", 3, "2.1")
    banded.pump()
    order = by_amount(banded, 1, "8.01")
    assert (order.price, order.quantity) == (Decimal("2.2"), Decimal("4.45"))
    assert balance_of(1, "USDT") == ("989.99", "8.01")
    assert differences() == []
    banded.pump()
    assert end_of(order) == ("filled", "", Decimal("4.1"))  # 5.7 for 3, and 2.31 for 1.1 more
    assert order.filled_quote == Decimal("8.01")
    order = by_amount(banded, 1, "1.05")
    banded.pump()
    assert end_of(order) == ("filled", "", Decimal("0.5"))
    order = by_amount(banded, 1, "1.049")
    banded.pump()
    assert end_of(order) == ("filled", "", Decimal("0.49"))  # 1.029: one lot more costs 0.021
    assert balance_of(1, "USDT") == ("987.911", "0")
    assert differences() == []


def test_an_amount_that_finds_too_little_is_canceled_and_comes_back(banded: World) -> None:
    banded.place(2, "sell", 1, "2.2")
    banded.place(2, "sell", 1, "2.2001")
    banded.pump()
    order = by_amount(banded, 1, 4)
    too_small = by_amount(banded, 1, "0.018")
    banded.match()
    banded.settle()
    assert end_of(order) == ("canceled", "ioc_remainder", 1)
    assert end_of(too_small) == ("canceled", "ioc_remainder", 0)
    assert balance_of(1, "USDT") == ("995.8", "0")
    banded.place(2, "sell", 1, "2.1")
    too_small = by_amount(banded, 1, "0.02")
    banded.pump()
    assert end_of(too_small) == ("canceled", "budget_too_small", 0)
    assert balance_of(1, "USDT") == ("995.8", "0")
    assert differences() == []


def test_an_amount_buys_no_more_than_it_pays_for_at_the_lower_edge(banded: World) -> None:
    banded.place(1, "buy", 1, "2.2")
    banded.pump()
    banded.place(2, "sell", 10, "1.8")  # meets it; the rest is below the band around 2.2
    banded.pump()
    order = by_amount(banded, 1, "3.96")
    assert order.quantity == 2  # at 1.98
    banded.pump()
    assert end_of(order) == ("filled", "", 2)
    assert order.filled_quote == Decimal("3.6")
    assert balance_of(1, "USDT") == ("992.2", "0")
    assert differences() == []


@pytest.mark.parametrize(
    ("prevention", "end", "usdt"),
    [
        ("cancel_taker", ("canceled", "self_trade", 1), ("996", "0")),
        ("cancel_maker", ("filled", "", 4), ("990", "0")),
        ("decrement_and_cancel", ("canceled", "self_trade", 3), ("992", "0")),
    ],
)
def test_an_amount_that_meets_its_own_user(
    banded: World, prevention: str, end: tuple[object, ...], usdt: tuple[str, str]
) -> None:
    for user_id, quantity in ((2, 1), (1, 1), (2, 5)):
        banded.place(user_id, "sell", quantity, 2)
    banded.pump()
    order = by_amount(banded, 1, 8, self_trade_prevention=prevention)
    banded.pump()
    assert end_of(order) == end
    assert balance_of(1, "USDT") == usdt
    assert differences() == []


def test_an_amount_comes_back_whole_from_a_market_that_was_halted_before(banded: World) -> None:
    banded.place(2, "sell", 5, 2)
    banded.pump()
    order = by_amount(banded, 1, 8)
    change_state(market="ADA-USDT", state="halted", reason="test")
    late = by_amount(banded, 1, 8)  # the service does not know yet
    banded.pump()
    assert end_of(order) == ("filled", "", 4)
    assert end_of(late) == ("canceled", "market_halted", 0)
    assert balance_of(1, "USDT") == ("990", "0")
    assert differences() == []


def test_over_http_alone_and_in_a_batch(banded: World, api: ApiClient) -> None:
    banded.place(2, "sell", 9, "2.1")
    banded.pump()
    asked = {"user_id": 1, "asset": "ADA", "order_type": "buy", "type": "market", "quantity": 2}
    alone = api.send(json.dumps(asked))
    assert alone.status_code == 201
    told = alone.json()
    assert (told["type"], told["time_in_force"], told["price"]) == ("market", "ioc", "2.2")
    spends = {name: value for name, value in asked.items() if name != "quantity"}
    batch = {
        "orders": [
            asked | {"time_in_force": "ioc"},
            asked | {"type": "limit", "price": "2.3"},
            spends | {"quote_amount": "2.11"},
        ]
    }
    results = api.post("/orders/batch", batch, content_type="application/json").json()["results"]
    assert [result["status"] for result in results] == [201, 422, 201]
    told = results[2]["order"]
    assert (told["quote_amount"], told["quantity"], told["price"]) == ("2.11", "1.17", "2.2")
    assert results[0]["order"]["price"] == "2.2"
    assert results[1]["error"]["code"] == "price_outside_band"
    banded.pump()
    listed = api.get("/orders?user_id=1&status=filled").json()["results"]
    assert [order["type"] for order in listed] == ["market", "market", "market", "limit"]
    assert differences() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_random_orders_and_market_orders_keep_every_promise(banded: World, seed: int) -> None:
    Market.objects.update(price_band="0.99")
    for part in range(4):
        random_flow(banded, seed=seed + 10 * part, count=15, rules=True)
        market_order(banded, 1, "buy", 3 + part)
        market_order(banded, 2, "sell", 5)
        by_amount(banded, 1, "7.5", self_trade_prevention="decrement_and_cancel")
        by_amount(banded, 2, "3.001", self_trade_prevention="cancel_maker")
        banded.pump()
    replayed_without_difference()
    before = banded.host.state_hashes()
    banded.restart_matching()
    assert banded.host.state_hashes() == before
    assert not Balance.objects.filter(available__lt=0).exists()
    assert differences() == []


@pytest.mark.parametrize(
    "change",
    [
        {"time_in_force": "fok"},
        {"order_type": "stop"},
        {"order_type": "limit"},
        {"side": "sell"},
        {"quote_amount": 0},
        {"filled_quote": 5},
        {"status": "filled", "epoch": 1, "offset": 1},
    ],
)
def test_the_database_refuses_what_no_market_order_can_be(
    banded: World, change: dict[str, object]
) -> None:
    order = by_amount(banded, 1, 4)
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**change)


def test_the_edge_around_a_stop_price_is_one_that_can_be_stored(banded: World) -> None:
    """A sale waits for a price that never comes; a purchase that nobody can pay is refused."""
    largest = "99999999999999999999"
    order = stop_market(banded, 2, "sell", 1, largest)
    assert order.price <= MAX_AMOUNT
    with pytest.raises(balances.InsufficientBalanceError):
        stop_market(banded, 1, "buy", "0.01", largest)
    assert differences() == []
