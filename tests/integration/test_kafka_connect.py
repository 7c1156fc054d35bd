"""A log that is away costs no threads, however often it is asked for."""

import threading
from collections.abc import Callable

import pytest
from pytest_django import Settings

from exchange.embedded.ports import free_port
from exchange.kafka import ORDER_EVENTS, Log, LogError, OutgoingRecord, Publisher, TopicScan
from exchange.kafka.consumer import GroupConsumer
from exchange.kafka.reader import TopicReader

TIMES = 3


def publish() -> None:
    Publisher().publish([OutgoingRecord(ORDER_EVENTS, 0, b"0", b"{}")])


@pytest.mark.parametrize(
    "ask",
    [
        Log,
        publish,
        lambda: TopicReader(ORDER_EVENTS),
        lambda: TopicScan(ORDER_EVENTS),
        lambda: GroupConsumer(topic=ORDER_EVENTS, group="nobody"),
    ],
    ids=["admin", "publisher", "reader", "scan", "consumer"],
)
def test_nothing_is_left_of_a_client_that_finds_no_broker(
    settings: Settings,
    ask: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = [f"127.0.0.1:{free_port()}"]
    monkeypatch.setattr("exchange.kafka.connect.BOOTSTRAP_MS", 300)
    threads = set(threading.enumerate())
    for _ in range(TIMES):
        with pytest.raises(LogError):
            ask()
    assert set(threading.enumerate()) <= threads
