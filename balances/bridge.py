"""What feeds the settlement task: `trade-events`, from where the group has committed.

Reading too early does no harm: the checkpoint drops what has been settled.
"""

from collections.abc import Callable, Mapping

from balances.checkpoints import current_epoch, ensure_epoch
from balances.tasks import settle_trades
from exchange.kafka import TRADE_EVENTS, Log


class TradesFeed:
    """See `exchange.bridge.Feed`."""

    topic = TRADE_EVENTS
    group = "trades"
    task = settle_trades
    rest_seconds = 0.0

    def begin(
        self,
        partitions: set[int],
        alive: Callable[[], None],  # noqa: ARG002 - it takes no time
    ) -> Mapping[int, int | None]:
        with Log() as log:
            ensure_epoch(log)
        return dict.fromkeys(partitions)

    def is_current(self) -> bool:
        return current_epoch() is not None

    def has_room(self) -> bool:
        return True
