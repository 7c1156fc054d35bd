"""Listing orders: filters, pages, and pages that stay where they are while orders come in."""

import pytest
from django.db import connection

from tests.api import ApiClient
from tests.support import World


@pytest.fixture
def five_orders(exchange_world: World) -> World:
    """1: user 1 buys ADA, filled by 2: user 2 sells ADA; 3, 4: open; 5: pending."""
    world = exchange_world
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE orders_order_id_seq RESTART")
    world.place(1, "buy", 1, "1.9", client_order_id="mine-1")
    world.place(2, "sell", 1, "1.9")
    world.place(1, "buy", 1, "1.8")
    world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.pump()
    world.place(1, "buy", 1, "1.7")
    return world


def ids(api: ApiClient, path: str) -> list[int]:
    response = api.get(path)
    assert response.status_code == 200
    return [order["id"] for order in response.json()["results"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("?user_id=1", [5, 4, 3, 1]),
        ("?user_id=2", [2]),
        ("?user_id=99", []),
        ("?market=BTC-USDT", [4]),
        ("?market=DOGE-USDT", []),
        ("?status=pending", [5]),
        ("?status=open", [4, 3]),
        ("?status=filled", [2, 1]),
        ("?status=canceled", []),
        ("?user_id=1&market=ADA-USDT&status=open", [3]),
        ("?status=open,pending", [5, 4, 3]),
        ("?status=open&status=pending", [5, 4, 3]),
        ("?status=open,open&status=filled", [4, 3, 2, 1]),
        ("?side=sell", [2]),
        ("?side=buy&status=filled", [1]),
        ("?client_order_id=mine-1", [1]),
        ("?client_order_id=mine-1&user_id=2", []),
        ("?client_order_id=%20", []),
        ("?from=2000-01-01T00:00:00Z", [5, 4, 3, 2, 1]),
        ("?from=2999-01-01T00:00:00Z", []),
        ("?to=2000-01-01T00:00:00.5%2B02:00", []),
        ("?limit=2", [5, 4]),
        ("?limit=500", [5, 4, 3, 2, 1]),
    ],
)
def test_orders_are_listed_newest_first_and_narrowed_down(
    five_orders: World, api: ApiClient, query: str, expected: list[int]
) -> None:
    assert ids(api, f"/orders{query}") == expected


def test_a_span_of_time_has_its_first_moment_and_not_its_last(
    five_orders: World, api: ApiClient
) -> None:
    third, fourth = (api.get(f"/orders/{number}").json()["created_at"] for number in (3, 4))
    assert ids(api, f"/orders?from={third}&to={fourth}") == [3]


def test_a_listed_order_is_the_order(five_orders: World, api: ApiClient) -> None:
    listed = api.get("/orders").json()["results"]
    assert listed == [api.get(f"/orders/{order['id']}").json() for order in listed]


def test_pages_follow_each_other_forth_and_back(five_orders: World, api: ApiClient) -> None:
    first = api.get("/orders?limit=2").json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    pages = [[order["id"] for order in page["results"]] for page in (first, second, third)]
    assert pages == [[5, 4], [3, 2], [1]]
    assert (first["previous"], third["next"]) == (None, None)
    assert api.get(third["previous"]).json()["results"] == second["results"]
    assert api.get(second["previous"]).json()["results"] == first["results"]


def test_pages_stay_the_same_while_orders_come_in(five_orders: World, api: ApiClient) -> None:
    first = api.get("/orders?limit=2").json()
    five_orders.place(1, "buy", 1, "1.6")
    assert ids(api, first["next"]) == [3, 2]


def test_a_page_keeps_the_filter(five_orders: World, api: ApiClient) -> None:
    first = api.get("/orders?user_id=1&limit=3").json()
    assert ids(api, first["next"]) == [1]


def test_a_list_costs_one_query(
    five_orders: World, api: ApiClient, django_assert_num_queries: object
) -> None:
    assert callable(django_assert_num_queries)
    with django_assert_num_queries(1):
        assert ids(api, "/orders") == [5, 4, 3, 2, 1]
