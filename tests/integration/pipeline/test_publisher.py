"""The publisher against a broker that goes away and comes back."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from exchange.embedded.server import wait_until
from exchange.embedded.tansu import Tansu
from exchange.kafka import ORDER_EVENTS, Log, OutgoingRecord, Publisher, read_topic

DELIVERY_SECONDS = 10.0
"""The shortest that the client allows."""


@pytest.fixture
def broker(tmp_path: Path, settings: Settings) -> Iterator[Tansu]:
    """A broker of our own, with the topics."""
    with Tansu(tmp_path / "tansu") as running:
        settings.KAFKA_BOOTSTRAP_SERVERS = [running.address]
        with Log() as log:
            log.create_topics()
        yield running


def record(value: bytes) -> OutgoingRecord:
    return OutgoingRecord(ORDER_EVENTS, 0, b"ADA", value)


def test_a_client_whose_record_has_expired_is_replaced(broker: Tansu) -> None:
    publisher = Publisher(delivery_timeout_ms=int(DELIVERY_SECONDS * 1000))
    failed = threading.Event()
    publisher.publish([record(b"before")])
    broker.kill()
    publisher.publish_soon(record(b"expires"), lambda _: failed.set())
    assert failed.wait(DELIVERY_SECONDS + 10)

    broker.start()
    broker.wait_ready()
    with Log() as log:
        log.create_topics()
    errors: list[BaseException] = []

    def arrives() -> bool:
        publisher.publish_soon(record(b"after"), errors.append)
        publisher.flush()
        return [found.value for found in read_topic(ORDER_EVENTS)][:1] == [b"after"]

    try:
        assert wait_until(arrives, timeout_seconds=20), errors
    finally:
        publisher.close()
