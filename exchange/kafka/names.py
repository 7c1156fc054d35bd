"""What the log is made of: topics, records, and which partition an asset is on."""

from typing import Any, NamedTuple

from django.conf import settings
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

ORDER_EVENTS = "order-events"
TRADE_EVENTS = "trade-events"
DEAD_ORDER_EVENTS = "order-events.dead"
TOPICS = (ORDER_EVENTS, TRADE_EVENTS, DEAD_ORDER_EVENTS)

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""An order's result is one record: some 700 kB with the most fills that the engine allows."""

MAX_DEAD_BYTES = 1024 * 1024
"""So much of a record is kept as a dead letter. One with all of a record of the largest size, its
reason and its origin would itself be too large, and the worker could never move past it."""
MAX_REASON_BYTES = 1_000

LogError = KafkaError
"""What any call of this package raises when the log is away or refuses."""


class LogRecord(NamedTuple):
    """A record as read: where it stood, its bytes, and when it was handed to the log.

    `timestamp_ms`: since 1970 UTC, by the clock of who wrote it; None where nobody asks for it.
    """

    partition: int
    offset: int
    value: bytes
    timestamp_ms: int | None = None


class OutgoingRecord(NamedTuple):
    """A record to be written to a partition of a topic."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def dead_letter(topic: str, record: LogRecord, reason: str) -> OutgoingRecord:
    """Return `record` of `topic` as it goes to the dead letters: untouched, with its reason.

    Of a very large one only the beginning, and the header `bytes` says how long it is: all of it
    still stands where `origin` says.
    """
    origin = f"{topic}/{record.partition}/{record.offset}".encode()
    headers: tuple[tuple[str, bytes], ...] = (
        ("reason", reason.encode()[:MAX_REASON_BYTES]),
        ("origin", origin),
    )
    value = record.value or b""
    if len(value) > MAX_DEAD_BYTES:
        headers += (("bytes", str(len(value)).encode()),)
    return OutgoingRecord(DEAD_ORDER_EVENTS, 0, origin, value[:MAX_DEAD_BYTES], headers)


def partition_for(base_asset: str) -> int:
    """Return the partition of all markets of `base_asset` (Kafka's own default hash)."""
    partitions: int = settings.KAFKA_PARTITIONS
    return (int(murmur2(base_asset.encode())) & 0x7FFFFFFF) % partitions


def topic_name(topic: str) -> str:
    """Return the name `topic` has on the broker (tests run beside each other by prefix)."""
    return f"{settings.KAFKA_TOPIC_PREFIX}{topic}"


def group_name(group: str) -> str:
    """Return the name the consumer group has on the broker."""
    return f"{settings.KAFKA_TOPIC_PREFIX}{group}"


def partitions_of(topic: str) -> int:
    """Return how many partitions `topic` has: dead letters are few and need one."""
    count: int = 1 if topic == DEAD_ORDER_EVENTS else settings.KAFKA_PARTITIONS
    return count


def connection_settings() -> dict[str, Any]:
    """Return what every client of this package is given."""
    return {
        "bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "request_timeout_ms": 10_000,
        "retry_backoff_ms": 20,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 30_000,
    }
