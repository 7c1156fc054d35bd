"""Candles are what the settled trades say, whatever is lost, repeated, killed or begun anew."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

from balances.models import MarketHalt, Trade
from exchange.bridge import Bridge
from exchange.embedded.server import wait_until
from exchange.kafka import Log
from matching.market_data import folding
from matching.market_data.bridge import MarketDataFeed
from matching.market_data.folding import fold, rebuild
from matching.market_data.follower import Follower
from matching.models import Candle, CandleProgress
from matching.tasks import follower as follower_of_process
from tests.integration.market_data.support import (
    ADA,
    BEGIN,
    assert_candles_agree,
    follow,
    move_trades,
    settled_trades,
    stored_candles,
    trade,
)
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World, differences


def begin_feed() -> None:
    MarketDataFeed().begin({0, 1, 2, 3}, lambda: None)


def test_random_trades_are_folded_as_they_are_settled(exchange_world: World) -> None:
    follower = Follower()
    for seed in range(3):
        random_flow(exchange_world, seed=seed, count=40)
        exchange_world.pump()
        assert follow(follower, exchange_world.trade_events()) == 0
        assert_candles_agree()
    assert settled_trades(ADA)
    assert differences() == []


def test_a_result_that_is_not_settled_is_not_shown_and_not_forgotten(
    exchange_world: World,
) -> None:
    follower = Follower()
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.match()

    assert follow(follower, exchange_world.trade_events()) == 1
    assert not Candle.objects.exists()
    exchange_world.settle()
    assert follower.follow() == 0  # no record comes any more

    assert_candles_agree()
    assert stored_candles(ADA)[60]


def test_records_that_come_again_change_nothing(exchange_world: World) -> None:
    trade(exchange_world, 3)
    for _ in range(3):  # each time another process, as after a crash or a rebalance
        follow(Follower(), exchange_world.trade_events())
        assert_candles_agree()


def test_candles_of_different_times_and_a_time_that_steps_back(exchange_world: World) -> None:
    follower = Follower()
    times = [0, 59, 60, 3_600, 3_599, 90_000]
    for number, seconds in enumerate(times, start=1):
        trade(exchange_world, price=f"1.{number}")
        move_trades([number], BEGIN + timedelta(seconds=seconds))
        follow(follower, exchange_world.trade_events())
        assert_candles_agree()
    assert len(stored_candles(ADA)[60]) == 5


def test_what_was_settled_while_nobody_read_is_folded_at_the_start(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "CHUNK", 2)
    trade(exchange_world, 5)
    begin_feed()
    assert_candles_agree()
    assert follower_of_process.awaits == frozenset()


def test_a_lost_log_and_a_new_epoch_leave_the_candles_as_they_are(exchange_world: World) -> None:
    follower = Follower()
    trade(exchange_world, 2)
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.match()
    assert follow(follower, exchange_world.trade_events()) == 1  # never settled in this epoch

    with Log() as log:
        log.recreate_topics()
    exchange_world.forget_log()
    exchange_world.restart_matching()  # the new epoch

    assert follower.follow() == 0, "what was read is of an earlier epoch"
    assert len(settled_trades(ADA)) == 2
    assert_candles_agree()
    trade(exchange_world)
    follow(follower, exchange_world.trade_events())
    assert_candles_agree()


def test_trades_of_a_halted_market_are_not_awaited(exchange_world: World) -> None:
    follower = Follower()
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.match()
    with connection.cursor() as cursor:  # nobody can settle this
        cursor.execute("UPDATE orders_order SET status = 'rejected' WHERE side = 'buy'")
    exchange_world.settle()
    assert MarketHalt.objects.filter(pk=ADA).exists()

    assert follow(follower, exchange_world.trade_events()) == 0
    assert not Candle.objects.exists()


def test_a_lost_redis_costs_nothing(exchange_world: World, settings: Settings) -> None:
    trade(exchange_world, 2)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"}}
    follow(Follower(), exchange_world.trade_events())
    assert_candles_agree()


def test_after_a_restored_backup_candles_and_trades_belong_together(
    exchange_world: World,
) -> None:
    """A backup is of one moment of Postgres: what was folded after it is gone with the trades."""
    follower = Follower()
    tables = (Trade, Candle, CandleProgress)
    trade(exchange_world, 2)
    follow(follower, exchange_world.trade_events())
    backup = {model: list(model._default_manager.all()) for model in tables}
    times = [(row.trade_id, row.executed_at) for row in Trade.objects.all()]
    trade(exchange_world, 2, price="1.5")
    follow(follower, exchange_world.trade_events())

    for model in tables:
        model._default_manager.all().delete()
        model._default_manager.bulk_create(backup[model])  # type: ignore[arg-type]
    for restored in times:
        move_trades([restored[0]], restored[1])
    begin_feed()
    assert_candles_agree()
    Trade.objects.create(**later_trade(backup[Trade][0]))  # the same number, another trade
    begin_feed()
    assert_candles_agree()


def later_trade(known: Any) -> dict[str, Any]:
    fields = {
        name: getattr(known, name)
        for name in (
            "market_id", "quantity", "taker_side", "buy_order_id", "sell_order_id", "buyer_id",
            "seller_id",
        )
    }  # fmt: skip
    return fields | {"trade_id": known.trade_id + 1, "price": Decimal("1.7")}


@pytest.mark.parametrize("at", ["_merge", "_move"])
def test_a_crash_between_two_statements_leaves_nothing_by_half(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    follower = Follower()
    trade(exchange_world, 2)

    def die(*_: Any) -> None:
        raise DatabaseError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(folding, at, die)
        with pytest.raises(DatabaseError):
            follow(follower, exchange_world.trade_events())
    assert not Candle.objects.exists()
    assert follower.follow() == 0
    assert_candles_agree()


def test_two_workers_fold_each_trade_once(exchange_world: World) -> None:
    trade(exchange_world, 10)
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        fold({ADA})
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fold({ADA})
    assert_candles_agree()


def test_a_market_that_somebody_folds_is_left_to_them_and_looked_at_again(
    exchange_world: World,
) -> None:
    follower = Follower()
    trade(exchange_world)
    fold({ADA})
    trade(exchange_world)
    may_end, locked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            CandleProgress.objects.select_for_update().get(pk=ADA)
            locked.set()
            assert may_end.wait(10)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    assert follow(follower, exchange_world.trade_events()) == 1
    may_end.set()
    holder.join()
    assert follower.follow() == 0
    assert_candles_agree()


def test_the_command_makes_damaged_candles_anew(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade(exchange_world, 5)
    fold({ADA})
    Candle.objects.filter(seconds=300).delete()
    Candle.objects.filter(seconds=60).update(volume=7)
    with pytest.raises(AssertionError):
        assert_candles_agree()

    monkeypatch.setattr(folding, "CHUNK", 2)
    call_command("rebuild_market_data")

    assert_candles_agree()
    assert rebuild(ADA) == 5
    assert_candles_agree()


def test_the_command_refuses_what_it_does_not_know(exchange_world: World) -> None:
    with pytest.raises(CommandError, match="NO-SUCH"):
        call_command("rebuild_market_data", "--market", "NO-SUCH")


def test_the_bridge_keeps_the_candles_up_to_date(exchange_world: World, settings: Settings) -> None:
    """Not with the records alone: the settlement comes after the bridge has read them."""
    settings.KAFKA_STATIC_ASSIGNMENT = True
    bridge = Bridge("market-data")
    bridge.start()
    try:
        exchange_world.place(1, "buy", 1, "1.9")
        exchange_world.place(2, "sell", 1, "1.9")
        exchange_world.match()
        assert wait_until(lambda: ADA in follower_of_process.awaits, timeout_seconds=30)
        exchange_world.settle()
        assert wait_until(Candle.objects.exists, timeout_seconds=30)
    finally:
        bridge.stop()
    assert_candles_agree()


def test_a_fold_is_a_handful_of_statements(
    exchange_world: World, django_assert_max_num_queries: Any
) -> None:
    follower = Follower()
    trade(exchange_world)
    follow(follower, exchange_world.trade_events())
    trade(exchange_world, 10)
    follower.note(exchange_world.trade_events())
    with django_assert_max_num_queries(7):  # begin and end included
        follower.follow()
    with django_assert_max_num_queries(0):
        follower.follow()
