"""Writing to the log, in order and without a gap."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from exchange.kafka.connect import connect
from exchange.kafka.names import MAX_RECORD_BYTES, OutgoingRecord, topic_name

CLOSE_SECONDS = 5.0
BATCH_BYTES = 512 * 1024
"""What the client gathers for a partition before it calls its sender for each further record: at
its usual 16 KiB that call is half of what publishing many records costs."""


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
        self.publish_all_soon([record], on_error)

    def publish_all_soon(
        self, records: Sequence[OutgoingRecord], on_error: Callable[[BaseException], None]
    ) -> None:
        """Hand `records` to the client, in order; `on_error` is called for each that is lost.

        Raises:
            LogError: one could not even be handed over; those after it were not either.
        """
        client = self._connected()

        def failed(error: BaseException) -> None:
            # The client itself goes on taking records, and may never send one again: it has lost
            # its producer id when a record expires that it had tried to send, and asks for no
            # other.
            self._retire(client)
            on_error(error)

        for record in records:
            self._send(client, record).add_errback(failed)

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
            _end(client)

    def _retire(self, client: Any) -> None:
        """Drop a client that has failed. Does not wait: it is the client's thread that calls."""
        with self._lock:
            if self._client is not client:
                return  # it has been dropped already
            self._client = None
        threading.Thread(target=_end, args=(client,), name="kafka-client-ends", daemon=True).start()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(
                    KafkaProducer,
                    acks="all",
                    enable_idempotence=True,
                    max_in_flight_requests_per_connection=1,
                    delivery_timeout_ms=self._delivery_timeout_ms,
                    max_block_ms=2_000,
                    max_request_size=MAX_RECORD_BYTES,
                    linger_ms=self._linger_ms,
                    batch_size=BATCH_BYTES,
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


def _end(client: Any) -> None:
    """End a client with what it still holds.

    Its own close() waits for what it still has to send, and lives on if that takes too long. Here
    those records are given up, so that nothing of it can be written beside what the next client
    writes; whoever had them sent is told, and sends them again.
    """
    client._sender.force_close()
    client._sender.join(CLOSE_SECONDS)
    client.close(timeout=0)
