"""The relay publishes what was lost on the way to the log, and nothing that was not."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.core.cache import cache as django_cache
from django.db import connection

from exchange.records import (
    AmendOrder,
    CancelOrder,
    ChangeMarket,
    Execution,
    NewOrder,
    Skipped,
    TriggerOrder,
    decode_order_event,
    decode_trade_event,
)
from orders import outbox
from orders.models import Order
from orders.relay import relay
from tests.support import World, balance_of, differences, status_of


@pytest.fixture
def silent_outbox(exchange_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The process dies between the commit and the publish: nothing reaches the log by itself."""
    monkeypatch.setattr(outbox._outlet, "_closed_until", float("inf"))
    exchange_world.restart_matching()
    return exchange_world  # type: ignore[return-value]


def let_time_pass() -> None:
    """Make everything that was asked for a minute older, the relay's notes included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET created_at = created_at - interval '1 minute',"
            " cancel_requested_at = cancel_requested_at - interval '1 minute',"
            " elected_at = elected_at - interval '1 minute',"
            " relayed_at = relayed_at - interval '1 minute'"
        )
        cursor.execute(
            "UPDATE orders_amendment SET requested_at = requested_at - interval '1 minute',"
            " relayed_at = relayed_at - interval '1 minute'"
        )


def published(world: World) -> list[tuple[str, int]]:
    events = [decode_order_event(record.value) for record in world.order_events()]
    kinds = {
        NewOrder: "new", TriggerOrder: "trigger", AmendOrder: "amend", CancelOrder: "cancel",
    }  # fmt: skip
    return [
        (kinds[type(event)], event.order_id)
        for event in events
        if not isinstance(event, ChangeMarket)
    ]


def test_an_order_that_was_never_published_is_relayed_and_matched(silent_outbox: World) -> None:
    world = silent_outbox
    order = world.place(1, "buy", 10, "1.9")
    assert published(world) == []

    relay()
    let_time_pass()
    assert relay() == 1
    world.pump()

    assert published(world) == [("new", order.pk)]
    assert status_of(order) == ("open", "0")
    assert differences() == []


def test_the_first_run_knows_nothing_and_publishes_nothing(silent_outbox: World) -> None:
    silent_outbox.place(1, "buy", 10, "1.9")
    let_time_pass()
    assert relay() == 0


def test_a_fresh_order_is_left_to_its_own_process(silent_outbox: World) -> None:
    relay()
    silent_outbox.place(1, "buy", 10, "1.9")
    assert relay() == 0


def test_an_order_waiting_in_a_backlog_is_not_published_twice(exchange_world: World) -> None:
    world = exchange_world
    world.restart_matching()
    order = world.place(1, "buy", 10, "1.9")
    relay()
    let_time_pass()
    # On the log, but no worker has come to it: however late, nothing is missing.
    assert relay() == 0
    world.pump()
    assert relay() == 0
    assert status_of(order) == ("open", "0")


def test_a_relayed_order_is_not_relayed_again_before_it_could_be_settled(
    silent_outbox: World,
) -> None:
    world = silent_outbox
    world.place(1, "buy", 10, "1.9")
    relay()
    let_time_pass()
    assert relay() == 1
    assert relay() == 0


def test_what_is_published_twice_is_matched_once(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    outbox.publish_soon(order)
    outbox.flush()
    world.match()
    outbox.publish_soon(order)
    outbox.flush()
    world.pump()
    world.restart_matching()  # the engine has forgotten: now Postgres tells
    outbox.publish_soon(order)
    outbox.flush()
    world.pump()

    assert published(world) == [("new", order.pk)] * 4
    assert balance_of(1, "USDT") == ("981", "19")
    results = [decode_trade_event(record.value) for record in world.trade_events()]
    assert [type(result) for result in results] == [Execution, Skipped, Skipped, Skipped]
    assert differences() == []


def test_a_log_that_ends_with_events_that_change_nothing_does_not_stall_the_relay(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    known = world.place(1, "buy", 10, "1.9")
    outbox.publish_soon(known)
    outbox.flush()
    world.pump()
    monkeypatch.setattr(outbox._outlet, "_closed_until", float("inf"))
    lost = world.place(1, "buy", 1, "1.8")
    relay()
    let_time_pass()
    assert relay() == 1
    world.pump()
    assert status_of(lost) == ("open", "0")


def test_a_lost_cancel_is_relayed(exchange_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    monkeypatch.setattr(outbox._outlet, "_closed_until", float("inf"))
    world.cancel(order)
    relay()
    let_time_pass()

    assert relay() == 1
    world.pump()
    assert status_of(order) == ("canceled", "0")
    assert balance_of(1, "USDT") == ("1000", "0")
    assert differences() == []


def test_a_cancel_that_overtakes_its_order_is_relayed(silent_outbox: World) -> None:
    world = silent_outbox
    order = world.place(1, "buy", 10, "1.9")
    world.cancel(order)
    relay()
    let_time_pass()
    assert relay() == 1
    world.pump()
    assert published(world) == [("new", order.pk), ("cancel", order.pk)]
    assert status_of(order) == ("canceled", "0")


def test_notes_that_are_lost_only_delay(silent_outbox: World, settings: LazySettings) -> None:
    world = silent_outbox
    order = world.place(1, "buy", 10, "1.9")
    relay()
    django_cache.clear()
    let_time_pass()
    assert relay() == 0
    let_time_pass()
    assert relay() == 1
    world.pump()
    assert status_of(order) == ("open", "0")
    assert Order.objects.filter(status="pending").count() == 0
