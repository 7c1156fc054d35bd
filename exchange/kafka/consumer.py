"""Reading a topic as a worker does."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from django.conf import settings
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from exchange.kafka.connect import connect
from exchange.kafka.names import LogRecord, group_name, topic_name

logger = structlog.get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.025
"""Seconds between two looks at a broker that wakes no waiting fetch."""
LOOK_MS = 2
"""How long such a look waits for its own answer. Without that it would find what the last one asked
for, and each record would wait for two pauses."""
FIRST_WAIT_MS, LONGEST_WAIT_MS = 5, 5_000
"""How long such a broker may take for a fetch. It answers with nothing when it has not found the
place by then, and the more is on the log the longer it looks: so the wait grows when needed."""
ANSWER_MS = 5_000
"""The longest wait for an answer about offsets. Without a limit a member that the group has thrown
out meanwhile asks for ever, and never joins again."""


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
        self._pause = SHORTEST_PAUSE
        self._next: dict[int, int] = {}
        """Per partition, the offset that is to be read next, as far as known."""
        self._consumer = connect(
            KafkaConsumer,
            group_id=group_name(group),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            session_timeout_ms=settings.KAFKA_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=settings.KAFKA_SESSION_TIMEOUT_MS // 4,
            max_poll_interval_ms=settings.KAFKA_MAX_POLL_INTERVAL_MS,
            max_poll_records=settings.KAFKA_MAX_BATCH,
            fetch_max_wait_ms=FIRST_WAIT_MS
            if settings.KAFKA_STATIC_ASSIGNMENT
            else settings.KAFKA_FETCH_MAX_WAIT_MS,
        )
        if settings.KAFKA_STATIC_ASSIGNMENT:
            self._consumer.assign(
                [TopicPartition(self._topic, n) for n in range(settings.KAFKA_PARTITIONS)]
            )
            self._rebalances.on_partitions_assigned(self._consumer.assignment())
        else:
            self._consumer.subscribe([self._topic], listener=self._rebalances)

    def assignment(self) -> set[int]:
        return {partition.partition for partition in self._consumer.assignment()}

    def is_rebalanced(self) -> bool:
        """Whether the next `poll` will raise `Rebalanced`."""
        return self._rebalances.generation != self._seen_generation

    def poll(self, timeout_ms: int) -> list[LogRecord]:
        """Return the next records of all partitions, each partition's in order.

        Raises:
            Rebalanced: partitions came or went; what had been fetched is dropped and will be
                read again from where `start_at` says.
        """
        found = self._poll(timeout_ms)
        generation = self._rebalances.generation
        if generation != self._seen_generation:
            self._seen_generation = generation
            raise Rebalanced
        return [
            LogRecord(record.partition, record.offset, record.value, record.timestamp)
            for records in found.values()
            for record in records
        ]

    def _poll(self, timeout_ms: int) -> Any:
        """Return what there is, or wait for it.

        A broker without groups is one that lets a fetch wait for its whole time, whatever comes
        meanwhile. So the wait is short; then the client would ask again without a pause, and take
        a quarter of a processor doing nothing. The pause here grows while nothing comes: under load
        it adds a millisecond, and after a rest 25.
        """
        if not settings.KAFKA_STATIC_ASSIGNMENT:
            return self._consumer.poll(timeout_ms=timeout_ms)
        deadline = time.monotonic() + timeout_ms / 1000
        while not (found := self._consumer.poll(timeout_ms=LOOK_MS)):
            if time.monotonic() >= deadline or self.is_rebalanced():
                self._wait_longer_if_behind()
                return found
            time.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._pause = SHORTEST_PAUSE
        self._next |= {p.partition: records[-1].offset + 1 for p, records in found.items()}
        return found

    def _wait_longer_if_behind(self) -> None:
        """Give the broker more time for a fetch, if nothing came although there is something."""
        ends = self.end_offsets()
        if any(number in ends and ends[number] > at for number, at in self._next.items()):
            # The client has no public way to change this without a new connection.
            config = self._consumer._fetcher.config
            config["fetch_max_wait_ms"] = min(4 * config["fetch_max_wait_ms"], LONGEST_WAIT_MS)
            logger.info("fetch_waits_longer", milliseconds=config["fetch_max_wait_ms"])

    def start_at(self, offsets: Mapping[int, int | None]) -> None:
        """Read each partition from its offset; None: from where the group had committed.

        Raises:
            LogError: nobody says in time where that is.
        """
        for number, offset in offsets.items():
            partition = TopicPartition(self._topic, number)
            begin = self._committed(partition) if offset is None else offset
            self._consumer.seek(partition, begin)
            self._next[number] = begin

    def _committed(self, partition: Any) -> int:
        return self._consumer.committed(partition, timeout_ms=ANSWER_MS) or 0

    def positions(self) -> dict[int, int]:
        """Return, per assigned partition, the offset of the next record to be read.

        Raises:
            LogError: the client has lost it, and does not find it in time.
        """
        found = {}
        for partition in self._consumer.assignment():
            position = self._consumer.position(partition, timeout_ms=ANSWER_MS)
            if position is None and not self.is_rebalanced():
                raise KafkaTimeoutError(f"where to read on in {partition} is not known")
            found[partition.partition] = position
        return {number: position for number, position in found.items() if position is not None}

    def end_offsets(self) -> dict[int, int]:
        """Return, per assigned partition, where it ended when it was last fetched from."""
        ends = {p.partition: self._consumer.highwater(p) for p in self._consumer.assignment()}
        return {number: end for number, end in ends.items() if end is not None}

    def commit(self) -> None:
        """Remember the present positions in the group. A convenience: the checkpoint decides."""
        self._consumer.commit_async()

    def keep_alive(self) -> None:
        """Stay in the group without reading: for the time of a retry, or of another long step."""
        self._consumer.pause(*self._consumer.assignment())
        try:
            self._consumer.poll(timeout_ms=0)
        finally:
            self._consumer.resume(*self._consumer.paused())

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=3_000)


class Rebalanced(Exception):  # noqa: N818 - not an error: a thing that happened
    """The group has given this consumer other partitions."""
