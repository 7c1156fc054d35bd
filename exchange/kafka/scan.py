"""Reading a stretch of a topic from outside every group, a piece at a time: for the replay.

However long the stretch is, no more of it is in memory than the client fetches ahead.
"""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from exchange.kafka.connect import connect
from exchange.kafka.names import LogRecord, partitions_of, topic_name

PIECE = 2_000
"""Records returned at a time, at most."""
STALL_SECONDS = 30.0
"""A record that does not come within this time will not come."""


class TopicScan:
    """Reads pieces of one topic. Use as a context manager."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._consumer: Any = connect(
            KafkaConsumer,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_poll_records=PIECE,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._consumer.close(autocommit=False)

    def begin_offsets(self) -> dict[int, int]:
        """Return, per partition, the offset of the first record that is still there.

        Raises:
            LogError: the broker does not answer.
        """
        partitions = [
            TopicPartition(topic_name(self._topic), number)
            for number in range(partitions_of(self._topic))
        ]
        begins = self._consumer.beginning_offsets(partitions)
        return {partition.partition: offset for partition, offset in begins.items()}

    def read(self, partition: int, first: int, last: int) -> Iterator[list[LogRecord]]:
        """Yield the records of `partition` with offsets from `first` through `last`, in order.

        Raises:
            KafkaTimeoutError: the record at `last` does not come.
        """
        source = TopicPartition(topic_name(self._topic), partition)
        self._consumer.assign([source])
        self._consumer.seek(source, first)
        reached, deadline = first - 1, time.monotonic() + STALL_SECONDS
        while reached < last:
            found = self._consumer.poll(timeout_ms=500).get(source, [])
            if found:
                reached, deadline = found[-1].offset, time.monotonic() + STALL_SECONDS
                yield [LogRecord(r.partition, r.offset, r.value) for r in found if r.offset <= last]
            elif time.monotonic() > deadline:
                raise KafkaTimeoutError(
                    f"{self._topic}/{partition} gives no record after {reached}, but should hold"
                    f" one at {last}"
                )
