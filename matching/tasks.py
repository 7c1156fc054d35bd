"""The matching task: fed by the Kafka bridge, one batch of `order-events` at a time."""

from collections.abc import Sequence

from celery import shared_task

from exchange.kafka import LogRecord
from matching.host import MatchingHost

host = MatchingHost()
"""This process's engines. Only the bridge's thread uses them."""


@shared_task(name="matching.match_orders")
def match_orders(records: Sequence[LogRecord]) -> int:
    """Match a batch of order events and publish the results; return how many there were."""
    return host.match(records)
