"""The log: topics, producers, consumers. The only module that imports the Kafka client.

It knows addresses, settings and bytes; what a record means is the business of its callers. Every
setting that a promise depends on is given explicitly, because some combinations turn idempotence
off in silence.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as _TopicPartition
from kafka.admin import NewTopic
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from kafka.partitioner.default import murmur2

logger = logging.getLogger(__name__)

ORDER_EVENTS = "order-events"
TRADE_EVENTS = "trade-events"
DEAD_ORDER_EVENTS = "order-events.dead"
TOPICS = (ORDER_EVENTS, TRADE_EVENTS, DEAD_ORDER_EVENTS)

CLOSE_SECONDS = 5.0
MAX_RECORD_BYTES = 16 * 1024 * 1024
"""An order's result is one record: room for one that trades with a hundred thousand others."""

LogError = KafkaError
"""What any call of this module raises when the log is away or refuses."""


class LogRecord(NamedTuple):
    """A record as read: where it stood, and its bytes."""

    partition: int
    offset: int
    value: bytes


class OutgoingRecord(NamedTuple):
    """A record to be written to a partition of a topic."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class LogIdentity:
    """Which incarnation of the log this is: a topic made anew has another id."""

    order_topic_id: str
    trade_topic_id: str


class TopicsMissingError(KafkaError):  # type: ignore[misc]
    """The topics do not exist; `manage.py create_topics` makes them."""


def partition_for(base_asset: str) -> int:
    """Return the partition of all markets of `base_asset` (Kafka's own default hash)."""
    partitions: int = settings.KAFKA_PARTITIONS
    return (int(murmur2(base_asset.encode())) & 0x7FFFFFFF) % partitions


def topic_name(topic: str) -> str:
    """Return the name `topic` has on the broker (tests run beside each other by prefix)."""
    return f"{settings.KAFKA_TOPIC_PREFIX}{topic}"


def _connection() -> dict[str, Any]:
    return {
        "bootstrap_servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "bootstrap_timeout_ms": 3_000,
        "request_timeout_ms": 10_000,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 30_000,
        "metrics_enabled": False,
    }


def reachable() -> None:
    """Make sure that a broker takes connections, within a second; cheap enough for health checks.

    Raises:
        OSError: none of them does.
    """
    failure: OSError | None = None
    for server in settings.KAFKA_BOOTSTRAP_SERVERS:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError as error:
            failure = error
        else:
            return
    raise failure or OSError("KAFKA_BOOTSTRAP_SERVERS names no server")


class Log:
    """Questions about the log as a whole, over one admin connection. Use as a context manager."""

    def __init__(self) -> None:
        self._admin = KafkaAdminClient(
            **{k: v for k, v in _connection().items() if k != "metrics_enabled"}
        )

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._admin.close()

    def identity(self) -> LogIdentity:
        """Return the ids of both topics.

        Raises:
            TopicsMissingError: a topic does not exist, or has another number of partitions than
                `KAFKA_PARTITIONS` says: assets would be looked for in the wrong partition.
        """
        found = {
            topic["name"]: topic
            for topic in self._admin.describe_topics(
                [topic_name(ORDER_EVENTS), topic_name(TRADE_EVENTS)]
            )
        }
        ids = []
        for name in (topic_name(ORDER_EVENTS), topic_name(TRADE_EVENTS)):
            topic = found.get(name)
            if topic is None or topic["error_code"] or not topic["topic_id"]:
                raise TopicsMissingError(
                    f"Topic {name} does not exist: run manage.py create_topics"
                )
            if len(topic["partitions"]) != settings.KAFKA_PARTITIONS:
                raise TopicsMissingError(
                    f"Topic {name} has {len(topic['partitions'])} partitions, but "
                    f"KAFKA_PARTITIONS is {settings.KAFKA_PARTITIONS}: set it to the topic's number"
                )
            ids.append(str(topic["topic_id"]))
        return LogIdentity(*ids)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return, per partition, the offset that the next record will get."""
        return self._offsets(topic, "latest")

    def start_offsets(self, topic: str) -> dict[int, int]:
        """Return, per partition, the offset of the oldest record that is still there."""
        return self._offsets(topic, "earliest")

    def _offsets(self, topic: str, which: str) -> dict[int, int]:
        partitions = [
            _TopicPartition(topic_name(topic), number)
            for number in range(settings.KAFKA_PARTITIONS)
        ]
        with _bare_consumer() as consumer:
            found: Mapping[Any, int] = (
                _ends(consumer, partitions)
                if which == "latest"
                else consumer.beginning_offsets(partitions, timeout_ms=5_000)
            )
        return {partition.partition: offset for partition, offset in found.items()}

    def create_topics(self) -> list[str]:
        """Create what is missing and return its names. Nothing is ever deleted by age or size."""
        created = []
        for topic in TOPICS:
            partitions = 1 if topic == DEAD_ORDER_EVENTS else settings.KAFKA_PARTITIONS
            new = NewTopic(
                topic_name(topic),
                partitions,
                settings.KAFKA_REPLICATION_FACTOR,
                topic_configs={
                    "retention.ms": "-1",
                    "retention.bytes": "-1",
                    "max.message.bytes": str(MAX_RECORD_BYTES),
                },
            )
            try:
                self._admin.create_topics([new], timeout_ms=10_000)
            except TopicAlreadyExistsError:
                continue
            created.append(topic)
        self._admin.wait_for_topics([topic_name(topic) for topic in TOPICS])
        return created

    def delete_topics(self) -> None:
        """Delete all topics with everything in them."""
        existing = set(self._admin.list_topics())
        doomed = [topic_name(topic) for topic in TOPICS if topic_name(topic) in existing]
        if doomed:
            self._admin.delete_topics(doomed, timeout_ms=10_000)

    def recreate_topics(self) -> None:
        """Delete all topics with everything in them, and make them anew.

        Tried until it holds: the deletion may take effect late, and on the embedded broker a
        client that still asks for a topic makes it again by asking, with one partition.

        Raises:
            KafkaError: it does not hold after 20 s.
        """
        deadline = time.monotonic() + 20
        while True:
            try:
                self.delete_topics()
                self.create_topics()
                self.identity()
            except (TopicsMissingError, UnknownTopicOrPartitionError):
                if time.monotonic() > deadline:
                    raise
            else:
                return


class _bare_consumer:  # noqa: N801 - reads like the function it stands for
    """A consumer outside every group, to ask about offsets or read from a place of our choice."""

    def __enter__(self) -> Any:
        self._consumer = KafkaConsumer(
            **_connection(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=settings.KAFKA_FETCH_MAX_WAIT_MS,
        )
        return self._consumer

    def __exit__(self, *_: object) -> None:
        self._consumer.close(autocommit=False)


def _ends(consumer: Any, partitions: Sequence[Any]) -> dict[Any, int]:
    """Return the partitions' high watermarks, by way of a fetch.

    Not what `end_offsets` says: the embedded broker answers that with the beginning of the last
    batch, while the watermark in its fetch responses is right. Apache Kafka means the same by both.

    Raises:
        KafkaTimeoutError: no answer within five seconds.
    """
    consumer.assign(partitions)
    for partition, offset in consumer.end_offsets(partitions, timeout_ms=5_000).items():
        consumer.seek(partition, offset)
    deadline = time.monotonic() + 5
    while True:
        consumer.poll(timeout_ms=20)
        ends = {partition: consumer.highwater(partition) for partition in partitions}
        if None not in ends.values():
            return ends
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"no watermark from {partitions} within 5 s")


def read_topic(topic: str) -> list[LogRecord]:
    """Return every record that `topic` holds now, by partition and offset. For small topics."""
    count = 1 if topic == DEAD_ORDER_EVENTS else settings.KAFKA_PARTITIONS
    partitions = [_TopicPartition(topic_name(topic), number) for number in range(count)]
    found: list[LogRecord] = []
    with _bare_consumer() as consumer:
        ends = _ends(consumer, partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                found += [LogRecord(r.partition, r.offset, r.value) for r in records]
    return sorted(found, key=lambda record: (record.partition, record.offset))


class Publisher:
    """Writes records, in the order given, each acknowledged by all replicas before success.

    One request in flight and a fresh client after every failure: so what is on the log is always
    a run of the records given, in order, with at most repetitions from the first unacknowledged
    one on, and never a gap.
    """

    def __init__(self, *, delivery_timeout_ms: int = 15_000, linger_ms: int = 0) -> None:
        self._delivery_timeout_ms = delivery_timeout_ms
        self._linger_ms = linger_ms
        self._client: Any = None
        self._lock = threading.Lock()

    def publish(self, records: Sequence[OutgoingRecord]) -> None:
        """Write `records` and wait until every one is acknowledged.

        Raises:
            LogError: one was not; some before it may have been. Publish the same again.
        """
        if not records:
            return
        try:
            client = self._connected()
            futures = [self._send(client, record) for record in records]
            client.flush(timeout=self._delivery_timeout_ms / 1000 + 5)
            for future in futures:
                future.get(timeout=0.001)
        except KafkaError:
            self.close()
            raise

    def publish_soon(
        self, record: OutgoingRecord, on_error: Callable[[BaseException], None]
    ) -> None:
        """Hand `record` to the client and return; `on_error` is called if it does not arrive.

        Raises:
            LogError: it could not even be handed over.
        """
        self._send(self._connected(), record).add_errback(on_error)

    def flush(self) -> None:
        """Wait until everything handed over with `publish_soon` has arrived or failed."""
        with self._lock:
            client = self._client
        if client is not None:
            client.flush(timeout=self._delivery_timeout_ms / 1000 + 5)

    def close(self) -> None:
        """Drop the client with what it still holds; the next call makes a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            # Its own close() waits for what it still has to send, and lives on if that takes too
            # long. Here those records are given up, so that nothing of it can be written beside
            # what the next client writes; whoever had them sent is told, and sends them again.
            client._sender.force_close()
            client._sender.join(CLOSE_SECONDS)
            client.close(timeout=0)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = KafkaProducer(
                    **_connection(),
                    acks="all",
                    enable_idempotence=True,
                    max_in_flight_requests_per_connection=1,
                    delivery_timeout_ms=self._delivery_timeout_ms,
                    max_block_ms=2_000,
                    max_request_size=MAX_RECORD_BYTES,
                    linger_ms=self._linger_ms,
                    allow_auto_create_topics=False,
                )
            return self._client

    @staticmethod
    def _send(client: Any, record: OutgoingRecord) -> Any:
        return client.send(
            topic_name(record.topic),
            key=record.key,
            value=record.value,
            partition=record.partition,
            headers=list(record.headers),
        )


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers what a rebalance did. Runs on the client's I/O loop, so it must do nothing else."""

    def __init__(self) -> None:
        self.generation = 0

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:  # noqa: ARG002
        self.generation += 1

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:  # noqa: ARG002
        self.generation += 1

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:  # noqa: ARG002
        self.generation += 1


class GroupConsumer:
    """Reads one topic as a member of a consumer group. Not thread-safe: one thread owns it.

    With `KAFKA_STATIC_ASSIGNMENT` it takes all partitions at once instead of joining: two such
    workers do everything twice, which does no harm.

    After a rebalance `poll` raises `Rebalanced` once; the owner then says with `start_at` where
    each partition begins. Nothing is read from a partition before that.
    """

    def __init__(self, *, topic: str, group: str) -> None:
        self._topic = topic_name(topic)
        self._rebalances = _Rebalances()
        self._seen_generation = 0
        self._consumer = KafkaConsumer(
            **_connection(),
            group_id=f"{settings.KAFKA_TOPIC_PREFIX}{group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            session_timeout_ms=settings.KAFKA_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=settings.KAFKA_SESSION_TIMEOUT_MS // 4,
            max_poll_interval_ms=1_800_000,  # a recovery of millions of orders is one long step
            max_poll_records=settings.KAFKA_MAX_BATCH,
            fetch_max_wait_ms=settings.KAFKA_FETCH_MAX_WAIT_MS,
        )
        if settings.KAFKA_STATIC_ASSIGNMENT:
            self._consumer.assign(
                [_TopicPartition(self._topic, n) for n in range(settings.KAFKA_PARTITIONS)]
            )
            self._rebalances.on_partitions_assigned(self._consumer.assignment())
        else:
            self._consumer.subscribe([self._topic], listener=self._rebalances)

    def assignment(self) -> set[int]:
        return {partition.partition for partition in self._consumer.assignment()}

    @property
    def is_rebalanced(self) -> bool:
        """Whether the next `poll` will raise `Rebalanced`."""
        return self._rebalances.generation != self._seen_generation

    def poll(self, timeout_ms: int) -> list[LogRecord]:
        """Return the next records of all partitions, each partition's in order.

        Raises:
            Rebalanced: partitions came or went; what had been fetched is dropped and will be
                read again from where `start_at` says.
        """
        found = self._consumer.poll(timeout_ms=timeout_ms)
        generation = self._rebalances.generation
        if generation != self._seen_generation:
            self._seen_generation = generation
            raise Rebalanced
        return [
            LogRecord(record.partition, record.offset, record.value)
            for records in found.values()
            for record in records
        ]

    def start_at(self, offsets: Mapping[int, int | None]) -> None:
        """Read each partition from its offset; None: from where the group had committed."""
        for number, offset in offsets.items():
            partition = _TopicPartition(self._topic, number)
            begin = (self._consumer.committed(partition) or 0) if offset is None else offset
            self._consumer.seek(partition, begin)

    def positions(self) -> dict[int, int]:
        """Return, per assigned partition, the offset of the next record to be read."""
        return {
            partition.partition: self._consumer.position(partition)
            for partition in self._consumer.assignment()
        }

    def end_offsets(self) -> dict[int, int]:
        """Return, per assigned partition, where it ended when it was last fetched from."""
        ends = {p.partition: self._consumer.highwater(p) for p in self._consumer.assignment()}
        return {number: end for number, end in ends.items() if end is not None}

    def commit(self) -> None:
        """Remember the present positions in the group. A convenience: the checkpoint decides."""
        self._consumer.commit_async()

    def keep_alive(self) -> None:
        """Stay in the group without reading: for the time of a retry."""
        self._consumer.pause(*self._consumer.assignment())
        try:
            self._consumer.poll(timeout_ms=0)
        finally:
            self._consumer.resume(*self._consumer.paused())

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=3_000)


class Rebalanced(Exception):  # noqa: N818 - not an error: a thing that happened
    """The group has given this consumer other partitions."""
