"""Amending orders over HTTP: what is answered, and what is refused with which code."""

import json
from typing import Any

import pytest

from orders.models import Amendment, Order
from tests.api import ApiClient, Stores, refusal
from tests.support import World, balance_of


def amend(api: ApiClient, order: Order | str, **body: Any) -> Any:
    name = order if isinstance(order, str) else order.pk
    return api.patch(f"/orders/{name}", json.dumps(body), content_type="application/json")


@pytest.fixture
def order(exchange_world: World) -> Order:
    placed = exchange_world.place(1, "buy", 10, "1.9", client_order_id="mine")
    exchange_world.pump()
    return placed


def test_an_amendment_is_accepted_and_then_applied(
    api: ApiClient, exchange_world: World, order: Order
) -> None:
    response = amend(api, order, quantity="4")
    amendment = Amendment.objects.get()
    moment = amendment.requested_at.isoformat().replace("+00:00", "Z")
    said = {
        "id": amendment.pk, "order_id": order.pk, "market": "ADA-USDT", "price": "1.9",
        "quantity": "4", "price_before": "1.9", "quantity_before": "10", "status": "waiting",
        "reason": "", "kept_place": None, "requested_at": moment, "settled_at": None,
    }  # fmt: skip
    assert (response.status_code, response.json()) == (202, said)
    assert api.get(f"/orders/{order.pk}").json()["quantity"] == "10"

    exchange_world.pump()
    amended = api.get(f"/orders/{order.pk}").json()
    assert (amended["quantity"], amended["remaining_quantity"]) == ("4", "4")
    (listed,) = api.get(f"/orders/{order.pk}/amendments").json()["results"]
    assert (listed["status"], listed["kept_place"]) == ("applied", True)
    assert listed["settled_at"] is not None


def test_an_order_is_amended_by_the_clients_own_id_too(api: ApiClient, order: Order) -> None:
    assert amend(api, "client:mine?user_id=1", price="1.95").status_code == 202
    assert api.get("/orders/client:mine/amendments?user_id=1").json()["results"]


def test_the_hold_is_there_with_the_answer(api: ApiClient, order: Order) -> None:
    assert amend(api, order, quantity="20").status_code == 202
    assert balance_of(1, "USDT") == ("962", "38")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "required", "quantity"),
        ({"price": "x"}, 400, "invalid", "price"),
        ({"price": "1.9", "quantity": "10"}, 422, "nothing_to_amend", None),
        ({"price": "0"}, 422, "price_not_positive", "price"),
        ({"price": "1.90001"}, 422, "price_not_on_tick", "price"),
        ({"quantity": "0"}, 422, "quantity_not_positive", "quantity"),
        ({"quantity": "1000"}, 422, "insufficient_balance", None),
    ],
)
def test_what_cannot_be_asked_is_refused_and_changes_nothing(
    api: ApiClient, order: Order, body: dict[str, str], status: int, code: str, field: str | None
) -> None:
    before = Stores.look()
    response = amend(api, order, **body)
    assert refusal(response) == (status, code, field)
    assert Stores.look() == before


def test_one_at_a_time_and_none_of_an_order_that_is_done(
    api: ApiClient, exchange_world: World, order: Order
) -> None:
    def refused(**body: str) -> tuple[int, str]:
        return refusal(amend(api, order, **body))[:2]

    assert amend(api, order, quantity="9").status_code == 202
    assert refused(quantity="8") == (422, "amendment_waiting")
    exchange_world.pump()
    exchange_world.place(2, "sell", 5, "1.9")
    exchange_world.pump()
    assert refused(quantity="5") == (422, "quantity_already_filled")
    exchange_world.cancel(order)
    assert refused(quantity="8") == (422, "cancel_requested")
    exchange_world.pump()
    assert refused(quantity="8") == (422, "order_finished")
    assert refusal(amend(api, "999999999", quantity="8"))[:2] == (404, "unknown_order")
    iceberg = exchange_world.place(1, "buy", 10, "1.9", visible_quantity=2)
    assert refusal(amend(api, iceberg, quantity="8"))[:2] == (422, "order_not_amendable")
