"""Which events a halt has left out of the settlement, and so out of its books.

While a market is halted the settlement passes its results by. When the halt ends, every worker
builds the market's book anew from what has been settled, as if those events had never been.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from balances.models import MarketHalt, PastHalt


class LeftOut(NamedTuple):
    """Events of a market from `first` through `last`; None: as far as the log goes."""

    first: int
    last: int | None

    def covers(self, offset: int) -> bool:
        return self.first <= offset and (self.last is None or offset <= self.last)


def events_left_out(first_epoch: int) -> Mapping[str, Sequence[LeftOut]]:
    """Return, per market, what its halts have left out of the log that began with `first_epoch`.

    A halt that began in an earlier log leaves out this one's from its beginning on.
    """
    found: dict[str, list[LeftOut]] = {}
    for market, epoch, offset in MarketHalt.objects.values_list("market_id", "epoch_id", "offset"):
        first = offset if epoch >= first_epoch else 0
        found.setdefault(market, []).append(LeftOut(first, None))
    past = PastHalt.objects.filter(resumed_epoch_id__gt=first_epoch)
    for halt in past.order_by("id"):
        first = halt.offset if halt.epoch_id >= first_epoch else 0
        found.setdefault(halt.market_id, []).append(LeftOut(first, halt.last_offset))
    return found
