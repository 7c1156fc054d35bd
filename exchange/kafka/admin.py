"""Questions about the log as a whole, and making and deleting its topics."""

import socket
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from exchange.kafka.connect import connect
from exchange.kafka.names import (
    MAX_RECORD_BYTES,
    ORDER_EVENTS,
    TOPICS,
    TRADE_EVENTS,
    group_name,
    partitions_of,
    topic_name,
)
from exchange.kafka.reader import TopicReader


@dataclass(frozen=True)
class LogIdentity:
    """Which incarnation of the log this is: a topic made anew has another id."""

    order_topic_id: str
    trade_topic_id: str


class TopicsMissingError(KafkaError):  # type: ignore[misc]
    """The topics do not exist; `manage.py create_topics` makes them."""


class WrongPartitionsError(KafkaError):  # type: ignore[misc]
    """The topics are not those of this configuration. Nobody but an operator can mend that."""


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
        self._admin: Any = connect(KafkaAdminClient)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._admin.close()

    def identity(self) -> LogIdentity:
        """Return the ids of both topics.

        Raises:
            TopicsMissingError: a topic does not exist.
            WrongPartitionsError: one has another number of partitions than `KAFKA_PARTITIONS`
                says: assets would be looked for in the wrong partition.
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
                raise WrongPartitionsError(
                    f"Topic {name} has {len(topic['partitions'])} partitions, but "
                    f"KAFKA_PARTITIONS is {settings.KAFKA_PARTITIONS}: set it to the topic's number"
                )
            ids.append(str(topic["topic_id"]))
        return LogIdentity(*ids)

    def orphans(self, group: str, topic: str) -> set[int]:
        """Return the partitions that no member of the group has; none while it is rebalancing."""
        name = group_name(group)
        found = self._admin.describe_groups([name])[name]
        if found["group_state"] not in {"Stable", "Empty", "Dead"}:
            return set()
        taken = {
            number
            for member in found["members"]
            for part in (member["member_assignment"] or {}).get("assigned_partitions", ())
            if part["topic"] == topic_name(topic)
            for number in part["partitions"]
        }
        return set(range(settings.KAFKA_PARTITIONS)) - taken

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return, per partition, the offset that the next record will get."""
        with TopicReader(topic) as reader:
            return reader.end_offsets()

    def create_topics(self) -> list[str]:
        """Create what is missing and return its names. Nothing is ever deleted by age or size."""
        created = []
        for topic in TOPICS:
            new = NewTopic(
                topic_name(topic),
                partitions_of(topic),
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
            except (TopicsMissingError, WrongPartitionsError, UnknownTopicOrPartitionError):
                if time.monotonic() > deadline:
                    raise
            else:
                return
