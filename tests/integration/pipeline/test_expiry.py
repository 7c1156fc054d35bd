"""Orders that are good till a date: their cancels come on the log, whoever dies meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from exchange.embedded.server import wait_until
from exchange.records import CancelOrder, decode_order_event
from orders import expiry, outbox
from orders.models import Order
from orders.relay import relay
from orders.services import request_cancel
from orders.tasks import expire_orders
from tests.integration.pipeline.test_recovery import begin_anew
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, balance_of, differences


def good_for_a_day(world: World, quantity: int = 10, price: str = "1.9", **rules: Any) -> Order:
    return world.place(
        1, "buy", quantity, price, time_in_force="gtd",
        expires_at=timezone.now() + timedelta(days=1), **rules,
    )  # fmt: skip


def good_for_a_moment(world: World) -> Order:
    """An order whose time is over before the engine has seen it."""
    order = world.place(
        1, "buy", 10, "1.9", time_in_force="gtd",
        expires_at=timezone.now() + timedelta(milliseconds=300),
    )  # fmt: skip
    assert wait_until(lambda: expire_orders() == 1, timeout_seconds=10)
    return order


def let_a_day_pass() -> None:
    past = F("expires_at") - timedelta(days=2)
    Order.objects.filter(expires_at__isnull=False).update(expires_at=past)


def end_of(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.reason


def cancels_on(world: World) -> list[tuple[int, str]]:
    outbox.flush()
    events = [decode_order_event(record.value) for record in world.order_events()]
    return [(event.order_id, event.reason) for event in events if isinstance(event, CancelOrder)]


def test_an_order_expires_with_what_is_left_of_it(exchange_world: World) -> None:
    world = exchange_world
    order = good_for_a_day(world)
    world.place(2, "sell", 4, "1.9")
    lasting = world.place(1, "buy", 1, "1")
    world.pump()
    assert expire_orders() == 0
    let_a_day_pass()

    assert expire_orders() == 1
    assert expire_orders() == 0
    assert cancels_on(world) == [(order.pk, "expired")]
    world.pump()

    assert end_of(order) == ("canceled", "expired")
    assert [order.filled_quantity, order.remaining_quantity] == [4, 6]
    assert end_of(lasting) == ("open", "")
    assert balance_of(1, "USDT") == ("991.4", "1")
    assert differences() == []


def test_an_order_that_comes_to_the_engine_after_its_time_goes_by_the_cancel_behind_it(
    exchange_world: World,
) -> None:
    world = exchange_world
    order = good_for_a_moment(world)
    outbox.flush()
    world.pump()
    assert end_of(order) == ("canceled", "expired")
    assert balance_of(1, "USDT") == ("1000", "0")
    assert differences() == []


def test_an_order_that_is_filled_first_is_filled(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 10, "1.9")
    order = good_for_a_moment(world)
    outbox.flush()
    world.pump()
    assert end_of(order) == ("filled", "")
    assert differences() == []


def test_who_dies_before_the_cancel_is_published_leaves_it_to_the_relay(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    order = good_for_a_day(world)
    world.pump()
    let_a_day_pass()
    with monkeypatch.context() as death:
        death.setattr(outbox._outlet, "_closed_until", float("inf"))
        assert expire_orders() == 1
    relay()
    let_time_pass()
    assert relay() == 1
    assert cancels_on(world) == [(order.pk, "expired")]
    world.pump()
    assert end_of(order) == ("canceled", "expired")
    assert differences() == []


def test_an_order_expires_on_a_new_log_and_from_rebuilt_books(exchange_world: World) -> None:
    world = exchange_world
    order = good_for_a_day(world)
    world.pump()
    begin_anew(world)
    let_a_day_pass()
    assert expire_orders() == 1
    outbox.flush()
    world.pump()
    assert end_of(order) == ("canceled", "expired")
    assert differences() == []


def test_a_cancel_that_its_user_has_asked_for_keeps_that_reason(exchange_world: World) -> None:
    world = exchange_world
    order = good_for_a_day(world)
    world.pump()
    request_cancel(order_id=order.pk)
    let_a_day_pass()
    assert expire_orders() == 0
    outbox.flush()
    world.pump()
    assert end_of(order) == ("canceled", "")
    assert differences() == []


def test_many_expire_in_turn_and_one_that_is_locked_later(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    monkeypatch.setattr(expiry, "TOGETHER", 2)
    orders = [good_for_a_day(world, 1, "0.1") for _ in range(5)]
    world.pump()
    let_a_day_pass()
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM orders_order WHERE id = %s FOR UPDATE", [orders[2].pk])
        assert expire_orders() == 4
        other.rollback()
    finally:
        other.close()
    assert expire_orders() == 1
    outbox.flush()
    world.pump()
    assert {end_of(order) for order in orders} == {("canceled", "expired")}
    assert differences() == []


def test_expired_orders_are_found_by_their_index(exchange_world: World) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {expiry._EXPIRE}", [1])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "order_expiring" in plan
