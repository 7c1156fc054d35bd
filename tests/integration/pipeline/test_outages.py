"""Redis, Kafka or Postgres away: what clients see, and that nothing is lost or misstated."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from balances import selectors, services
from balances.models import CacheTrust
from balances.tasks import care_for_cache
from exchange.embedded.server import Server
from orders import outbox
from orders.models import Order
from orders.relay import relay
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, balance_of, differences, status_of, trust_cache

ORDER = {"user_id": 1, "asset": "ADA", "quantity": 10, "price": 1.9, "order_type": "buy"}


@pytest.fixture
def redis_away(exchange_world: World, servers: dict[str, Server]) -> Iterator[Server]:
    """Redis is killed; it is there again after the test."""
    trust_cache()
    selectors.get_balances(user_id=1)
    server = servers["REDIS_URL"]
    server.kill()
    yield server
    if not server.is_ready():
        server.start()
        server.wait_ready()


def test_without_redis_orders_go_on_and_balances_are_right(
    redis_away: Server, exchange_world: World, client: Client
) -> None:
    assert client.post("/orders", ORDER, content_type="application/json").status_code == 201
    outbox.flush()
    exchange_world.place(2, "sell", 4, "1.9")
    exchange_world.pump()

    answer = client.get("/balance/1")
    assert answer.json()["balances"]["USDT"] == {
        "available": "981",
        "held": "11.4",
        "total": "992.4",
    }
    assert answer["X-Balance-Source"] == "database"
    assert CacheTrust.objects.get().distrusted_at is not None
    assert care_for_cache() is False

    redis_away.start()
    redis_away.wait_ready()
    trust_cache()
    assert CacheTrust.objects.get().distrusted_at is None
    assert client.get("/balance/1")["X-Balance-Source"] == "database"
    assert client.get("/balance/1")["X-Balance-Source"] == "cache"
    assert client.get("/balance/1").json()["balances"]["USDT"]["held"] == "11.4"
    assert differences() == []


def test_redis_back_after_changes_it_has_missed_says_nothing_old(
    redis_away: Server, client: Client
) -> None:
    services.deposit(user_id=1, asset="USDT", amount=Decimal(5))
    redis_away.start()
    redis_away.wait_ready()
    for _ in range(3):
        assert client.get("/balance/1").json()["balances"]["USDT"]["available"] == "1005"


def test_without_kafka_orders_are_accepted_and_published_later(
    exchange_world: World, settings: LazySettings, client: Client
) -> None:
    world = exchange_world
    world.restart_matching()
    reachable = settings.KAFKA_BOOTSTRAP_SERVERS
    settings.KAFKA_BOOTSTRAP_SERVERS = ["127.0.0.1:1"]
    outbox.close()
    answer = client.post("/orders", ORDER, content_type="application/json")
    assert answer.status_code == 201
    assert answer.json()["status"] == "pending"

    settings.KAFKA_BOOTSTRAP_SERVERS = reachable
    relay()
    let_time_pass()
    assert relay() == 1
    world.pump()
    assert status_of(Order.objects.get()) == ("open", "0")
    assert balance_of(1, "USDT") == ("981", "19")
    assert differences() == []


def test_without_postgres_an_order_is_refused_and_nothing_is_half_done(
    exchange_world: World, servers: dict[str, Server], client: Client
) -> None:
    postgres = servers["DATABASE_URL"]
    postgres.kill()
    try:
        answer = client.post("/orders", ORDER, content_type="application/json")
        balance = client.get("/balance/2")
    finally:
        connection.close()
        postgres.start()
        postgres.wait_ready()
    assert answer.status_code == balance.status_code == 503
    assert answer["Retry-After"] == "1"
    assert answer.json()["code"] == "unavailable"
    assert Order.objects.count() == 0
    assert balance_of(1, "USDT") == ("1000", "0")
    assert client.post("/orders", ORDER, content_type="application/json").status_code == 201
    assert differences() == []


def test_an_outlet_that_was_closed_in_mid_sending_publishes_the_next_order_at_once(
    exchange_world: World, client: Client
) -> None:
    world = exchange_world
    world.restart_matching()
    assert client.post("/orders", ORDER, content_type="application/json").status_code == 201
    outbox.close()  # while the record may still be on its way
    order = world.place(1, "buy", 1, "1.9")
    world.pump()
    assert status_of(order) == ("open", "0")
