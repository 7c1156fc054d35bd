"""A worker reads on however long the embedded broker takes to find its place on a long log."""

import pytest
from pytest_django import Settings

from exchange.kafka import ORDER_EVENTS, GroupConsumer, OutgoingRecord, Publisher, Rebalanced
from exchange.kafka import consumer as module
from tests.support import World

RECORDS = 5_000
"""Each in a batch of its own: the broker then needs some milliseconds to find the last ones."""
LAST = 10


def test_a_long_log_is_read_to_its_end(
    exchange_world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KAFKA_STATIC_ASSIGNMENT = True
    publisher = Publisher()
    for number in range(RECORDS):
        publisher.publish([OutgoingRecord(ORDER_EVENTS, 0, b"0", b"%d" % number * 50)])
    publisher.close()

    monkeypatch.setattr(module, "FIRST_WAIT_MS", 1)
    consumer = GroupConsumer(topic=ORDER_EVENTS, group="long-log")
    try:
        with pytest.raises(Rebalanced):
            consumer.poll(0)
        consumer.start_at({0: RECORDS - LAST})
        found = []
        for _ in range(40):
            found += consumer.poll(250)
            if len(found) == LAST:
                break
    finally:
        consumer.close()
    assert [record.offset for record in found] == list(range(RECORDS - LAST, RECORDS))
