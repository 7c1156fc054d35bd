"""Whatever an exchange has been through, the replay of its log comes to what is settled."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from balances import services
from balances.changes import change_balances
from balances.checkpoints import begin_epoch_for_gap, current_epoch
from balances.halts import resume_market
from balances.models import Balance, LogEpoch, MarketHalt
from exchange.kafka import ORDER_EVENTS, Log, OutgoingRecord, Publisher, partition_for
from matching.replay.runner import Replayed, replay
from orders import outbox
from orders.models import Order
from orders.relay import relay
from tests.integration.pipeline.test_concurrency import in_thread, trade_at_random
from tests.integration.pipeline.test_recovery import begin_anew, random_flow
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, differences

ADA = partition_for("ADA")


def found_in(replayed: Replayed) -> list[str]:
    return [f"{o.name}: {row}" for o in replayed.outcomes for row in o.first]


@pytest.mark.parametrize("seed", [21, 22])
def test_a_random_flow(exchange_world: World, seed: int) -> None:
    random_flow(exchange_world, seed=seed, count=60)
    exchange_world.pump()
    replayed = replay()
    assert found_in(replayed) == []
    assert sum(stretch.records for stretch in replayed.stretches) == len(
        exchange_world.order_events()
    )


def test_a_random_flow_of_orders_with_rules(exchange_world: World) -> None:
    random_flow(exchange_world, seed=31, count=80, rules=True)
    exchange_world.pump()
    assert found_in(replay()) == []
    assert differences() == []


def test_a_random_flow_of_stops_over_two_logs(exchange_world: World) -> None:
    world = exchange_world
    for seed in (32, 33, 34, 35):
        random_flow(world, seed=seed, count=40, rules=True)
        for _ in range(3):  # their triggers, and whom those elect
            world.pump()
            outbox.flush()
        if seed == 33:
            begin_anew(world)
    assert found_in(replay()) == []
    assert differences() == []
    stops = Order.objects.filter(stop_price__isnull=False)
    assert stops.filter(triggered_at__isnull=False).count() > 5
    assert stops.filter(status=Order.Status.UNTRIGGERED).count() > 1


def test_a_log_that_begins_with_orders_that_self_trades_have_reduced(
    exchange_world: World,
) -> None:
    """How much of them was left is not in the log any more."""
    world = exchange_world
    reduced = world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 1, "1.9")
    services.deposit(user_id=1, asset="ADA", amount=Decimal(5))
    world.place(1, "sell", 3, "1.9", self_trade_prevention="decrement_and_cancel")
    world.pump()
    begin_anew(world)
    world.place(1, "sell", 2, "1.9", self_trade_prevention="decrement_and_cancel")
    world.place(2, "sell", 5, "1.9")
    world.pump()
    reduced.refresh_from_db()
    assert (reduced.status, reduced.filled_quantity, reduced.reason) == (
        "canceled", 5, "self_trade"
    )  # fmt: skip
    assert found_in(replay()) == []
    assert differences() == []


def test_duplicates_and_restarts(exchange_world: World) -> None:
    world = exchange_world
    placed = random_flow(world, seed=23, count=20)
    world.match()
    for order in placed[:5]:
        outbox.publish_soon(order)
    outbox.flush()
    world.restart_matching()
    world.pump()
    random_flow(world, seed=24, count=10)
    world.pump()
    assert found_in(replay()) == []


def test_a_log_that_carried_on_in_later_epochs(exchange_world: World) -> None:
    """An epoch that makes missing results again goes on in the same log."""
    world = exchange_world
    random_flow(world, seed=25, count=20)
    world.pump()
    with Log() as log:
        identity = log.identity()
    assert begin_epoch_for_gap(ADA, current_epoch(), identity)
    world.restart_matching()
    random_flow(world, seed=26, count=20)
    world.pump()
    assert LogEpoch.objects.count() == 2
    assert {o.epoch for o in Order.objects.all()} == set(
        LogEpoch.objects.values_list("number", flat=True)
    )
    replayed = replay()
    assert found_in(replayed) == []
    assert {stretch.first for stretch in replayed.stretches} == {0}


def test_a_log_that_began_with_live_orders(exchange_world: World) -> None:
    """Three logs: orders wait in the book of each for takers of the next."""
    world = exchange_world
    for seed in (27, 28, 29):
        random_flow(world, seed=seed, count=25)
        world.pump()
        assert found_in(replay()) == []
        begin_anew(world)
    replayed = replay()
    assert found_in(replayed) == []
    (beginning,) = (o for o in replayed.outcomes if o.name == "beginning")
    assert beginning.looked_at > 5


def test_orders_that_were_rejected_for_their_records(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 5, "1.9")
    order = Order(
        user_id=1, market_id="ADA-USDT", side="buy", price=Decimal("1.9"), quantity=Decimal(5)
    )
    order.save()
    change_balances(
        lambda: (
            None,
            services.hold(user_id=1, asset="USDT", amount=Decimal("9.5"), order_id=order.pk),
        )
    )
    broken = outbox.new_order_record(order).value.replace(b'"5"', b'"50"')
    publisher = Publisher()
    publisher.publish(
        [
            OutgoingRecord(ORDER_EVENTS, ADA, b"ADA", broken),
            OutgoingRecord(ORDER_EVENTS, ADA, b"ADA", b"nonsense"),
            outbox.new_order_record(order),
        ]
    )
    publisher.close()
    world.place(1, "buy", 2, "1.9")
    world.pump()
    order.refresh_from_db()
    assert order.status == "rejected"
    assert differences() == []
    assert found_in(replay()) == []


def halt(world: World) -> Order:
    """Halt ADA-USDT by an order whose money somebody has taken, and go on meanwhile."""
    doomed = world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 10, "1.9")
    world.match()
    held = Balance.objects.get(user_id=1, asset_id="USDT").held
    Balance.objects.filter(user_id=1, asset_id="USDT").update(held=0)
    world.settle()
    assert MarketHalt.objects.count() == 1
    Balance.objects.filter(user_id=1, asset_id="USDT").update(held=held)
    return doomed


def test_a_market_that_is_halted(exchange_world: World) -> None:
    world = exchange_world
    random_flow(world, seed=30, count=20)
    world.pump()
    doomed = halt(world)
    world.place(2, "sell", 10, "0.00001", market="ADA-BTC")
    world.cancel(doomed)
    world.pump()
    replayed = replay()
    assert found_in(replayed) == []
    assert sum(stretch.left_out for stretch in replayed.stretches) >= 2


def test_a_market_that_was_halted_and_resumed(exchange_world: World) -> None:
    world = exchange_world
    random_flow(world, seed=31, count=20)
    world.pump()
    halt(world)
    resume_market(market="ADA-USDT", note="the hold is back")
    world.restart_matching()
    relay()
    let_time_pass()
    relay()
    world.pump()
    random_flow(world, seed=32, count=20)
    world.pump()
    assert differences() == []
    replayed = replay()
    assert found_in(replayed) == []
    assert sum(stretch.left_out for stretch in replayed.stretches) >= 1


def test_a_halt_that_began_in_an_earlier_log(exchange_world: World) -> None:
    world = exchange_world
    random_flow(world, seed=33, count=15)
    world.pump()
    doomed = halt(world)
    begin_anew(world)
    outbox.publish_soon(doomed)
    outbox.flush()
    world.place(2, "sell", 10, "0.00001", market="ADA-BTC")
    world.pump()
    assert found_in(replay()) == []
    resume_market(market="ADA-USDT", note="the hold is back")
    world.restart_matching()
    outbox.publish_soon(doomed)
    outbox.flush()
    world.pump()
    assert Order.objects.get(pk=doomed.pk).status != "pending"
    assert found_in(replay()) == []


def test_at_every_moment_of_a_running_exchange(exchange_world: World) -> None:
    world = exchange_world
    world.restart_matching()
    random_flow(world, seed=34, count=1)
    done = threading.Event()

    def settle_all_along() -> tuple[int, int]:
        while not done.is_set():
            world.pump()
        return 0, 0

    def trade_all_along() -> tuple[int, int]:
        seed = 0
        while not done.is_set():
            trade_at_random(seed := seed + 1, [1, 2])
        return 0, 0

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(in_thread, work) for work in (settle_all_along, trade_all_along)]
        found = [found_in(replay()) for _ in range(5)]
        done.set()
        for thread in threads:
            thread.result(60)
    outbox.flush()
    world.pump()
    assert found == [[]] * 5
    assert found_in(replay()) == []
