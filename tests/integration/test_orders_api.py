"""Placing, looking at and canceling orders over HTTP. What is refused is in `refusals`."""

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from balances import services
from exchange.records import NewOrder, decode_order_event
from orders import outbox
from orders.models import Market, Order
from tests.api import FULL, SHORT, ApiClient, Stores
from tests.support import World, balance_of, differences, status_of


def test_the_short_form_stores_an_order(api: ApiClient) -> None:
    response = api.send(
        '{"user_id": 1, "asset": "ADA", "quantity": 10, "price": 1.9, "order_type": "buy"}'
    )
    assert response.status_code == 201
    order = Order.objects.get()
    assert response.json() == {
        "id": order.pk, "client_order_id": None, "user_id": 1, "market": "ADA-USDT", "side": "buy",
        "type": "limit", "time_in_force": "gtc", "post_only": False,
        "self_trade_prevention": "cancel_taker", "expires_at": None, "price": "1.9", "stop_price": None, "quantity": "10",
        "quote_amount": None, "visible_quantity": None, "filled_quantity": "0", "prevented_quantity": "0", "remaining_quantity": "10", "filled_quote": "0",
        "maker_fee_rate": "0", "taker_fee_rate": "0",
        "status": "pending", "reason": "", "cancel_requested": False, "finished_at": None,
        "elected_at": None, "triggered_at": None,
        "created_at": order.created_at.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    assert balance_of(1, "USDT") == ("981", "19")
    assert differences() == []


def test_the_full_form_stores_the_same_order(api: ApiClient) -> None:
    short = api.order(client_order_id="my-1").json()
    full = api.send(json.dumps(FULL | {"client_order_id": "my-2", "time_in_force": "gtc"})).json()
    different = {"id", "client_order_id", "created_at"}
    assert {name for name in short if short[name] != full[name]} == different


def test_the_forms_may_be_mixed_where_they_agree(api: ApiClient) -> None:
    mixed = {"user_id": 2, "market": "ADA-USDT", "order_type": "sell", "quantity": 1, "price": 2}
    assert api.send(json.dumps(mixed)).json()["side"] == "sell"
    assert api.send(json.dumps({**mixed, "side": "sell"})).status_code == 201


@pytest.mark.parametrize(("side", "user_id", "asset"), [("buy", 1, "USDT"), ("sell", 2, "ADA")])
def test_order_type_is_the_side(api: ApiClient, side: str, user_id: int, asset: str) -> None:
    response = api.order(user_id=user_id, order_type=side, quantity=10, price=2)
    assert (response.status_code, response.json()["side"]) == (201, side)
    assert balance_of(user_id, asset)[1] == {"buy": "20", "sell": "10"}[side]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1.90", "1.9"),
        ("1.900000000000000000", "1.9"),
        ("1e1", "10"),
        ("1E+1", "10"),
        ("19e-1", "1.9"),
        ("1E-4", "0.0001"),
        ("0.0001", "0.0001"),
        ('"1.9"', "1.9"),
        ('"1e1"', "10"),
        ('"001.90"', "1.9"),
    ],
)
@pytest.mark.parametrize("field", ["price", "quantity"])
def test_a_number_is_stored_as_it_was_written(
    api: ApiClient, field: str, written: str, stored: str
) -> None:
    Market.objects.filter(pk="ADA-USDT").update(lot_size="0.0001")
    rest = {name: value for name, value in SHORT.items() if name != field}
    response = api.send(f'{json.dumps(rest)[:-1]}, "{field}": {written}}}')
    assert (response.status_code, response.json()[field]) == (201, stored)
    assert getattr(Order.objects.get(), field) == Decimal(stored)


@pytest.mark.parametrize("digits", ["1.900000000000000001", "0.000000000000000001"])
def test_eighteen_decimals_survive_where_the_tick_allows_them(api: ApiClient, digits: str) -> None:
    Market.objects.filter(pk="ADA-USDT").update(tick_size="0.000000000000000001")
    response = api.send(json.dumps(SHORT | {"price": "?"}).replace('"?"', digits))
    assert response.json()["price"] == digits
    assert Order.objects.get().price == Decimal(digits)
    outbox.flush()
    assert decode_order_event(World().order_events()[0].value).price == digits  # type: ignore[union-attr]


def test_the_answer_says_where_the_order_is(api: ApiClient) -> None:
    response = api.order()
    assert response["Location"] == f"/orders/{response.json()['id']}"
    assert api.get(response["Location"]).json() == response.json()


def test_the_request_id_is_returned_and_stored_and_goes_on_the_log(
    exchange_world: World, api: ApiClient
) -> None:
    body = json.dumps(SHORT)
    headers = {"X-Request-Id": "trace-1.A_b"}
    response = api.post("/orders", body, content_type="application/json", headers=headers)
    assert response["X-Request-Id"] == "trace-1.A_b"
    assert Order.objects.get().request_id == "trace-1.A_b"
    outbox.flush()
    assert decode_order_event(exchange_world.order_events()[0].value).request_id == "trace-1.A_b"


def test_a_request_without_an_id_gets_one(api: ApiClient) -> None:
    response = api.order()
    assert len(response["X-Request-Id"]) == 32
    assert Order.objects.get().request_id == response["X-Request-Id"]


@pytest.mark.parametrize(
    "changes", [{}, {"quantity": 11}, {"price": "2"}, {"order_type": "sell"}, {"asset": "BTC"}]
)
def test_the_same_client_order_id_again_answers_with_the_first_order(
    api: ApiClient, changes: dict[str, Any]
) -> None:
    first = api.order(client_order_id="retry-1")
    before = Stores.look()
    second = api.order(client_order_id="retry-1", **changes)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second["Location"] == first["Location"]
    assert Stores.look() == before


def test_a_retry_is_answered_even_when_nothing_is_left_to_pay_with(api: ApiClient) -> None:
    first = api.order(quantity=500, price=2, client_order_id="all-in")
    second = api.order(quantity=500, price=2, client_order_id="all-in")
    assert (first.status_code, second.status_code) == (201, 200)


def test_another_user_may_use_the_same_client_order_id(api: ApiClient) -> None:
    assert api.order(client_order_id="mine").status_code == 201
    response = api.order(user_id=2, order_type="sell", client_order_id="mine")
    assert response.status_code == 201


def test_a_null_client_order_id_is_none_at_all(api: ApiClient) -> None:
    body = json.dumps({**SHORT, "client_order_id": None})
    assert [api.send(body).status_code for _ in range(2)] == [201, 201]


def test_two_requests_at_once_with_the_same_id_place_one_order(api: ApiClient) -> None:
    at_once = Barrier(8)

    def place(_: int) -> tuple[int, int]:
        client = ApiClient()
        try:
            at_once.wait()
            response = client.order(quantity=500, price=2, client_order_id="race")
            return response.status_code, response.json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(place, range(8)))
    order = Order.objects.get()
    assert sorted(answers) == [(200, order.pk)] * 7 + [(201, order.pk)]
    assert balance_of(1, "USDT") == ("0", "1000")
    assert differences() == []


def test_an_order_shows_what_became_of_it(exchange_world: World, api: ApiClient) -> None:
    buy = api.order().json()["id"]
    exchange_world.place(2, "sell", 4, "1.9")
    exchange_world.pump()
    body = api.get(f"/orders/{buy}").json()
    expected = {
        "status": "partially_filled", "filled_quantity": "4", "remaining_quantity": "6",
        "filled_quote": "7.6", "finished_at": None,
    }  # fmt: skip
    assert expected.items() <= body.items()


@pytest.mark.parametrize(
    "rules",
    [
        {"time_in_force": "ioc", "self_trade_prevention": "none"},
        {"time_in_force": "fok", "self_trade_prevention": "cancel_both"},
        {"post_only": True, "self_trade_prevention": "decrement_and_cancel"},
        {"time_in_force": "gtd", "expires_at": "2090-01-31T12:00:00Z", "post_only": True},
        {"type": "stop_limit", "stop_price": "1.95", "time_in_force": "ioc"},
        {"type": "stop_limit", "stop_price": "1.95"},
    ],
)
def test_an_order_has_the_rules_that_it_was_sent_with(
    exchange_world: World, api: ApiClient, rules: dict[str, Any]
) -> None:
    sent = api.order(**rules).json()
    one, two = api.post(
        "/orders/batch", {"orders": [SHORT | rules, SHORT]}, content_type="application/json"
    ).json()["results"]
    assert rules.items() <= sent.items()
    assert rules.items() <= one["order"].items()
    assert two["order"]["self_trade_prevention"] == "cancel_taker"
    outbox.flush()
    event = decode_order_event(exchange_world.order_events()[0].value)
    assert isinstance(event, NewOrder)
    names = {"type": "order_type"}
    said = {name: getattr(event, names.get(name, name)) for name in rules}
    assert said == rules | (
        {"expires_at": "2090-01-31T12:00:00+00:00"} if "expires_at" in rules else {}
    )
    exchange_world.pump()
    assert differences() == []


def test_a_stop_order_says_how_far_it_is(exchange_world: World, api: ApiClient) -> None:
    world = exchange_world
    number = api.order(type="stop_limit", stop_price="1.95", price="2", quantity=1).json()["id"]
    outbox.flush()
    world.pump()
    waits = api.get(f"/orders/{number}").json()
    assert (waits["status"], waits["elected_at"], waits["triggered_at"]) == (
        "untriggered", None, None
    )  # fmt: skip
    assert [o["id"] for o in api.get("/orders", {"status": "untriggered"}).json()["results"]] == [
        number
    ]
    assert api.get(f"/orders/{number}/trace").json()["trigger"] == []
    world.place(2, "sell", 1, "1.95")
    world.place(1, "buy", 1, "1.95")
    world.pump()
    elected = api.get(f"/orders/{number}").json()
    assert (elected["status"], elected["triggered_at"]) == ("untriggered", None)
    assert elected["elected_at"] is not None
    outbox.flush()
    world.pump()
    came = api.get(f"/orders/{number}").json()
    assert (came["status"], came["elected_at"]) == ("open", elected["elected_at"])
    assert came["triggered_at"] is not None
    stages = api.get(f"/orders/{number}/trace").json()["trigger"]
    assert [stage["at"] for stage in stages if stage["at"]] == [
        came["elected_at"], came["triggered_at"]
    ]  # fmt: skip


def test_all_of_ones_orders_are_canceled_those_that_wait_for_a_price_too(
    exchange_world: World, api: ApiClient
) -> None:
    api.order(type="stop_limit", stop_price="1.95", price="2", quantity=1)
    outbox.flush()
    exchange_world.pump()
    asked = api.delete("/orders?user_id=1").json()
    assert asked == {"cancel_requested": 1, "more": False}
    outbox.flush()
    exchange_world.pump()
    assert Order.objects.get().status == "canceled"
    assert balance_of(1, "USDT") == ("1000", "0")
    assert differences() == []


def test_an_order_does_not_trade_with_its_own_user_unless_it_says_so(
    exchange_world: World, api: ApiClient
) -> None:
    services.deposit(user_id=1, asset="ADA", amount=Decimal(10))
    api.order()
    stopped = api.order(order_type="sell", quantity=1).json()["id"]
    trades = api.order(order_type="sell", quantity=1, self_trade_prevention="none").json()["id"]
    outbox.flush()
    exchange_world.pump()
    body = api.get(f"/orders/{stopped}").json()
    assert (body["status"], body["reason"]) == ("canceled", "self_trade")
    assert api.get(f"/orders/{trades}").json()["status"] == "filled"
    assert differences() == []


def test_a_cancel_is_accepted_and_carried_out_by_the_engine(
    exchange_world: World, api: ApiClient
) -> None:
    order = exchange_world.place(1, "buy", 10, "1.9")
    exchange_world.pump()
    response = api.delete(f"/orders/{order.pk}")
    assert response.status_code == 202
    assert response.json()["cancel_requested"] is True
    assert response.json()["status"] == "open"
    outbox.flush()
    exchange_world.pump()
    assert status_of(order) == ("canceled", "0")
    assert balance_of(1, "USDT") == ("1000", "0")
    assert differences() == []


def test_a_cancel_asked_for_twice_is_harmless(exchange_world: World, api: ApiClient) -> None:
    order = exchange_world.place(1, "buy", 10, "1.9")
    first = api.delete(f"/orders/{order.pk}")
    second = api.delete(f"/orders/{order.pk}")
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    outbox.flush()
    exchange_world.pump()
    assert status_of(order) == ("canceled", "0")
    assert differences() == []


def test_an_order_may_be_canceled_before_it_was_matched(
    exchange_world: World, api: ApiClient
) -> None:
    order_id = api.order().json()["id"]
    assert api.delete(f"/orders/{order_id}").json()["status"] == "pending"
    outbox.flush()
    exchange_world.pump()
    assert status_of(Order.objects.get()) == ("canceled", "0")


def test_the_form_of_the_browsable_api_begins_with_an_order_that_can_be_sent(
    exchange_world: World, client: Client
) -> None:
    page = client.get("/orders", headers={"Accept": "text/html"}).content.decode()
    form = re.search(r'<textarea[^>]*name="_content"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert form is not None
    body = html.unescape(form.group(1))
    answer = client.post("/orders", body, content_type="application/json")
    assert answer.status_code == 201, answer.content
