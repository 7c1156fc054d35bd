"""Follows `trade-events`: folds the trades of a result into the candles once it is settled.

A result that has been read need not be settled yet, and one of an earlier epoch never is. So the
record is never taken for a trade: it only says on which market to look, and up to which place on
the log the settlement has to come before there is nothing more to wait for.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from balances.models import Checkpoint
from exchange.kafka import LogRecord
from exchange.records import Execution, RecordError, decode_trade_event
from matching.market_data.folding import fold


class Place(NamedTuple):
    """A result's place on the log."""

    epoch: int
    offset: int
    partition: int


class Follower:
    """What one process has read of the log and not yet seen settled. One thread owns it."""

    def __init__(self) -> None:
        self._awaited: dict[str, Place | None] = {}
        """The furthest place at which each market has a trade; None: only to be looked at."""
        self.has_more = False
        """Whether the last `follow` has left settled trades for the next one."""

    @property
    def awaits(self) -> frozenset[str]:
        return frozenset(self._awaited)

    def note(self, records: Sequence[LogRecord]) -> None:
        """Remember which markets have trades on `records`, and where."""
        for record in records:
            try:
                event = decode_trade_event(record.value)
            except RecordError:
                continue  # the settlement has it made again
            if isinstance(event, Execution) and event.trades:
                place = Place(event.epoch, event.offset, record.partition)
                self._awaited[event.market] = max(self._awaited.get(event.market) or place, place)

    def look_at(self, markets: Iterable[str]) -> None:
        """Have `markets` folded by the next `follow`, whatever has been read."""
        self._awaited = dict.fromkeys(markets) | self._awaited

    def follow(self) -> int:
        """Fold what has been settled meanwhile; return how many markets are still awaited."""
        if self._awaited:
            settled = self._settled()  # looked up first: what is settled after it is awaited on
            left = fold(self._awaited.keys())
            for market in settled - left.more - left.busy:
                del self._awaited[market]
            self.has_more = bool(left.more)
        return len(self._awaited)

    def _settled(self) -> set[str]:
        """Return the markets of which nothing that was read can still be settled."""
        checkpoints = {row.partition: row for row in Checkpoint.objects.all()}
        return {
            market
            for market, place in self._awaited.items()
            if place is None
            or (
                (row := checkpoints.get(place.partition)) is not None
                and (
                    row.halted_reason != ""  # after a resume the results come once more
                    or (row.epoch_id, row.offset) >= (place.epoch, place.offset)
                )
            )
        }
