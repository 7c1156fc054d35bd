"""A client's own id stands wherever an order's number may, for the user whose it is."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orders.models import Order
from tests.api import ApiClient, refusal
from tests.support import World, differences, status_of


@pytest.fixture
def named(exchange_world: World) -> World:
    """Users 1 and 2 have an order each under the id 7, which is also the number of neither."""
    exchange_world.place(1, "buy", 3, "1.9", client_order_id="7")
    exchange_world.place(2, "sell", 1, "1.9", client_order_id="7")
    exchange_world.pump()
    return exchange_world


def of(user_id: int) -> Order:
    return Order.objects.get(user_id=user_id)


def cancel(api: ApiClient, *names: Any, **user: int) -> list[Any]:
    body = json.dumps({"order_ids": names, **user})
    response = api.post("/orders/batch/cancel", body, content_type="application/json")
    assert response.status_code == 200, response.content
    return [
        (one["status"], one["error"]["code"]) if "error" in one else (one["status"], one["order"]["id"])
        for one in response.json()["results"]
    ]  # fmt: skip


@pytest.mark.parametrize("user_id", [1, 2])
def test_one_order_is_looked_at_under_its_clients_id(
    named: World, api: ApiClient, user_id: int
) -> None:
    order = of(user_id)
    for path in ("", "/fills"):
        by_name = api.get(f"/orders/client:7{path}?user_id={user_id}")
        by_number = api.get(f"/orders/{order.pk}{path}")
        assert by_name.status_code == 200
        assert by_name.json() == by_number.json()


def test_digits_alone_are_never_a_clients_id(named: World, api: ApiClient) -> None:
    assert not Order.objects.filter(pk=7).exists()
    assert refusal(api.get("/orders/7?user_id=1")) == (404, "unknown_order", "order_id")
    assert cancel(api, 7, "7", user_id=1) == [(404, "unknown_order")] * 2
    assert api.get("/fills?user_id=1&order_id=7").json()["results"] == []


@pytest.mark.parametrize("name", ["client:8", "client:77", "client:client:7"])
def test_an_id_that_the_user_has_not_used_is_not_there(
    named: World, api: ApiClient, name: str
) -> None:
    unknown = (404, "unknown_order", "order_id")
    for send in (api.get, api.delete):
        assert refusal(send(f"/orders/{name}?user_id=1")) == unknown
    assert refusal(api.get(f"/orders/{name}/fills?user_id=1")) == unknown
    assert cancel(api, name, user_id=1) == [(404, "unknown_order")]
    assert api.get(f"/fills?user_id=1&order_id={name}").json()["results"] == []
    assert api.get(f"/balance/1/ledger?order_id={name}").json()["results"] == []


def test_whose_it_is_has_to_be_known(named: World, api: ApiClient) -> None:
    whose = (400, "required", "user_id")
    for send in (api.get, api.delete):
        assert refusal(send("/orders/client:7")) == whose
    body = json.dumps({"order_ids": ["client:7"]})
    assert refusal(api.post("/orders/batch/cancel", body, "application/json")) == whose
    assert refusal(api.get("/orders/client:7?user_id=x")) == (400, "invalid", "user_id")


def test_a_number_with_a_user_is_only_an_order_of_that_user(named: World, api: ApiClient) -> None:
    mine = of(1).pk
    assert api.get(f"/orders/{mine}?user_id=1").status_code == 200
    assert refusal(api.get(f"/orders/{mine}?user_id=2")) == (404, "unknown_order", "order_id")
    assert refusal(api.delete(f"/orders/{mine}?user_id=2")) == (404, "unknown_order", "order_id")
    assert cancel(api, mine, user_id=2) == [(404, "unknown_order")]


def test_an_order_is_canceled_under_its_clients_id(named: World, api: ApiClient) -> None:
    response = api.delete("/orders/client:7?user_id=1")
    assert (response.status_code, response.json()["id"]) == (202, of(1).pk)
    assert of(2).cancel_requested_at is None
    assert refusal(api.delete("/orders/client:7?user_id=2")) == (422, "order_finished", "order_id")
    named.pump()
    assert differences() == []


def test_a_batch_of_cancels_takes_both(named: World, api: ApiClient) -> None:
    other = named.place(1, "buy", 1, "1.8")
    named.pump()
    found = cancel(api, "client:7", other.pk, "client:8", "client:", "client:7", user_id=1)
    assert found == [
        (202, of_client(1)), (202, other.pk), (404, "unknown_order"), (400, "invalid"), (202, of_client(1)),
    ]  # fmt: skip
    named.pump()
    assert status_of(other) == ("canceled", "0")
    assert differences() == []


def of_client(user_id: int) -> int:
    return Order.objects.get(user_id=user_id, client_order_id="7").pk


def test_what_happened_to_it_is_listed_under_its_clients_id(named: World, api: ApiClient) -> None:
    for user_id in (1, 2):
        order = of(user_id).pk
        for path in (f"/fills?user_id={user_id}&", f"/balance/{user_id}/ledger?"):
            by_name = api.get(f"{path}order_id=client:7").json()
            assert by_name["results"]
            assert by_name == api.get(f"{path}order_id={order}").json()


def test_names_are_looked_up_together(named: World, api: ApiClient) -> None:
    for number in range(12):
        named.place(1, "buy", 1, "1.8", client_order_id=f"b-{number}")

    def statements(names: list[str]) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert {status for status, _ in cancel(api, *names, user_id=1)} == {202}
        return len(captured)

    cost = statements(["client:b-0"])
    assert statements([f"client:b-{number}" for number in range(12)]) == cost
