"""A matching worker that dies, sleeps, or loses its log ends where an undisturbed one would."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError

from balances import services as balances
from balances.checkpoints import current_epoch, ensure_epoch
from balances.models import Checkpoint, LogEpoch, Trade
from exchange.kafka import (
    DEAD_ORDER_EVENTS,
    ORDER_EVENTS,
    Log,
    LogError,
    OutgoingRecord,
    Publisher,
    partition_for,
    read_topic,
)
from matching.host import MatchingHost
from matching.recovery import recover
from orders import outbox
from orders.models import UNFINISHED_STATUSES, Order
from orders.relay import relay
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, balance_of, differences, status_of


def random_flow(world: World, seed: int, count: int, *, rules: bool = False) -> list[Order]:
    """Place and cancel at random, on two markets of one asset and one of another.

    `rules`: orders of every time in force, post-only, with every self-trade prevention, stops, and
    icebergs.
    """
    for user_id in (1, 2):
        for asset in ("USDT", "ADA", "BTC"):
            balances.deposit(user_id=user_id, asset=asset, amount=Decimal(100_000))
    rng = random.Random(seed)
    placed: list[Order] = []
    for _ in range(count):
        if placed and rng.random() < 0.2:
            order = rng.choice(placed)
            order.refresh_from_db()
            if order.status in UNFINISHED_STATUSES:
                world.cancel(order)
            continue
        market, price = rng.choice(
            (("ADA-USDT", "1.9"), ("ADA-BTC", "0.00002"), ("BTC-USDT", "100"))
        )
        ticks = Decimal(price) * (1 + Decimal(rng.randint(-5, 5)) / 100)
        step = {"ADA-USDT": "0.0001", "ADA-BTC": "0.00000001", "BTC-USDT": "0.01"}[market]
        user_id, side, quantity = rng.choice((1, 2)), rng.choice(("buy", "sell")), rng.randint(1, 9)
        more = _rules_at_random(rng, quantity) if rules else {}
        if rules and more["visible_quantity"] is None and rng.random() < 0.3:
            stop_price = Decimal(price) * (1 + Decimal(rng.randint(-3, 3)) / 100)
            more["stop_price"] = str(stop_price.quantize(Decimal(step)))
        price_there = str(ticks.quantize(Decimal(step)))
        placed.append(world.place(user_id, side, quantity, price_there, market=market, **more))
    return placed


def _rules_at_random(rng: random.Random, quantity: int) -> dict[str, Any]:
    time_in_force = rng.choice(("gtc", "gtc", "gtc", "ioc", "fok"))
    may_hide = time_in_force == "gtc" and quantity > 1 and rng.random() < 0.5
    return {
        "visible_quantity": rng.randint(1, min(3, quantity - 1)) if may_hide else None,
        "time_in_force": time_in_force,
        "post_only": time_in_force == "gtc" and rng.random() < 0.2,
        "self_trade_prevention": rng.choice(Order.SelfTradePrevention.values),
    }


def outcome() -> list[tuple[object, ...]]:
    """Everything that matching and settling decide."""
    orders = Order.objects.order_by("id").values_list(
        "id", "status", "filled_quantity", "filled_quote"
    )
    trades = Trade.objects.order_by("market", "trade_id").values_list(
        "market", "trade_id", "buy_order", "sell_order", "price", "quantity", "taker_side"
    )
    return [*orders, *trades]


def test_a_worker_that_dies_with_results_unsettled_continues_exactly(exchange_world: World) -> None:
    world = exchange_world
    random_flow(world, seed=1, count=30)
    world.pump()
    random_flow(world, seed=2, count=30)
    world.match()  # published, not settled
    undisturbed = world.host.state_hashes()

    world.restart_matching()  # from the checkpoint: matches the second half again
    world.match()

    assert world.host.state_hashes() == undisturbed
    results = [record.value for record in world.trade_events()]
    assert len(results) > len(set(results)), "the second half is on the log twice"
    world.settle()
    assert differences() == []
    settled = outcome()
    world.restart_matching()
    world.pump()
    assert world.host.state_hashes() == undisturbed
    assert outcome() == settled


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_restarts_at_random_moments_change_nothing(exchange_world: World, seed: int) -> None:
    world = exchange_world
    rng = random.Random(seed)
    moves: list[Callable[[], object]] = [world.match, world.settle, world.restart_matching]
    world.restart_matching()
    for part in range(6):
        random_flow(world, seed=seed * 100 + part, count=8)
        for _ in range(rng.randint(1, 4)):
            rng.choice(moves)()
    world.pump()

    disturbed = outcome()
    undisturbed = MatchingHost()
    # The whole log through a worker that starts with nothing settled gives the same trades.
    assert replayed_trades(world) == [
        row[:3]
        for row in Trade.objects.order_by("market", "trade_id").values_list(
            "market", "trade_id", "buy_order"
        )
    ]
    undisturbed.close()
    assert outcome() == disturbed
    assert differences() == []


def replayed_trades(world: World) -> list[tuple[str, int, int]]:
    """Run the bare engine on the whole of `order-events`, duplicates dropped by the engine."""
    from exchange.money import to_units
    from exchange.records import ChangeMarket, NewOrder, decode_order_event
    from matching.engine import BUY, SELL, CancelOrder, Engine, PlaceOrder
    from orders.models import Market

    engines: dict[int, Engine] = {}
    rules = {market.symbol: market for market in Market.objects.all()}
    found = []
    for record in world.order_events():
        event = decode_order_event(record.value)
        assert not isinstance(event, ChangeMarket)
        engine = engines.setdefault(record.partition, Engine())
        market = rules[event.market]
        if event.market not in engine.markets:
            engine.add_market(event.market)
        command = (
            PlaceOrder(
                event.order_id,
                event.user_id,
                event.market,
                BUY if event.side == "buy" else SELL,
                to_units(Decimal(event.price), market.tick_size),
                to_units(Decimal(event.quantity), market.lot_size),
            )
            if isinstance(event, NewOrder)
            else CancelOrder(event.order_id, event.market)
        )
        execution = engine.apply(record.offset, command)
        for fill in execution.fills if execution else ():
            buyer = event.order_id if execution and execution.side == BUY else fill.maker_order_id
            found.append((event.market, fill.trade_id, buyer))
    return sorted(found)


def test_two_workers_on_the_same_partitions_do_no_harm(exchange_world: World) -> None:
    world = exchange_world
    zombie = MatchingHost()
    zombie.begin({0, 1, 2, 3})
    world.restart_matching()
    random_flow(world, seed=5, count=40)
    world.match()
    zombie.match(world.order_events())  # wakes up late, and publishes everything again
    zombie.close()
    world.settle()

    assert differences() == []
    assert Order.objects.filter(status="pending").count() == 0


def test_a_lost_log_begins_a_new_epoch_and_loses_no_order(exchange_world: World) -> None:
    world = exchange_world
    resting = world.place(1, "buy", 10, "1.9")
    world.pump()
    waiting = world.place(2, "sell", 4, "1.9")  # on the log, and nowhere else but in Postgres
    with Log() as log:
        log.recreate_topics()

    world.forget_log()
    world.restart_matching()
    assert LogEpoch.objects.count() == 2
    assert set(Checkpoint.objects.values_list("offset", flat=True)) == {-1}
    relay()
    let_time_pass()
    assert relay() == 1
    world.pump()

    assert status_of(waiting) == ("filled", "4")
    assert status_of(resting) == ("partially_filled", "4")
    assert differences() == []


def test_a_new_epoch_is_begun_once_however_many_workers_find_it(exchange_world: World) -> None:
    first, second = MatchingHost(), MatchingHost()
    first.begin({0, 1})
    second.begin({2, 3})
    assert first.epoch == second.epoch == current_epoch()
    first.close()
    second.close()
    assert LogEpoch.objects.count() == 1


def test_time_priority_survives_a_restart(exchange_world: World) -> None:
    world = exchange_world
    balances.deposit(user_id=2, asset="USDT", amount=Decimal(1000))
    early = world.place(2, "buy", 1, "1.9")
    late = world.place(1, "buy", 1, "1.9")
    world.pump()
    world.restart_matching()
    world.place(2, "sell", 1, "1.9")
    world.pump()
    assert status_of(early) == ("filled", "1")
    assert status_of(late) == ("open", "0")


def test_an_order_stands_where_its_place_in_the_queue_says(exchange_world: World) -> None:
    world = exchange_world
    balances.deposit(user_id=2, asset="USDT", amount=Decimal(1000))
    moved, other, next_to_it = (world.place(2, "buy", 1, "1.9") for _ in range(3))
    world.pump()
    for order, rank in ((moved, 2), (next_to_it, 1)):  # behind the third, the one by the other
        Order.objects.filter(pk=order.pk).update(
            queue_epoch=current_epoch(), queue_offset=2, queue_rank=rank
        )
    book = recover(partition_for("ADA")).engine.book("ADA-USDT")
    assert [order.order_id for order in book.orders()] == [other.pk, next_to_it.pk, moved.pk]
    assert differences() == []


@pytest.mark.parametrize(
    "place",
    [
        {"queue_offset": 5},
        {"queue_epoch": 1, "queue_offset": 5},
        {"queue_epoch": 1, "queue_offset": -1, "queue_rank": 0},
        {"queue_epoch": 0, "queue_offset": 5, "queue_rank": 0},
    ],
)
def test_a_place_in_the_queue_is_whole_and_not_before_the_orders_own(
    exchange_world: World, place: dict[str, int]
) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    with pytest.raises(IntegrityError, match="order_place_in_queue_whole"):
        Order.objects.filter(pk=order.pk).update(**place)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not json", "malformed"),
        (b'{"type":"new","v":2}', "v"),
        (
            b'{"type":"new","v":1,"order_id":999,"user_id":1,"market":"ADA-USDT","side":"buy",'
            b'"order_type":"limit","time_in_force":"gtc","price":"1","quantity":"1","created_at":""}',
            "there is no order 999",
        ),
        (
            b'{"type":"cancel","v":1,"order_id":999,"user_id":1,"market":"XXX-YYY","created_at":""}',
            "there is no market XXX-YYY",
        ),
    ],
)
def test_what_makes_no_sense_goes_to_the_dead_letters_and_the_log_goes_on(
    exchange_world: World, value: bytes, reason: str
) -> None:
    world = exchange_world
    before = world.place(1, "buy", 1, "1.9")
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, partition_for("ADA"), b"ADA", value)])
    publisher.close()
    after = world.place(1, "buy", 2, "1.9")
    world.pump()

    assert status_of(before) == status_of(after) == ("open", "0")
    dead = read_topic(DEAD_ORDER_EVENTS)
    assert [record.value for record in dead] == [value]
    assert balance_of(1, "USDT") == ("994.3", "5.7")
    assert differences() == []


def test_a_filled_order_that_is_published_again_is_not_matched_again(exchange_world: World) -> None:
    """The book does not know it any more, nor does an engine that has just started."""
    world = exchange_world
    world.place(2, "sell", 3, "1.9")
    buy = world.place(1, "buy", 3, "1.9")
    world.pump()
    world.restart_matching()
    outbox.publish_soon(buy)
    outbox.flush()
    world.pump()
    assert status_of(buy) == ("filled", "3")
    assert differences() == []


def test_an_order_filled_in_an_earlier_epoch_is_not_matched_again(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 3, "1.9")
    buy = world.place(1, "buy", 3, "1.9")
    world.pump()
    begin_anew(world)
    outbox.publish_soon(buy)  # now at a lower offset than the one it was filled at
    outbox.flush()
    world.pump()
    assert status_of(buy) == ("filled", "3")
    assert differences() == []


def test_an_earlier_epoch_goes_first_whatever_the_offsets_say(exchange_world: World) -> None:
    world = exchange_world
    for _ in range(2):
        world.place(1, "buy", 1, "1")
    early = world.place(1, "buy", 1, "1.9")
    world.pump()
    begin_anew(world)
    late = world.place(1, "buy", 1, "1.9")
    world.pump()
    world.restart_matching()
    world.place(2, "sell", 1, "1.9")
    world.pump()
    assert (status_of(early)[0], status_of(late)[0]) == ("filled", "open")


def test_results_that_could_not_be_published_do_not_wait_for_the_next_order(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    world.restart_matching()
    order = world.place(1, "buy", 10, "1.9")

    def fail(_: Publisher, records: list[OutgoingRecord]) -> None:
        if records:
            raise LogError("the log is away")

    with monkeypatch.context() as outage:
        outage.setattr(Publisher, "publish", fail)
        with pytest.raises(LogError):
            world.host.match(world.order_events())
    world.host.begin({0, 1, 2, 3})  # the partitions were assigned anew meanwhile
    world.settle()
    assert status_of(order) == ("open", "0")


def begin_anew(world: World) -> None:
    """Lose the log, and go on from Postgres."""
    with Log() as log:
        log.recreate_topics()
    outbox.close()
    world.forget_log()
    world.restart_matching()


def test_what_is_settled_while_the_ends_are_asked_for_is_no_lost_end(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    world.restart_matching()
    true_ends = Log.end_offsets
    asked = 0

    def ends_and_then_a_settlement(log: Log, topic: str) -> dict[int, int]:
        nonlocal asked
        asked += 1
        ends = true_ends(log, topic)
        if asked == 1:
            world.place(1, "buy", 1, "1.9")
            world.pump()
        return ends

    monkeypatch.setattr(Log, "end_offsets", ends_and_then_a_settlement)
    with Log() as log:
        assert ensure_epoch(log) == current_epoch()
    assert LogEpoch.objects.count() == 1
    assert Checkpoint.objects.get(pk=partition_for("ADA")).offset == 0
