"""The log: topics, producers, consumers. The only package that imports the Kafka client.

It knows addresses, settings and bytes; what a record means is the business of its callers. Every
setting that a promise depends on is given explicitly, because some combinations turn idempotence
off in silence.

    names       topics, records, which partition an asset is on
    admin       questions about the log as a whole; making and deleting topics
    publisher   writing, in order and without a gap
    consumer    reading as a worker does
    lookup      reading one record by its place
    reader      reading from outside every group: tests, tools
    scan        the same for a long stretch, a piece at a time
"""

from exchange.kafka.admin import Log, LogIdentity, TopicsMissingError, reachable
from exchange.kafka.consumer import GroupConsumer, Rebalanced
from exchange.kafka.lookup import RecordLookup
from exchange.kafka.names import (
    DEAD_ORDER_EVENTS,
    ORDER_EVENTS,
    TOPICS,
    TRADE_EVENTS,
    LogError,
    LogRecord,
    OutgoingRecord,
    dead_letter,
    partition_for,
    topic_name,
)
from exchange.kafka.publisher import Publisher
from exchange.kafka.reader import TopicReader, read_topic
from exchange.kafka.scan import TopicScan

__all__ = [
    "DEAD_ORDER_EVENTS",
    "ORDER_EVENTS",
    "TOPICS",
    "TRADE_EVENTS",
    "GroupConsumer",
    "Log",
    "LogError",
    "LogIdentity",
    "LogRecord",
    "OutgoingRecord",
    "Publisher",
    "Rebalanced",
    "RecordLookup",
    "TopicReader",
    "TopicScan",
    "TopicsMissingError",
    "dead_letter",
    "partition_for",
    "reachable",
    "read_topic",
    "topic_name",
]
