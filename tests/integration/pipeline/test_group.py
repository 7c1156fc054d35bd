"""A worker that the group has left without a part, though nobody has it, begins anew."""

from typing import Any

import pytest
from kafka.coordinator.assignors.range import RangePartitionAssignor
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
