"""A record that cannot be used rejects the order behind it, and releases its hold."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exchange.kafka import (
    DEAD_ORDER_EVENTS,
    ORDER_EVENTS,
    OutgoingRecord,
    Publisher,
    partition_for,
    read_topic,
)
from exchange.kafka.names import MAX_DEAD_BYTES, MAX_RECORD_BYTES
from exchange.records import Execution, Skipped, decode_trade_event
from orders import outbox
from orders.models import Order
from orders.outbox import new_order_record
from tests.support import World, balance_of, differences, settle_records, status_of

Garble = Callable[[dict[str, Any]], bytes]


def changed(**changes: Any) -> Garble:
    return lambda fields: json.dumps(fields | changes).encode()


GARBLED: dict[str, Garble] = {
    "an unknown version": changed(v=2),
    "an unknown field": changed(colour="red"),
    "a number for an amount": changed(price=1.9),
    "no price": lambda fields: json.dumps({**fields, "price": None}).encode(),
    "another quantity": changed(quantity="11"),
    "another price": changed(price="1.8"),
    "another side": changed(side="sell"),
    "another user": changed(user_id=2),
    "another market": changed(market="BTC-USDT"),
    "another time in force": changed(time_in_force="ioc"),
    "another post-only flag": changed(post_only=True),
    "another self-trade prevention": changed(self_trade_prevention="cancel_both"),
    "another time at which it expires": changed(expires_at="2030-01-01T00:00:00+00:00"),
    "the id of a request that is too long to be repeated": changed(request_id="r" * 65),
}

NAMES_NO_ORDER = {
    "nothing": b"",
    "no text": b"\xff",
    "a list": b"[1]",
    "a number as text": b'{"type":"new","order_id":"1","v":2}',
    "no number of an order": b'{"type":"new","order_id":0}',
    "a number that Postgres cannot keep": b'{"type":"new","order_id":9223372036854775808}',
    "half a character": b'{"type":"new","\\ud800":1}',
    "a field of a long name": b'{"type":"new","order_id":0,"%s":1}' % (b"n" * 1_000_000),
    "more than a dead letter may have": b"x" * (MAX_RECORD_BYTES - 100),
}


@pytest.fixture
def world(exchange_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Nothing reaches the log but what a test writes there."""
    exchange_world.restart_matching()
    with monkeypatch.context() as silence:
        silence.setattr(outbox._outlet, "_closed_until", float("inf"))
        yield exchange_world


def write(value: bytes, asset: str = "ADA") -> None:
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, partition_for(asset), b"", value)])
    publisher.close()


def garbled(order: Order, how: Garble) -> bytes:
    return how(json.loads(new_order_record(order).value))


@pytest.mark.parametrize("name", GARBLED)
def test_the_order_behind_a_dead_letter_is_rejected(world: World, name: str) -> None:
    order = world.place(1, "buy", 10, "1.9")
    assert balance_of(1, "USDT") == ("981", "19")
    value = garbled(order, GARBLED[name])
    write(value)
    world.pump()

    assert status_of(order) == ("rejected", "0")
    assert order.reason == "record_unusable"
    assert order.finished_at is not None
    assert balance_of(1, "USDT") == ("1000", "0")
    assert [record.value for record in read_topic(DEAD_ORDER_EVENTS)] == [value]
    assert differences() == []


def test_a_seller_gets_the_base_asset_back(world: World) -> None:
    order = world.place(2, "sell", 10, "1.9")
    write(garbled(order, changed(v=2)))
    world.pump()
    assert status_of(order) == ("rejected", "0")
    assert balance_of(2, "ADA") == ("500", "0")
    assert differences() == []


def test_the_market_goes_on_after_a_dead_letter(world: World) -> None:
    bad, good = world.place(1, "buy", 10, "1.9"), world.place(1, "buy", 5, "1.9")
    write(garbled(bad, changed(v=2)))
    write(new_order_record(good).value)
    world.pump()
    assert status_of(good) == ("open", "0")
    assert balance_of(1, "USDT") == ("990.5", "9.5")
    assert differences() == []


@pytest.mark.parametrize("restarted", [False, True])
def test_a_good_record_after_the_dead_letter_is_a_duplicate(world: World, restarted: bool) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(garbled(order, changed(v=2)))
    if restarted:
        world.pump()
        world.restart_matching()  # the engine has forgotten: now Postgres tells
    write(new_order_record(order).value)
    world.pump()
    assert status_of(order) == ("rejected", "0")
    results = [decode_trade_event(record.value) for record in world.trade_events()]
    assert [type(result) for result in results] == [Execution, Skipped]
    assert differences() == []


@pytest.mark.parametrize("settled", [False, True])
def test_a_dead_letter_after_the_good_record_rejects_nothing(world: World, settled: bool) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(new_order_record(order).value)
    if settled:
        world.pump()
        world.restart_matching()
    write(garbled(order, changed(v=2)))
    world.pump()
    assert status_of(order) == ("open", "0")
    assert balance_of(1, "USDT") == ("981", "19")
    assert differences() == []


def test_on_a_foreign_partition_nothing_is_rejected(world: World) -> None:
    """The good record may stand on the right one."""
    order = world.place(1, "buy", 10, "1.9")
    other = next(
        asset for asset in ("BTC", "ETH", "SOL") if partition_for(asset) != partition_for("ADA")
    )
    write(garbled(order, changed(v=2)), asset=other)
    write(new_order_record(order).value, asset=other)
    world.pump()
    assert status_of(order) == ("pending", "0")
    write(new_order_record(order).value)
    world.pump()
    assert status_of(order) == ("open", "0")
    assert differences() == []


@pytest.mark.parametrize("name", NAMES_NO_ORDER)
def test_a_record_that_names_no_order_rejects_none(world: World, name: str) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(NAMES_NO_ORDER[name])
    write(new_order_record(order).value)
    world.pump()
    assert status_of(order) == ("open", "0")


def test_a_whole_record_with_a_number_that_postgres_cannot_keep(world: World) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(garbled(order, changed(order_id=2**63)))
    write(new_order_record(order).value)
    world.pump()
    assert status_of(order) == ("open", "0")
    assert len(read_topic(DEAD_ORDER_EVENTS)) == 1


def test_of_a_very_large_record_the_beginning_is_kept(world: World) -> None:
    write(NAMES_NO_ORDER["more than a dead letter may have"])
    world.pump()
    (letter,) = read_topic(DEAD_ORDER_EVENTS)
    assert letter.value == b"x" * MAX_DEAD_BYTES


def test_a_garbled_cancel_rejects_nothing(world: World) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(new_order_record(order).value)
    world.pump()
    write(json.dumps({"type": "cancel", "v": 2, "order_id": order.pk}).encode())
    world.pump()
    assert status_of(order) == ("open", "0")


def test_a_rejection_is_settled_once_however_often_it_is_matched(world: World) -> None:
    order = world.place(1, "buy", 10, "1.9")
    write(garbled(order, changed(v=2)))
    world.match()
    world.restart_matching()
    world.match()  # the same results once more
    results = [record.value for record in world.trade_events()]
    assert len(results) == 2
    assert results[0] == results[1]
    settle_records(world.trade_events())
    settle_records(world.trade_events())
    assert balance_of(1, "USDT") == ("1000", "0")
    assert differences() == []
