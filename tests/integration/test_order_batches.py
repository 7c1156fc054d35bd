"""`POST /orders/batch`: each order answered by itself, all that are accepted in one transaction."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from exchange.kafka import partition_for
from exchange.records import NewOrder, decode_order_event
from orders import backlog, outbox
from orders.models import Market, Order
from orders.relay import relay
from tests.api import FULL, SHORT, ApiClient, Stores, refusal
from tests.support import World, balance_of, differences, status_of

Answer = dict[str, Any]


def send(api: ApiClient, *orders: Any) -> Any:
    return api.post("/orders/batch", json.dumps({"orders": orders}), "application/json")


def results(api: ApiClient, *orders: Any) -> list[Answer]:
    response = send(api, *orders)
    assert response.status_code == 200, response.content
    found: list[Answer] = response.json()["results"]
    assert len(found) == len(orders)
    return found


def said(found: list[Answer]) -> list[Any]:
    """Return each status, with the code of a refusal."""
    return [
        (one["status"], one["error"]["code"]) if "error" in one else one["status"] for one in found
    ]


def test_a_batch_stores_what_single_requests_store(exchange_world: World, api: ApiClient) -> None:
    sell = {**FULL, "user_id": 2, "side": "sell", "price": "2.1", "client_order_id": "s-1"}
    single = [api.order(client_order_id="one").json(), api.send(json.dumps(sell)).json()]
    batch = results(api, {**SHORT, "client_order_id": "two"}, {**sell, "client_order_id": "s-2"})

    assert said(batch) == [201, 201]
    different = {"id", "client_order_id", "created_at"}
    for alone, together in zip(single, batch, strict=True):
        order = together["order"]
        assert {name for name in order if order[name] != alone[name]} == different
        assert api.get(f"/orders/{order['id']}").json() == order
    assert balance_of(1, "USDT") == ("962", "38")
    assert balance_of(2, "ADA") == ("480", "20")
    assert differences() == []


def test_stop_orders_in_a_batch(exchange_world: World, api: ApiClient) -> None:
    stop = {**SHORT, "type": "stop_limit", "stop_price": "1.95", "quantity": 1}
    found = results(api, stop, SHORT, {**stop, "stop_price": "1.95001"}, {**SHORT, "stop_price": 2})
    refused = [(422, "stop_price_not_on_tick"), (422, "stop_price_needs_stop")]
    assert said(found) == [201, 201, *refused]
    order = found[0]["order"]
    assert (order["type"], order["stop_price"]) == ("stop_limit", "1.95")
    assert api.get(f"/orders/{order['id']}").json() == order
    outbox.flush()
    exchange_world.pump()
    statuses = dict(Order.objects.values_list("order_type", "status"))
    assert statuses == {"stop_limit": "untriggered", "limit": "open"}
    assert differences() == []


def test_the_orders_of_a_batch_are_on_the_log_in_its_order(
    exchange_world: World, api: ApiClient
) -> None:
    found = results(api, *({**SHORT, "quantity": n} for n in range(1, 31)))
    numbers = [one["order"]["id"] for one in found]
    assert numbers == sorted(numbers)
    outbox.flush()
    events = [decode_order_event(record.value) for record in exchange_world.order_events()]
    placed = [event for event in events if isinstance(event, NewOrder)]
    assert placed == events
    assert [event.order_id for event in placed] == numbers
    assert all(event.request_id for event in placed)
    exchange_world.pump()
    assert set(Order.objects.values_list("status", flat=True)) == {"open"}
    assert differences() == []


def test_one_bad_order_never_hurts_the_others(api: ApiClient) -> None:
    Market.objects.filter(pk="BTC-USDT").update(state="halted")
    bad: dict[str, tuple[Any, int, str, str | None]] = {
        "no object": (7, 400, "invalid", None),
        "null": (None, 400, "required", None),
        "no price": ({**SHORT, "price": None}, 400, "required", "price"),
        "a float that is text": ({**SHORT, "price": " 1"}, 400, "invalid", "price"),
        "both": ({**SHORT, "market": "ADA-USDT"}, 400, "ambiguous", "asset"),
        "side": ({**SHORT, "order_type": "hold"}, 400, "invalid_choice", "order_type"),
        "unknown": ({**SHORT, "asset": "NOPE"}, 422, "unknown_asset", "asset"),
        "halted": ({**SHORT, "asset": "BTC"}, 422, "market_halted", "asset"),
        "tick": ({**SHORT, "price": "1.00001"}, 422, "price_not_on_tick", "price"),
        "negative": ({**SHORT, "quantity": -1}, 422, "quantity_not_positive", "quantity"),
        "too much": ({**SHORT, "quantity": 900}, 422, "insufficient_balance", None),
        "nobody": ({**SHORT, "user_id": 99}, 422, "unknown_user", "user_id"),
        "no such asset of his": (
            {**SHORT, "order_type": "sell"}, 422, "insufficient_balance", None,
        ),
    }  # fmt: skip
    orders = [element for case in bad.values() for element in (case[0], SHORT)]

    found = results(api, *orders)

    for (name, (element, *expected)), one in zip(bad.items(), found[::2], strict=True):
        error = one["error"]
        assert [one["status"], error["code"], error["field"]] == expected, name
        alone = refusal(api.send(json.dumps(element)))
        assert alone == (one["status"], error["code"], error["field"]), name
    assert said(found[1::2]) == [201] * len(bad)
    assert Order.objects.count() == len(bad)
    assert differences() == []


def test_of_orders_that_cannot_all_be_paid_for_the_first_are_accepted(api: ApiClient) -> None:
    wanted = [(1, 300), (1, 300), (2, 200), (1, 100), (1, 400), (1, 1), (2, 301), (2, 300)]
    orders = [
        {
            **SHORT,
            "user_id": user_id,
            "quantity": quantity,
            "price": 2,
            "order_type": "buy" if user_id == 1 else "sell",
        }
        for user_id, quantity in wanted
    ]
    refused = (422, "insufficient_balance")
    assert said(results(api, *orders)) == [201, refused, 201, 201, refused, 201, refused, 201]
    assert balance_of(1, "USDT") == ("198", "802")
    assert balance_of(2, "ADA") == ("0", "500")
    assert Order.objects.count() == 5
    assert differences() == []


def test_a_batch_of_refusals_changes_nothing(api: ApiClient) -> None:
    before = Stores.look()
    found = results(api, {**SHORT, "quantity": 9000}, {**SHORT, "user_id": 99}, {})
    assert [one["status"] for one in found] == [422, 422, 400]
    assert Stores.look() == before


def test_a_known_id_is_answered_with_the_first_order(api: ApiClient) -> None:
    first = api.order(client_order_id="known").json()
    sent = [
        {**SHORT, "client_order_id": "known", "quantity": 3},
        {**SHORT, "client_order_id": "new"},
        {**SHORT, "client_order_id": "new", "quantity": 5},
        {**SHORT, "client_order_id": "known", "asset": "NOPE"},
        {**SHORT, "user_id": 2, "order_type": "sell", "client_order_id": "new"},
    ]
    found = results(api, *sent)
    assert said(found) == [200, 201, 200, 200, 201]
    assert found[0]["order"] == found[3]["order"] == first
    assert found[1]["order"] == found[2]["order"]
    before = Stores.look()
    again = results(api, *sent)
    assert said(again) == [200] * 5
    assert [one["order"] for one in again] == [one["order"] for one in found]
    assert Stores.look() == before


def test_batches_at_once_with_the_same_ids_place_each_order_once(api: ApiClient) -> None:
    """In opposite orders, on other assets, and one by one beside them: nobody waits in a circle."""
    ids = [f"race-{n}" for n in range(40)]
    at_once = Barrier(6)

    def order(name: str, *, sells: bool) -> Answer:
        one = {**SHORT, "user_id": 2, "quantity": 1, "client_order_id": name}
        return {**one, "order_type": "sell"} if sells else {**one, "price": "0.0001"}

    def place(number: int) -> list[Answer]:
        client = ApiClient()
        names = ids if number % 2 else ids[::-1]
        try:
            at_once.wait()
            if number > 3:
                return [client.order(**order(name, sells=True)).json() for name in names]
            found = results(client, *(order(name, sells=number < 2) for name in names))
            return [one["order"] for one in found]
        finally:
            connection.close()

    # Something to buy with, too: the balances of the two sides are different ones.
    exchange_deposit(2, "USDT", 1)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(place, range(6)))
    stored = {order.client_order_id: order.pk for order in Order.objects.all()}
    assert stored.keys() == set(ids)
    for answer in answers:
        assert {one["client_order_id"]: one["id"] for one in answer} == stored
    assert differences() == []


def exchange_deposit(user_id: int, asset: str, amount: int) -> None:
    from decimal import Decimal

    from balances.services import deposit

    deposit(user_id=user_id, asset=asset, amount=Decimal(amount))


def test_batches_at_once_never_spend_more_than_there_is(api: ApiClient) -> None:
    at_once = Barrier(4)

    def place(_: int) -> list[Any]:
        client = ApiClient()
        try:
            at_once.wait()
            return said(results(client, *[{**SHORT, "price": 1, "quantity": 7}] * 50))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        statuses = [one for found in threads.map(place, range(4)) for one in found]
    assert statuses.count(201) == 142, "7 USDT each, 1000 in all"
    assert balance_of(1, "USDT") == ("6", "994")
    assert differences() == []


@pytest.mark.parametrize("name", ["client_order_id", None])
def test_the_statements_do_not_grow_with_the_batch(api: ApiClient, name: str | None) -> None:
    def statements(count: int, mark: str) -> list[str]:
        own = [{} if name is None else {name: f"{mark}-{n}"} for n in range(count)]
        backlog._count.pending()
        with CaptureQueriesContext(connection) as captured:
            found = results(api, *({**SHORT, "quantity": 1, "price": 1} | more for more in own))
        assert said(found) == [201] * count
        return [query["sql"] for query in captured if "SELECT count(*) FROM" not in query["sql"]]

    results(api, SHORT)  # connected
    few, many = statements(2, "few"), statements(200, "many")
    assert len(few) == len(many)
    # The ids that are known, the markets; numbers, orders, locks, balances, ledger. No savepoint.
    work = [sql for sql in many if sql not in ("BEGIN", "COMMIT") and "SAVEPOINT" not in sql]
    assert len(work) == (6 if name is None else 7), work


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{}", "required"),
        ("[]", "invalid"),
        ('{"orders": null}', "required"),
        ('{"orders": []}', "empty"),
        ('{"orders": {}}', "not_a_list"),
        ('{"orders": "x"}', "not_a_list"),
        (json.dumps({"orders": [SHORT] * 201}), "too_long"),
    ],
)
def test_what_is_no_batch_is_refused_whole(api: ApiClient, body: str, code: str) -> None:
    before = Stores.look()
    response = api.post("/orders/batch", body, content_type="application/json")
    field = None if body == "[]" else "orders"
    assert refusal(response) == (400, code, field)
    assert Stores.look() == before


def test_a_batch_of_the_longest_orders_fits(api: ApiClient) -> None:
    longest = {
        "user_id": 2**63 - 1,
        "market": "ABCDEFGHIJ-KLMNOPQRST",
        "side": "sell",
        "order_type": "sell",
        "type": "limit",
        "time_in_force": "gtd",
        "expires_at": "2030-01-01T00:00:00.123456789+00:00",
        "post_only": False,
        "self_trade_prevention": "decrement_and_cancel",
        "quantity": f"{'9' * 20}.{'9' * 18}",
        "price": f"{'9' * 20}.{'9' * 18}",
        "visible_quantity": f"{'9' * 20}.{'9' * 18}",
        "client_order_id": "x" * 64,
    }
    own = [{**longest, "client_order_id": f"{n:064}"} for n in range(200)]
    assert set(said(results(api, *own))) == {(422, "unknown_market")}
    body = json.dumps({"orders": own, "note": "x" * 70_000})
    response = api.post("/orders/batch", body, content_type="application/json")
    assert refusal(response) == (413, "body_too_large", None)
    assert refusal(api.send(json.dumps({"orders": own}))) == (413, "body_too_large", None)


def test_a_batch_needs_room_for_all_its_new_orders(api: ApiClient, settings: Settings) -> None:
    api.order(client_order_id="waits")
    settings.ORDERS_MAX_PENDING = 4
    backlog.forget_count()
    one = {**SHORT, "quantity": 1}
    known = {**one, "client_order_id": "waits"}
    try:
        before = Stores.look()
        refused = send(api, *[one] * 4)
        assert refusal(refused) == (503, "backlog_full", None)
        assert refused["Retry-After"] == "5"
        assert Stores.look() == before
        assert said(results(api, known, one, {}, one, one)) == [
            200,
            201,
            (400, "required"),
            201,
            201,
        ]
        assert said(results(api, known)) == [200]
        assert refusal(send(api, one)) == (503, "backlog_full", None)
    finally:
        backlog.forget_count()


def test_what_was_committed_and_never_published_comes_by_the_relay(
    exchange_world: World, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the commit and the log."""
    with monkeypatch.context() as crashed:
        crashed.setattr(outbox, "publish_all_soon", lambda orders: None)
        found = results(api, *[SHORT] * 3)
    exchange_world.pump()
    orders = [Order.objects.get(pk=one["order"]["id"]) for one in found]
    assert {status_of(order)[0] for order in orders} == {"pending"}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders_order SET created_at = created_at - interval '1 minute'")
    relay()
    exchange_world.pump()
    relay()
    exchange_world.pump()
    assert {status_of(order)[0] for order in orders} == {"open"}
    assert differences() == []


def test_a_batch_on_many_markets_reaches_their_partitions(
    exchange_world: World, api: ApiClient
) -> None:
    assets = list(Market.objects.filter(quote="USDT").values_list("base_id", flat=True))
    found = results(
        api, *({**SHORT, "asset": asset, "quantity": 1, "price": 1} for asset in assets)
    )
    assert said(found) == [201] * len(assets)
    outbox.flush()
    assert {record.partition for record in exchange_world.order_events()} == {
        partition_for(asset) for asset in assets
    }
