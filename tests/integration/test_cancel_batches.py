"""Cancels of many orders: by number, each answered by itself, and of all that a user has."""

import json
import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from exchange.embedded.server import wait_until
from exchange.records import CancelOrder, decode_order_event
from orders import canceling, outbox
from orders.models import Order
from tests.api import ApiClient, Stores, refusal
from tests.support import World, balance_of, differences, status_of


def cancel(api: ApiClient, *numbers: Any) -> list[dict[str, Any]]:
    body = json.dumps({"order_ids": numbers})
    response = api.post("/orders/batch/cancel", body, content_type="application/json")
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def said(found: list[dict[str, Any]]) -> list[Any]:
    return [
        (one["status"], one["error"]["code"]) if "error" in one else one["status"] for one in found
    ]


def cancels_on(world: World) -> list[int]:
    outbox.flush()
    events = [decode_order_event(record.value) for record in world.order_events()]
    return [event.order_id for event in events if isinstance(event, CancelOrder)]


def rest(world: World, *markets: str, user_id: int = 1) -> list[Order]:
    orders = [world.place(user_id, "buy", 1, "0.01", market=market) for market in markets]
    world.pump()
    return orders


def test_each_cancel_is_answered_as_it_would_be_alone(
    exchange_world: World, api: ApiClient
) -> None:
    resting = exchange_world.place(1, "buy", 10, "1.9")
    filled = exchange_world.place(1, "buy", 1, "2")
    exchange_world.place(2, "sell", 1, "2")
    exchange_world.pump()
    pending = exchange_world.place(1, "buy", 5, "1.8")

    found = cancel(api, resting.pk, 9999, pending.pk, filled.pk, "x", 0, None, resting.pk)

    assert said(found) == [
        202, (404, "unknown_order"), 202, (422, "order_finished"), (400, "invalid"),
        (400, "too_small"), (400, "required"), 202,
    ]  # fmt: skip
    assert found[4]["error"]["field"] == "order_id"
    assert [one["order"]["cancel_requested"] for one in found if "order" in one] == [True] * 3
    assert found[0]["order"] == api.get(f"/orders/{resting.pk}").json()
    assert cancels_on(exchange_world) == [resting.pk, pending.pk]
    exchange_world.pump()
    assert status_of(resting) == status_of(pending) == ("canceled", "0")
    assert balance_of(1, "USDT") == ("998", "0")
    assert said(cancel(api, resting.pk)) == [(422, "order_finished")]
    assert differences() == []


def test_asking_again_is_harmless(exchange_world: World, api: ApiClient) -> None:
    (order,) = rest(exchange_world, "ADA-USDT")
    first, second = cancel(api, order.pk), cancel(api, order.pk)
    assert first == second
    exchange_world.pump()
    outbox.flush()
    exchange_world.pump()
    assert status_of(order) == ("canceled", "0")
    assert differences() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{}", "required"),
        ('{"order_ids": []}', "empty"),
        ('{"order_ids": 1}', "not_a_list"),
        (json.dumps({"order_ids": [1] * 201}), "too_long"),
    ],
)
def test_what_is_no_batch_of_cancels_is_refused_whole(api: ApiClient, body: str, code: str) -> None:
    response = api.post("/orders/batch/cancel", body, content_type="application/json")
    assert refusal(response) == (400, code, "order_ids")


def test_the_statements_do_not_grow_with_the_cancels(exchange_world: World, api: ApiClient) -> None:
    orders = rest(exchange_world, *["ADA-USDT"] * 12)

    def statements(numbers: list[int]) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert said(cancel(api, *numbers)) == [202] * len(numbers)
        return len(captured)

    assert statements([orders[0].pk]) == statements([order.pk for order in orders]) == 3


def test_a_cancel_waits_for_a_settlement_with_no_lock_at_hand(
    exchange_world: World, api: ApiClient
) -> None:
    """A settlement locks orders in no order. Whoever waits for one must not hold another."""
    first, second = rest(exchange_world, "ADA-USDT", "ADA-USDT")
    found: list[Any] = []

    def ask() -> None:
        try:
            found.extend(said(cancel(ApiClient(), first.pk, second.pk)))
        finally:
            connection.close()

    asking = threading.Thread(target=ask)
    with transaction.atomic():
        Order.objects.select_for_update(no_key=True).get(pk=second.pk)
        asking.start()
        assert wait_until(_waits_for_a_lock, timeout_seconds=10)
        Order.objects.select_for_update(no_key=True, nowait=True).get(pk=first.pk)
    asking.join(10)
    assert found == [202, 202]
    assert Order.objects.filter(cancel_requested_at__isnull=False).count() == 2


def _waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        row = cursor.fetchone()
    return row is not None and bool(row[0])


def test_all_of_a_users_orders_are_canceled(exchange_world: World, api: ApiClient) -> None:
    ada = rest(exchange_world, "ADA-USDT", "ADA-USDT")
    (btc,) = rest(exchange_world, "BTC-USDT")
    other = exchange_world.place(2, "sell", 1, "3")
    pending = exchange_world.place(1, "buy", 1, "0.02")

    one_market = api.delete("/orders?user_id=1&market=BTC-USDT")
    assert (one_market.status_code, one_market.json()) == (
        202, {"cancel_requested": 1, "more": False},
    )  # fmt: skip
    assert cancels_on(exchange_world) == [btc.pk]
    assert api.delete("/orders?user_id=1").json() == {"cancel_requested": 3, "more": False}
    assert api.delete("/orders?user_id=1").json() == {"cancel_requested": 0, "more": False}
    assert sorted(cancels_on(exchange_world)) == sorted(order.pk for order in [*ada, btc, pending])
    exchange_world.pump()
    assert {status_of(order) for order in [*ada, btc, pending]} == {("canceled", "0")}
    assert status_of(other)[0] == "open"
    assert differences() == []


def test_all_is_a_bounded_part_at_a_time(
    exchange_world: World, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = rest(exchange_world, *["ADA-USDT"] * 5)
    monkeypatch.setattr(canceling, "MAX_CANCELS", 2)
    answers = [api.delete("/orders?user_id=1").json() for _ in range(3)]
    assert answers == [
        {"cancel_requested": 2, "more": True},
        {"cancel_requested": 2, "more": True},
        {"cancel_requested": 1, "more": False},
    ]
    assert cancels_on(exchange_world) == [order.pk for order in orders], "the oldest first"


def test_one_that_is_just_being_settled_remains(exchange_world: World, api: ApiClient) -> None:
    first, second = rest(exchange_world, "ADA-USDT", "ADA-USDT")
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(ApiClient().delete("/orders?user_id=1").json())
        finally:
            connection.close()

    with transaction.atomic():
        Order.objects.select_for_update(no_key=True).get(pk=first.pk)
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(10)
    assert answers == [{"cancel_requested": 1, "more": True}]
    assert cancels_on(exchange_world) == [second.pk]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "required", "user_id")),
        ("?user_id=x", (400, "invalid", "user_id")),
        ("?user_id=1&market=", (400, "required", "market")),
    ],
)
def test_what_makes_no_sense_is_refused(
    api: ApiClient, query: str, expected: tuple[int, str, str]
) -> None:
    before = Stores.look()
    assert refusal(api.delete(f"/orders{query}")) == expected
    assert Stores.look() == before
