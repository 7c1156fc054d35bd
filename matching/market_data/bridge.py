"""What feeds the candles: `trade-events`, from where the group has committed.

What was settled while nobody read is folded before reading begins, whatever the log still has.
"""

from collections.abc import Callable, Mapping

from balances.checkpoints import current_epoch, ensure_epoch
from exchange.kafka import TRADE_EVENTS, Log
from matching.tasks import follower, update_market_data
from orders.models import Market


class MarketDataFeed:
    """See `exchange.bridge.Feed`."""

    topic = TRADE_EVENTS
    group = "market-data"
    task = update_market_data
    rest_seconds = 0.1

    def begin(self, partitions: set[int], alive: Callable[[], None]) -> Mapping[int, int | None]:
        with Log() as log:
            ensure_epoch(log)
        follower.look_at(Market.objects.values_list("symbol", flat=True))
        follower.follow()
        while follower.has_more:
            alive()
            follower.follow()
        return dict.fromkeys(partitions)

    def is_current(self) -> bool:
        return current_epoch() is not None

    def has_room(self) -> bool:
        """Always; asked between two batches, so what has been settled since is folded here."""
        follower.follow()
        return True
