"""The tasks that a Kafka bridge feeds: matching, and keeping the candles, a batch at a time."""

from collections.abc import Sequence

from celery import shared_task

from exchange.kafka import LogRecord
from matching.host import MatchingHost
from matching.market_data.follower import Follower

host = MatchingHost()
"""This process's engines. Only the bridge's thread uses them."""
follower = Follower()
"""What this process has read of `trade-events`. Only the bridge's thread uses it."""


@shared_task(name="matching.match_orders")
def match_orders(records: Sequence[LogRecord]) -> int:
    """Match a batch of order events and publish the results; return how many there were."""
    return host.match(records)


@shared_task(name="matching.update_market_data")
def update_market_data(records: Sequence[LogRecord]) -> int:
    """Fold what a batch of results has brought, as far as it is settled; the rest follows.

    Returns the number of markets still awaited.
    """
    follower.note(records)
    return follower.follow()
