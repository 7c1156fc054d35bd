"""What the processes count is what happened, and what the stores say comes with it."""

from collections.abc import Callable

import pytest
from celery.schedules import schedule
from django.core.management import CommandError, call_command
from django.db import connection
from prometheus_client import REGISTRY, CollectorRegistry
from pytest_django import Settings

from balances.audit.last import note_audit
from balances.selectors import get_balances
from exchange.beat import BoundedScheduler
from exchange.bridge import Bridge
from exchange.bridge_status import bridge_reports
from exchange.celery import app
from exchange.embedded.server import wait_until
from exchange.metrics.state import ExchangeState
from matching.market_data.folding import fold
from orders.errors import MarketHaltedError
from orders.models import Market
from tests.support import World, trust_cache


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def growth(name: str, **labels: str) -> Callable[[], float]:
    """Return a function that says by how much the metric has grown since this call."""
    before = value(name, **labels)
    return lambda: value(name, **labels) - before


def state() -> dict[tuple[str, ...], float]:
    """What the stores say now: by name and labels."""
    registry = CollectorRegistry()
    registry.register(ExchangeState())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_orders_are_counted_by_what_became_of_them(exchange_world: World) -> None:
    accepted = growth("exchange_orders_total", result="accepted")
    known = growth("exchange_orders_total", result="known")
    halted = growth("exchange_orders_total", result="market_halted")

    for _ in range(2):
        exchange_world.place(1, "buy", 1, "1.9", client_order_id="once")
    Market.objects.filter(pk="ADA-USDT").update(state="halted")
    with pytest.raises(MarketHaltedError):
        exchange_world.place(1, "buy", 1, "1.9")

    assert (accepted(), known(), halted()) == (1, 1, 1)


def test_an_order_that_finds_no_database_is_counted_and_still_raises(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = growth("exchange_orders_total", result="failed")
    monkeypatch.setattr("orders.rules._check_amounts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exchange_world.place(1, "buy", 1, "1.9")
    assert failed() == 1


def test_results_and_trades_are_counted_once_they_are_settled(exchange_world: World) -> None:
    trades = growth("exchange_trades_settled_total")
    filled = growth("exchange_results_settled_total", status="filled")
    rests = growth("exchange_results_settled_total", status="open")

    exchange_world.place(1, "buy", 2, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.match()
    assert trades() == 0
    exchange_world.settle()
    exchange_world.settled_up_to.clear()
    exchange_world.settle()  # the same results once more

    assert (trades(), filled(), rests()) == (1, 1, 1)


def test_balance_reads_are_counted_by_what_the_cache_said(exchange_world: World) -> None:
    trust_cache()
    hits = growth("exchange_balance_reads_total", answer="hit")
    misses = growth("exchange_balance_reads_total", answer="miss")
    for _ in range(3):
        get_balances(user_id=1)
    assert (hits(), misses()) == (2, 1)


def test_a_bridge_counts_its_batches_and_shows_its_lag(
    exchange_world: World, settings: Settings
) -> None:
    settings.KAFKA_STATIC_ASSIGNMENT = True
    records = growth("exchange_batch_records_sum", bridge="matching")
    batches = growth("exchange_batch_seconds_count", bridge="matching")
    exchange_world.place(1, "buy", 1, "1.9")
    bridge = Bridge("matching")
    bridge.start()
    try:
        assert wait_until(lambda: batches() > 0, timeout_seconds=30)
        assert wait_until(
            lambda: any(report.lag for report in bridge_reports()), timeout_seconds=30
        )
    finally:
        bridge.stop()
    assert records() == 1
    shown = {
        sample.labels["partition"]
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "exchange_lag_records" and sample.labels["bridge"] == "matching"
    }
    assert shown <= {"0", "1", "2", "3"}
    assert shown


def test_beat_counts_what_it_sends(exchange_world: World) -> None:
    scheduler = BoundedScheduler(app=app, lazy=True)
    entry = scheduler.Entry(name="x", task="balances.watch", schedule=schedule(1.0), app=app)
    sent = growth("exchange_beat_tasks_total", task="balances.watch", result="sent")
    scheduler.apply_entry(entry)
    assert sent() == 1


def test_the_state_says_what_waits_and_what_is_halted(exchange_world: World) -> None:
    exchange_world.place(1, "buy", 1, "1.9")
    Market.objects.filter(pk="ADA-BTC").update(state="halted")
    found = state()
    assert found["exchange_orders_pending",] == 1
    assert found["exchange_orders_pending_limit",] == 100_000
    assert found["exchange_candles_behind_trades",] == 0
    assert found["exchange_halted", "market"] == 1
    assert found["exchange_halted", "settlement_of_market"] == 0
    assert found["exchange_state_known", "postgres"] == 1


def test_the_state_says_how_far_the_candles_are_behind(exchange_world: World) -> None:
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    assert state()["exchange_candles_behind_trades",] == 1
    fold({"ADA-USDT"})
    assert state()["exchange_candles_behind_trades",] == 0


def test_the_state_has_the_last_whole_audit(exchange_world: World) -> None:
    assert state()["exchange_audit_timestamp_seconds",] == 0
    trust_cache()
    call_command("audit", "--check", "overdraft")
    assert state()["exchange_audit_timestamp_seconds",] == 0, "that was not a whole one"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_balance SET available = available + 1 WHERE user_id = 1")
    with pytest.raises(CommandError):
        call_command("audit", "--json")
    found = state()
    assert found["exchange_audit_timestamp_seconds",] > 1e9
    assert found["exchange_audit_differences",] > 0
    assert found["exchange_audit_unchecked",] == 0


def test_without_the_stores_the_state_says_that_it_is_not_known(
    exchange_world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    note_audit([])  # raises nothing: an audit does not fail for it
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", "1")
        found = state()
    assert found == {
        ("exchange_state_known", "postgres"): 0, ("exchange_state_known", "redis"): 0,
    }  # fmt: skip
