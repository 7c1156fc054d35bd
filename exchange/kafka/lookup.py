"""Reading one record by its place, for a person or program that waits for the answer.

The connection is kept for the next one; one thread at a time uses it. Whoever asks waits a bounded
time, and not at all for a while after the log has not answered.
"""

import threading
import time
from typing import Any

from django.conf import settings
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from exchange.kafka.connect import connect
from exchange.kafka.names import LogError, LogRecord, topic_name

PATIENCE_SECONDS = 1.0
"""How long to wait for others who look something up, and then for the record; what `connect` may
take comes on top."""
PAUSE_SECONDS = 2.0
"""How long nobody is asked after the log has not answered."""


class RecordLookup:
    """Finds records by topic, partition and offset. Safe to be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumer: Any = None
        self._silent_until = 0.0

    def find(self, topic: str, partition: int, offset: int) -> LogRecord | None:
        """Return the record at `offset`; None if the log has no record there any more.

        Raises:
            LogError: the log does not answer in time, or others wait for it.
        """
        if not self._lock.acquire(timeout=PATIENCE_SECONDS):
            raise KafkaTimeoutError("others are looking something up")
        try:
            if time.monotonic() < self._silent_until:
                raise KafkaTimeoutError("the log has not answered just now")
            return self._find(TopicPartition(topic_name(topic), partition), offset)
        except (LogError, OSError):
            self._silent_until = max(self._silent_until, time.monotonic() + PAUSE_SECONDS)
            self._drop()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Drop the connection; the next call makes a new one, and waits for nothing."""
        with self._lock:
            self._drop()
            self._silent_until = 0.0

    def _find(self, source: Any, offset: int) -> LogRecord | None:
        if self._consumer is None:
            self._consumer = connect(
                KafkaConsumer,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=settings.KAFKA_FETCH_MAX_WAIT_MS,
                max_poll_records=1,
            )
        self._consumer.assign([source])
        self._consumer.seek(source, offset)
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while time.monotonic() < deadline:
                for found in self._consumer.poll(timeout_ms=100).get(source, ()):
                    is_there = found.offset == offset
                    return _record(found) if is_there else None
        finally:
            self._consumer.unsubscribe()  # what was fetched ahead is not kept
        raise KafkaTimeoutError(f"{source} gives no record at {offset}")

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=1_000)


def _record(found: Any) -> LogRecord:
    return LogRecord(found.partition, found.offset, found.value, found.timestamp)
