"""What feeds the matching task: `order-events`, each partition from its checkpoint on."""

from collections.abc import Callable, Mapping

from balances.checkpoints import current_epoch
from exchange.kafka import ORDER_EVENTS
from matching.tasks import host, match_orders


class MatchingFeed:
    """See `exchange.bridge.Feed`."""

    topic = ORDER_EVENTS
    group = "matching"
    task = match_orders
    rest_seconds = 0.0

    def begin(self, partitions: set[int], alive: Callable[[], None]) -> Mapping[int, int | None]:
        return host.begin(partitions, alive)

    def is_current(self) -> bool:
        return host.epoch == current_epoch()

    def has_room(self) -> bool:
        return host.has_room()
