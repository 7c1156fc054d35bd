"""A consumer waits for the broker, but not without end: its bridge begins a new session then."""

import pytest
from pytest_django import Settings

from exchange.embedded.server import Server
from exchange.kafka import TRADE_EVENTS, GroupConsumer, LogError, Rebalanced
from exchange.kafka import consumer as module
from tests.stopping import stopped
from tests.support import World


def test_where_to_begin_is_not_waited_for_without_end(
    exchange_world: World,
    servers: dict[str, Server],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.KAFKA_STATIC_ASSIGNMENT = True
    monkeypatch.setattr(module, "ANSWER_MS", 1_000)
    broker = servers["KAFKA_BOOTSTRAP_SERVERS"].pid
    consumer = GroupConsumer(topic=TRADE_EVENTS, group="patient")
    with pytest.raises(Rebalanced):
        consumer.poll(0)
    consumer.start_at({0: None})
    with stopped(broker), pytest.raises(LogError):
        consumer.start_at({0: None})
    consumer.close()
