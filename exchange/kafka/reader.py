"""Reading a topic from outside every group: for offsets, tests and tools."""

import time
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from exchange.kafka.connect import connect
from exchange.kafka.names import LogRecord, partitions_of, topic_name

TIMEOUT_SECONDS = 5.0


class TopicReader:
    """Reads one topic from its beginning, and what is new each time. Use as a context manager."""

    def __init__(self, topic: str) -> None:
        self._partitions = [
            TopicPartition(topic_name(topic), number) for number in range(partitions_of(topic))
        ]
        self._positions = dict.fromkeys(self._partitions, 0)
        self._consumer: Any = connect(
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=settings.KAFKA_FETCH_MAX_WAIT_MS,
            # In a fetch session Apache Kafka leaves out partitions in which nothing has changed,
            # and with them the watermarks that `_ends` asks for.
            enable_incremental_fetch_sessions=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def end_offsets(self) -> dict[int, int]:
        """Return, per partition, the offset that the next record will get.

        Raises:
            KafkaTimeoutError: no answer within five seconds.
        """
        return {partition.partition: end for partition, end in self._ends().items()}

    def read_new(self) -> list[LogRecord]:
        """Return the records written since the last call, by partition and offset."""
        ends = self._ends()
        for partition, position in self._positions.items():
            self._consumer.seek(partition, position)
        found: list[LogRecord] = []
        while any(self._positions[partition] < end for partition, end in ends.items()):
            for partition, records in self._consumer.poll(timeout_ms=100).items():
                found += [LogRecord(r.partition, r.offset, r.value, r.timestamp) for r in records]
                self._positions[partition] = records[-1].offset + 1
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def _ends(self) -> dict[Any, int]:
        """Return the partitions' high watermarks, by way of a fetch.

        Not what `end_offsets` of the client says: the embedded broker answers that with the
        beginning of the last batch, while the watermark in its fetch responses is right. Apache
        Kafka means the same by both.
        """
        self._consumer.unsubscribe()  # forgets the watermarks of earlier fetches
        self._consumer.assign(self._partitions)
        listed = self._consumer.end_offsets(
            self._partitions, timeout_ms=int(TIMEOUT_SECONDS * 1000)
        )
        for partition, offset in listed.items():
            self._consumer.seek(partition, offset)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            self._consumer.poll(timeout_ms=5)
            ends = {p: self._consumer.highwater(p) for p in self._partitions}
            if None not in ends.values():
                return ends
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"no watermark from {self._partitions}")


def read_topic(topic: str) -> list[LogRecord]:
    """Return every record that `topic` holds now, by partition and offset. For small topics."""
    with TopicReader(topic) as reader:
        return reader.read_new()
