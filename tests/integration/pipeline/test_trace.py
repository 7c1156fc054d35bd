"""An order's way: each time is that of the record, the row or the note it was left in, or is null."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_redis import get_redis_connection
from pytest_django import Settings

from balances import cache
from balances.models import LedgerEntry
from exchange.embedded.server import wait_until
from exchange.kafka import ORDER_EVENTS, Log, LogRecord, partition_for
from exchange.records import Execution, decode_trade_event
from orders import outbox, trace
from orders.models import Order
from orders.trace import trace_cancel, trace_order
from tests.api import ApiClient
from tests.support import World, differences, settle_records, trust_cache

MILLISECOND = timedelta(milliseconds=1)
NAMES = ["accepted", "published", "matched", "settled", "cached"]


def way(order: Order) -> dict[str, Any]:
    """Return the time of each stage, or why it has none."""
    order.refresh_from_db()
    stages = trace_order(order)
    assert [stage.stage for stage in stages] == NAMES
    assert all((stage.at is None) != (stage.reason is None) for stage in stages)
    return {stage.stage: stage.at or stage.reason for stage in stages}


def moment(timestamp_ms: int | None) -> datetime:
    assert timestamp_ms is not None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp_ms)


def result_of(world: World, order: Order) -> LogRecord:
    return next(
        record
        for record in world.trade_events()
        if isinstance(event := decode_trade_event(record.value), Execution)
        and event.order_id == order.pk
    )


@pytest.fixture
def bought(exchange_world: World) -> Order:
    """An order that was filled when it came."""
    trust_cache()
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    return order


def test_each_stage_has_the_time_that_was_left_there(
    exchange_world: World, bought: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = way(bought)
    base = partition_for("ADA")
    (published,) = [
        record
        for record in exchange_world.order_events()
        if (record.partition, record.offset) == (base, bought.offset)
    ]
    assert found["accepted"] == bought.created_at
    assert found["published"] == moment(published.timestamp_ms)
    assert found["matched"] == moment(result_of(exchange_world, bought).timestamp_ms)
    entries = LedgerEntry.objects.filter(order=bought, kind="trade")
    assert {found["settled"]} == set(entries.values_list("created_at", flat=True))
    times = [found[name] for name in NAMES]
    assert all(a - MILLISECOND < b for a, b in pairwise(times)), times
    assert times[-1] <= datetime.now(UTC) + MILLISECOND


def test_what_has_not_happened_yet_has_no_time(exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    behind = dict.fromkeys(NAMES[1:], "not_yet")
    assert way(order) == {"accepted": order.created_at, **behind}
    exchange_world.match()
    assert way(order) == {"accepted": order.created_at, **behind}
    exchange_world.settle()
    assert "not_yet" not in way(order).values()


def test_an_order_that_only_rests_moves_no_balance(exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    assert way(order)["cached"] == "nothing_to_cache"


def test_later_fills_change_nothing_of_the_way(exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 2, "1.9")
    exchange_world.pump()
    before = way(order)
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    assert way(order) == before
    exchange_world.cancel(order)
    exchange_world.pump()
    assert way(order) == before
    assert differences() == []


def test_results_that_come_twice_leave_the_first_time(exchange_world: World, bought: Order) -> None:
    before = way(bought)
    settle_records([r._replace(timestamp_ms=1) for r in exchange_world.trade_events()])
    assert way(bought) == before


def test_a_log_that_was_made_anew_is_not_asked(exchange_world: World, bought: Order) -> None:
    before = way(bought)
    with Log() as log:
        log.recreate_topics()
    outbox.close()
    exchange_world.forget_log()
    trace.lookup.close()
    for number in range(3):  # in its place stands another record now
        exchange_world.place(1, "buy", 1, f"0.1{number}")
    assert way(bought) == before | {"published": "log_replaced"}
    exchange_world.pump()
    assert way(bought) == before | {"published": "log_replaced"}


def test_a_record_of_another_order_is_not_taken_for_this_ones(
    exchange_world: World, bought: Order
) -> None:
    Order.objects.filter(pk=bought.pk).update(offset=0)
    assert way(bought)["published"] == "log_replaced"


def test_without_the_log_the_rest_is_known_and_nobody_waits_long(
    exchange_world: World, bought: Order, settings: Settings
) -> None:
    before = way(bought)
    trace.lookup.close()
    settings.KAFKA_BOOTSTRAP_SERVERS = ["127.0.0.1:1"]
    began = time.monotonic()
    assert way(bought) == before | {"published": "log_unreachable"}
    assert time.monotonic() - began < 5
    began = time.monotonic()
    assert way(bought)["published"] == "log_unreachable"
    assert time.monotonic() - began < 0.5, "it is left alone for a while"


def test_a_place_where_nothing_stands_yet_is_not_waited_for_long(
    exchange_world: World, bought: Order
) -> None:
    Order.objects.filter(pk=bought.pk).update(offset=10_000)
    began = time.monotonic()
    assert way(bought)["published"] in {"log_unreachable", "log_replaced"}
    assert time.monotonic() - began < 3


def test_a_note_that_is_gone_is_not_guessed(exchange_world: World, bought: Order) -> None:
    before = way(bought)
    assert isinstance(before["cached"], datetime)
    redis = get_redis_connection("default")
    (note,) = list(redis.scan_iter(f"settled:{before['settled'].isoformat()}"))
    assert 0 < redis.pttl(note) <= cache.NOTE_MS
    redis.delete(note)
    assert way(bought) == before | {"cached": "not_noted"}


def test_a_cache_that_was_not_written_is_not_noted(exchange_world: World) -> None:
    """The mark was gone when the values came: they were thrown away, so nothing was cached."""
    trust_cache()
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.match()
    redis = get_redis_connection("default")
    mark = cache.mark

    def mark_that_is_lost(changed: Any) -> str:
        token = mark(changed)
        redis.hdel("balance:1", f"w:{token}")
        return token

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "mark", mark_that_is_lost)
        exchange_world.settle()
    assert way(order)["cached"] == "not_noted"


def test_an_order_of_an_earlier_version_has_no_times(exchange_world: World, bought: Order) -> None:
    Order.objects.filter(pk=bought.pk).update(matched_at=None, settled_at=None)
    found = way(bought)
    assert [found[name] for name in ("matched", "settled", "cached")] == ["not_recorded"] * 3
    assert isinstance(found["published"], datetime)


def test_a_cancel_has_its_own_way(exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    assert trace_cancel(order) == []
    exchange_world.cancel(order)
    order.refresh_from_db()
    asked = {stage.stage: stage.at or stage.reason for stage in trace_cancel(order)}
    assert asked == {
        "accepted": order.cancel_requested_at, "published": "not_recorded",
        "matched": "not_recorded", "settled": "not_yet", "cached": "not_recorded",
    }  # fmt: skip
    exchange_world.pump()
    order.refresh_from_db()
    assert trace_cancel(order)[3] == ("settled", order.finished_at, None)


def test_a_cancel_that_came_too_late(exchange_world: World) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.cancel(order)
    exchange_world.pump()
    order.refresh_from_db()
    assert order.status == "filled"
    assert trace_cancel(order)[3] == ("settled", None, "finished_first")


def test_many_may_ask_at_once(exchange_world: World, bought: Order) -> None:
    trace.lookup.close()  # a test before this one may have left the log alone for a while
    assert wait_until(lambda: isinstance(way(bought)["published"], datetime), timeout_seconds=20)
    before = way(bought)
    del before["cached"]  # the threads' new connections adopt a Redis that was emptied for the test

    def ask(_: int) -> dict[str, Any]:
        try:
            return way(Order.objects.get(pk=bought.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, range(24)))
    # One at a time asks the log, and the others wait for it a second at most.
    without_log = before | {"published": "log_unreachable"}
    for answer in answers:
        del answer["cached"]
        assert answer in (before, without_log)
    assert before in answers


def test_over_http(exchange_world: World, api: ApiClient) -> None:
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.pump()
    order_id = api.order(quantity=1, client_order_id="mine").json()["id"]
    outbox.flush()
    exchange_world.pump()
    answer = api.get(f"/orders/{order_id}/trace")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["order_id"], body["status"], body["cancel"]) == (order_id, "filled", [])
    order = Order.objects.get(pk=order_id)
    assert [stage["stage"] for stage in body["stages"]] == NAMES
    for stage in body["stages"][:4]:
        assert len(stage["at"]) == len("2026-11-25T18:00:00.000000Z")
        assert stage["at"].endswith("Z")
    assert datetime.fromisoformat(body["stages"][3]["at"]) == order.settled_at
    assert body == api.get("/orders/client:mine/trace?user_id=1").json()


def test_it_takes_no_more_statements_than_it_has_questions(
    exchange_world: World, bought: Order
) -> None:
    bought.refresh_from_db()
    with CaptureQueriesContext(connection) as captured:
        trace_order(bought)
    assert len(captured) == 2


@pytest.mark.parametrize("change", [{"settled_at": datetime(2026, 1, 1, tzinfo=UTC)}])
def test_the_database_refuses_a_settlement_without_a_place(
    exchange_world: World, change: dict[str, Any]
) -> None:
    order = exchange_world.place(1, "buy", 1, "1.9")
    for wrong in (change, {"matched_at": change["settled_at"]}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.filter(pk=order.pk).update(**wrong)


def test_the_log_says_when_a_record_came(exchange_world: World) -> None:
    before = time.time()
    exchange_world.place(1, "buy", 1, "1.9")
    (record,) = exchange_world.order_events()
    assert record.timestamp_ms is not None
    assert before * 1000 - 1 <= record.timestamp_ms <= time.time() * 1000
    found = trace.lookup.find(ORDER_EVENTS, record.partition, record.offset)
    assert found == record
