"""Stop orders over restarts, lost logs, replays and archives; and what a row or a record must be."""

import json
import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from balances import services as balances
from exchange.kafka import ORDER_EVENTS, OutgoingRecord, Publisher, partition_for
from exchange.records import TriggerOrder, encode
from matching.replay.archive import read_archive
from matching.replay.runner import Replayed, replay
from orders import outbox
from orders.canceling import request_cancel_of_all
from orders.models import Order
from orders.relay import relay
from orders.tasks import expire_orders
from tests.integration.pipeline.test_recovery import begin_anew, outcome
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, balance_of, differences, status_of


@pytest.fixture
def world(exchange_world: World) -> World:
    """ADA-USDT has traded 1 at 2 last. Both users have both assets."""
    balances.deposit(user_id=1, asset="ADA", amount=Decimal(100))
    balances.deposit(user_id=2, asset="USDT", amount=Decimal(1_000))
    trade_at(exchange_world, 2)
    return exchange_world


def trade_at(world: World, price: str | int) -> None:
    world.place(2, "sell", 1, price)
    world.place(1, "buy", 1, price)
    world.pump()


def run(world: World) -> None:
    """Match and settle until nothing more comes of it."""
    while True:
        outbox.flush()
        before = len(world.order_events())
        world.pump()
        outbox.flush()
        if len(world.order_events()) == before:
            return


def send(value: bytes) -> None:
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, partition_for("ADA"), b"ADA", value)])
    publisher.close()


def end_of(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.reason


def found_in(replayed: Replayed) -> list[str]:
    return [f"{o.name}: {row}" for o in replayed.outcomes for row in o.first]


def agrees() -> None:
    """The books balance, and the log gives what is settled."""
    assert differences() == []
    assert found_in(replay()) == []


def test_what_a_triggered_order_does_not_need_comes_back(world: World) -> None:
    order = world.place(1, "sell", 3, "1.5", stop_price="1.8")
    world.place(2, "buy", 2, "1.7")
    world.pump()
    trade_at(world, "1.8")
    run(world)
    assert status_of(order) == ("partially_filled", "2")
    assert balance_of(1, "ADA")[1] == "1"
    buyer = world.place(2, "buy", 5, "2", stop_price="1.4")  # its price has come already
    assert balance_of(2, "USDT")[1] == "10"
    run(world)
    assert status_of(order) == ("filled", "3")
    assert status_of(buyer) == ("partially_filled", "1")
    assert balance_of(2, "USDT")[1] == "8"  # 2 for each of the 4 that are left
    agrees()


def test_the_place_in_the_queue_is_that_of_the_trigger(world: World) -> None:
    stop = world.place(1, "buy", 1, "1.5", stop_price="2.5")
    before = world.place(2, "buy", 1, "1.5")
    trade_at(world, "2.5")
    run(world)
    after = world.place(2, "buy", 1, "1.5")
    run(world)
    undisturbed = world.host.state_hashes()
    world.restart_matching()
    assert world.host.state_hashes() == undisturbed
    for filled in (before, stop, after):
        world.place(1, "sell", 1, "1.5")
        run(world)
        assert status_of(filled) == ("filled", "1")
    agrees()


def test_the_cancel_of_all_takes_them_too(world: World) -> None:
    order = world.place(1, "buy", 10, "2.3", stop_price="2.2")
    world.pump()
    assert request_cancel_of_all(user_id=1) == (1, False)
    run(world)
    assert end_of(order) == ("canceled", "")
    assert balance_of(1, "USDT")[1] == "0"
    agrees()


@pytest.mark.parametrize("elected", [False, True])
def test_one_that_is_good_till_a_date_expires_while_it_waits(world: World, elected: bool) -> None:
    order = world.place(
        1, "buy", 1, "2.3", stop_price="1.9" if elected else "2.2", time_in_force="gtd",
        expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    world.match()
    if not elected:
        world.settle()
    Order.objects.filter(pk=order.pk).update(expires_at=F("expires_at") - timedelta(days=2))
    assert expire_orders() == 1
    run(world)
    assert end_of(order) == ("canceled", "expired")
    assert differences() == []  # not the replay: the record says another time


@pytest.mark.parametrize(
    ("rules", "end"),
    [
        ({"time_in_force": "ioc"}, ("canceled", "ioc_remainder")),
        ({"time_in_force": "fok"}, ("canceled", "fok_not_fillable")),
        ({"post_only": True}, ("canceled", "post_only_would_trade")),
        ({"self_trade_prevention": "cancel_taker"}, ("canceled", "self_trade")),
    ],
)
def test_it_comes_with_its_rules(world: World, rules: dict[str, Any], end: tuple[str, str]) -> None:
    world.place(1 if "self_trade_prevention" in rules else 2, "sell", 1, "2.6")
    order = world.place(1, "buy", 5, "2.6", stop_price="2.5", **rules)
    world.pump()
    trade_at(world, "2.5")
    run(world)
    assert end_of(order) == end
    assert balance_of(1, "USDT")[1] == "0"
    agrees()


def test_a_log_that_begins_with_stops_of_every_kind(world: World) -> None:
    """What waits, is elected, or rests after its trigger is not in the log that comes next."""
    waiting = world.place(1, "buy", 1, 3, stop_price="2.9")
    resting = world.place(1, "buy", 2, "2.6", stop_price="2.5")
    trade_at(world, "2.5")
    run(world)
    elected = world.place(1, "buy", 2, "2.7", stop_price="2.4")
    world.pump()
    begin_anew(world)
    agrees()
    world.place(2, "sell", 1, "2.6")
    run(world)
    assert status_of(resting) == ("partially_filled", "1")
    relay()
    let_time_pass()
    assert relay() == 1
    run(world)
    world.place(2, "sell", 1, "2.7")
    run(world)
    assert status_of(elected) == ("partially_filled", "1")
    assert status_of(waiting) == ("untriggered", "0")
    agrees()
    begin_anew(world)
    agrees()
    world.place(2, "sell", 2, "2.6")
    run(world)
    assert [status_of(elected), status_of(resting)] == [("filled", "2"), ("filled", "2")]
    agrees()


def test_a_trigger_that_nobody_has_wished_for_changes_nothing(world: World) -> None:
    order = world.place(1, "buy", 1, 3, stop_price="2.9")
    world.pump()
    early = TriggerOrder(
        order_id=order.pk, user_id=1, market="ADA-USDT", created_at=timezone.now().isoformat()
    )
    send(encode(early))
    run(world)
    assert status_of(order) == ("untriggered", "0")
    agrees()


@pytest.mark.parametrize(
    "changed", [{"stop_price": "2.8"}, {"stop_price": ""}, {"order_type": "limit"}]
)
def test_a_record_that_says_something_else_rejects_its_order(
    world: World, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    with monkeypatch.context() as death:
        death.setattr(outbox._outlet, "_closed_until", float("inf"))
        order = world.place(1, "buy", 1, 3, stop_price="2.9")
    send(json.dumps(json.loads(outbox.new_order_record(order).value) | changed).encode())
    run(world)
    assert end_of(order) == ("rejected", "record_unusable")
    agrees()


def test_an_unusable_record_does_not_reject_an_order_that_waits(world: World) -> None:
    order = world.place(1, "buy", 1, 3, stop_price="2.9")
    world.pump()
    world.restart_matching()
    send(outbox.new_order_record(order).value.replace(b'"2.9"', b'"2.8"'))
    run(world)
    assert status_of(order) == ("untriggered", "0")
    agrees()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "open"},
        {"status": "untriggered", "stop_price": None, "order_type": "limit"},
        {"stop_price": 0},
        {"stop_price": None},
        {"order_type": "limit"},
        {"elected_rank": 1},
        {"triggered_offset": 7},
        {"triggered_at": timezone.now(), "triggered_epoch": 1, "triggered_offset": 9},
        {"filled_quantity": 1, "filled_quote": 3, "status": "filled"},
    ],
)
def test_the_database_refuses_what_no_stop_order_is(world: World, changes: dict[str, Any]) -> None:
    order = world.place(1, "buy", 1, 3, stop_price="2.5")
    world.pump()
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**changes)


def random_stops(world: World, seed: int, count: int) -> list[Order]:
    """Place stop orders and others, and cancel some, so that the price wanders."""
    rng = random.Random(seed)
    placed: list[Order] = []
    for _ in range(count):
        if placed and rng.random() < 0.15:
            order = rng.choice(placed)
            order.refresh_from_db()
            if order.finished_at is None:
                world.cancel(order)
            continue
        side, middle = rng.choice(("buy", "sell")), 200 + rng.randint(-10, 10)
        time_in_force = rng.choice(("gtc", "gtc", "gtc", "ioc", "fok"))
        stop = rng.random() < 0.5
        placed.append(
            world.place(
                rng.choice((1, 2)),
                side,
                rng.randint(1, 4),
                str(Decimal(middle) / 100),
                stop_price=str(Decimal(200 + rng.randint(-8, 8)) / 100) if stop else None,
                time_in_force=time_in_force,
                post_only=time_in_force == "gtc" and rng.random() < 0.1,
                self_trade_prevention=rng.choice(Order.SelfTradePrevention.values),
            )
        )
    return placed


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_restarts_at_random_moments_change_nothing(world: World, seed: int, tmp_path: Path) -> None:
    for user_id in (1, 2):
        for asset in ("ADA", "USDT"):
            balances.deposit(user_id=user_id, asset=asset, amount=Decimal(10_000))
    rng = random.Random(seed)
    moves: list[Callable[[], object]] = [world.match, world.settle, world.restart_matching]
    archive = tmp_path / "checkpoint"
    for part in range(6):
        random_stops(world, seed * 100 + part, 12)
        for _ in range(rng.randint(1, 4)):
            rng.choice(moves)()
            outbox.flush()
        if part == 3:
            run(world)
            assert replay(archive_to=archive).archived
            assert any(line.engine.stops("ADA-USDT").waiting for line in archived(archive))
    run(world)
    assert Order.objects.filter(triggered_at__isnull=False).count() > 5
    assert Order.objects.filter(status="untriggered").exists()

    disturbed, hashes = outcome(), world.host.state_hashes()
    world.restart_matching()
    world.pump()
    assert world.host.state_hashes() == hashes
    assert outcome() == disturbed
    agrees()
    assert found_in(replay(begin_from=read_archive(archive))) == []
    begin_anew(world)
    random_stops(world, seed * 1_000, 12)
    run(world)
    agrees()


def archived(path: Path) -> list[Any]:
    return [state for state in read_archive(path).partitions.values() if "ADA-USDT" in state.scales]


def test_they_are_found_by_their_indexes(world: World) -> None:
    """Each index can answer its question; which is the cheaper one: a table of four rows cannot say.

    So the other one is away meanwhile.
    """
    for index, other, condition in (
        ("order_elected", "order_untriggered", "status = 'untriggered' AND elected_at IS NOT NULL"),
        (
            "order_untriggered",
            "order_elected",
            "market_id = 'ADA-USDT' AND side = 'buy' AND status = 'untriggered'"
            " AND stop_price <= 3",
        ),
    ):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"DROP INDEX {other}")
            cursor.execute(f"EXPLAIN SELECT id FROM orders_order WHERE {condition}")
            assert index in "\n".join(row[0] for row in cursor.fetchall())
            transaction.set_rollback(True)


def test_one_whose_cancel_was_asked_before_its_election_does_not_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the cancel was lost; the settlement of the election knows of it all the same."""
    order = world.place(1, "buy", 2, "2.2", stop_price="2.1")
    world.pump()
    with monkeypatch.context() as dying:
        dying.setattr(outbox._outlet, "_closed_until", float("inf"))
        world.cancel(order)
    world.place(2, "sell", 5, "2.1")
    world.place(1, "buy", 1, "2.1")
    run(world)

    assert end_of(order) == ("canceled", "")
    assert status_of(order)[1] == "0"
    agrees()


def test_the_relay_publishes_the_cancel_of_an_elected_order_and_no_trigger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = world.place(1, "buy", 2, "2.2", stop_price="2.1")
    world.pump()
    with monkeypatch.context() as dying:
        dying.setattr(outbox._outlet, "_closed_until", float("inf"))
        world.cancel(order)
        dying.setattr("balances.tasks.publish_triggers", lambda _: None)
        dying.setattr(outbox._outlet, "_closed_until", 0.0)
        world.place(2, "sell", 5, "2.1")
        world.place(1, "buy", 1, "2.1")
        world.pump()
    relay()
    let_time_pass()
    assert relay() == 1
    run(world)

    assert end_of(order) == ("canceled", "")
    assert status_of(order)[1] == "0"
    agrees()
