"""A worker that the group has left without a part, though nobody has it, begins anew."""

from typing import Any

import pytest
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.heartbeat import Heartbeat
from pytest_django import Settings

from exchange.bridge import Bridge
from exchange.bridge_status import bridge_reports
from exchange.embedded.server import wait_until
from exchange.kafka import TRADE_EVENTS, GroupConsumer, Log, Rebalanced
from tests.support import World


@pytest.fixture(autouse=True)
def groups(kafka_choice: str, settings: Settings) -> None:
    if kafka_choice == "embedded":
        pytest.skip("the embedded broker is used without groups")
    settings.KAFKA_STATIC_ASSIGNMENT = False


def reading(name: str) -> tuple[int, ...]:
    return next((report.partitions for report in bridge_reports() if report.bridge == name), ())


def joined(consumer: GroupConsumer) -> bool:
    try:
        consumer.poll(100)
    except Rebalanced:
        return bool(consumer.assignment())
    return False


def test_partitions_that_nobody_has_are_known(exchange_world: World) -> None:
    with Log() as log:
        consumer = GroupConsumer(topic=TRADE_EVENTS, group="alone")
        try:
            assert wait_until(lambda: joined(consumer), timeout_seconds=30)
            assert log.orphans("alone", TRADE_EVENTS) == set()
        finally:
            consumer.close()
        assert log.orphans("alone", TRADE_EVENTS) == {0, 1, 2, 3}


def test_a_worker_left_without_partitions_begins_anew(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen when a broker came back: the client that leads the group knew no partition yet."""
    given = RangePartitionAssignor.assign
    clients: list[Any] = []

    def the_first_knows_none(cls: type, cluster: Any, members: Any) -> Any:
        found = given(cluster, members)
        clients.append(cluster)
        if cluster is clients[0]:
            for assignment in found.values():
                assignment.assigned_partitions.clear()
        return found

    monkeypatch.setattr(RangePartitionAssignor, "assign", classmethod(the_first_knows_none))
    bridge = Bridge("trades")
    bridge.start()
    try:
        assert wait_until(lambda: reading("trades") == (0, 1, 2, 3), timeout_seconds=60)
    finally:
        bridge.stop()
    assert clients[-1] is not clients[0]


def test_a_member_that_never_comes_back_is_not_waited_for_long(
    exchange_world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen when a broker came back: it waited for a membership that nobody held any more."""
    settings.KAFKA_MAX_POLL_INTERVAL_MS = 8_000
    monkeypatch.setattr(Heartbeat, "poll_timeout_expired", lambda _: False)
    gone = GroupConsumer(topic=TRADE_EVENTS, group="trades")
    bridge = Bridge("trades")
    try:
        assert wait_until(lambda: joined(gone), timeout_seconds=30)
        bridge.start()  # `gone` goes on with its heartbeats, and never joins again
        assert wait_until(lambda: reading("trades") == (0, 1, 2, 3), timeout_seconds=40)
    finally:
        bridge.stop()
        gone.close()
