"""Batches by whom they come from: one's own orders only, and sent twice they are the same orders."""

import json
from typing import Any

import pytest
from django.test.client import FakePayload

from exchange.access import signatures
from exchange.models import User
from orders.models import Order
from tests.api import ApiClient, SigningClient
from tests.integration.access.conftest import browser_of, service, staff
from tests.support import World, differences

pytestmark = pytest.mark.locked

ONE = {"asset": "ADA", "quantity": 1, "price": "1.9", "order_type": "buy"}


def batch(client: ApiClient, *orders: Any) -> Any:
    return client.post("/orders/batch", json.dumps({"orders": orders}), "application/json")


def cancel(client: ApiClient, *numbers: int) -> list[int]:
    body = json.dumps({"order_ids": numbers})
    response = client.post("/orders/batch/cancel", body, content_type="application/json")
    return [one["status"] for one in response.json()["results"]]


def statuses(response: Any) -> list[Any]:
    return [one["status"] for one in response.json()["results"]]


def test_one_may_ask_for_oneself_only(world: World, signing: SigningClient) -> None:
    response = batch(signing, ONE, {**ONE, "user_id": 1}, {**ONE, "user_id": 2})
    assert statuses(response) == [201, 201, 403]
    assert response.json()["results"][2]["error"]["code"] == "not_your_user"
    assert set(Order.objects.values_list("user_id", flat=True)) == {1}


def test_service_credentials_ask_for_several_users(world: World) -> None:
    sell = {**ONE, "user_id": 2, "order_type": "sell", "price": "2"}
    client = service("read", "trade")
    response = batch(client, {**ONE, "user_id": 1}, sell, {**ONE, "user_id": 999})
    assert statuses(response) == [201, 201, 422]
    numbers = [one["order"]["id"] for one in response.json()["results"][:2]]
    assert cancel(client, *numbers) == [202, 202]
    assert differences() == []


def test_staff_need_the_permission(world: World) -> None:
    allowed = staff("add_order")
    assert statuses(batch(allowed, {**ONE, "user_id": 1})) == [201]
    User.objects.filter(username="clerk").update(username="other")
    assert statuses(batch(staff(), {**ONE, "user_id": 1})) == [403]


def test_a_signed_batch_that_is_sent_again_is_the_same_orders(
    world: World, signing: SigningClient
) -> None:
    body = json.dumps({"orders": [ONE, {**ONE, "client_order_id": "mine"}, ONE, ONE]}).encode()
    now = str(signatures.now_ms())
    text = signatures.canonical_text(
        timestamp=int(now), window=signatures.DEFAULT_WINDOW_MS, method="POST",
        path="/orders/batch", query="", body=body,
    )  # fmt: skip
    signature = signatures.sign(signing.secret, text)
    signing.changed = {"HTTP_X_API_TIMESTAMP": now, "HTTP_X_API_SIGNATURE": signature}

    def send() -> Any:
        again = {**signing.changed, "wsgi.input": FakePayload(body)}
        signing.changed = again
        return signing.post("/orders/batch", body, content_type="application/json")

    first, second = send(), send()
    assert statuses(first) == [201] * 4
    assert statuses(second) == [200] * 4
    orders = [one["order"] for one in first.json()["results"]]
    assert orders == [one["order"] for one in second.json()["results"]]
    start = f"signed:{signature[:48]}"
    assert [one["client_order_id"] for one in orders] == [
        f"{start}:0", "mine", f"{start}:2", f"{start}:3",
    ]  # fmt: skip
    assert differences() == []


def test_the_orders_of_others_are_not_there_to_cancel(world: World) -> None:
    theirs = world.place(2, "sell", 1, "2")
    mine = world.place(1, "buy", 1, "1.9")
    me = browser_of(User.objects.get(pk=1))
    assert cancel(me, theirs.pk, mine.pk) == [404, 202]
    assert me.delete("/orders").json() == {"cancel_requested": 0, "more": False}
    assert me.delete("/orders?user_id=2").status_code == 403
    theirs.refresh_from_db()
    assert theirs.cancel_requested_at is None
    assert staff("change_order").delete("/orders?user_id=2").json()["cancel_requested"] == 1
