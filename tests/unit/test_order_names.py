"""What an order is called, in an address and in a filter: never one thing that means two."""

import re

import pytest
from django.urls import Resolver404, resolve, reverse

from orders.naming import OrderName
from orders.naming_api import ORDER_NAME, OrderNameField

OWN_IDS = ["abc", "5", "client:5", "signed:0f", "..", ".", "batch", "-", "A_b.c:d", "x" * 64]


@pytest.mark.parametrize("own_id", OWN_IDS)
def test_every_client_order_id_has_an_address(own_id: str) -> None:
    name = OrderName(client_order_id=own_id)
    address = f"/orders/client:{own_id}"
    assert resolve(address, "exchange.urls.orders").kwargs == {"order_id": name}
    assert reverse("order", "exchange.urls.orders", [name]) == address
    assert OrderNameField().run_validation(f"client:{own_id}") == name
    assert re.search(ORDER_NAME["oneOf"][1]["pattern"], str(name))


@pytest.mark.parametrize("number", [1, 5, 2**63 - 1])
def test_digits_alone_are_a_number(number: int) -> None:
    assert resolve(f"/orders/{number}").kwargs == {"order_id": OrderName(number)}
    assert OrderNameField().run_validation(str(number)) == OrderName(number)
    assert OrderNameField().run_validation(number) == OrderName(number)


@pytest.mark.parametrize(
    "text", ["abc", "client", "client:", "client:a b", "client:" + "x" * 65, "Client:a", "1a", "-1"]
)
def test_anything_else_is_no_order(text: str) -> None:
    with pytest.raises(Resolver404):
        resolve(f"/orders/{text}")
