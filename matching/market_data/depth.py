"""The book by price level, as settled, and the place on the log that it is true for.

A book changes only when a result of its partition is settled, and that moves the checkpoint. So
what was read once is kept in memory and given again, exactly, until the checkpoint has moved.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from django.db import connection

from balances.models import Checkpoint
from exchange.api.errors import ClientError
from exchange.kafka import partition_for
from exchange.money import format_amount
from orders.models import Market
from orders.selectors import Level

KEPT = 512
"""Books that a process keeps in memory: a market with its number of levels and step is one."""


class StepNotOnTickError(ClientError):
    code = "step_not_on_tick"
    field = "step"
    http_status: ClassVar[int] = 400


class Sequence(NamedTuple):
    """The last event of the market's partition whose result is in the book."""

    epoch: int
    offset: int


@dataclass(frozen=True)
class Depth:
    """Both sides, the best price first; of icebergs, what is seen.

    `sequence`: None before the log has begun.
    """

    sequence: Sequence | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


def get_depth(*, market: Market, levels: int, step: Decimal | None = None) -> Depth:
    """Return the best `levels` of each side.

    `step` (quote per base): what lies within one step is one level, at the price that is worse
    for whoever takes it: bids are rounded down, asks up.

    Raises:
        StepNotOnTickError: it is not a multiple of the tick size.
    """
    if step is not None and (step <= 0 or step % market.tick_size):
        tick = format_amount(market.tick_size)
        raise StepNotOnTickError(f"The step must be a multiple of {tick}, the tick size.")
    partition = partition_for(market.base_id)
    key = (market.pk, levels, step)
    state = Checkpoint.objects.filter(pk=partition).values_list("epoch_id", "offset", "updated_at")
    found = state.first()
    if found is not None and (known := _memory.get(key, found)) is not None:
        return known
    state_of_book, depth = _read(market.pk, partition, levels, step)
    if state_of_book is not None:
        _memory.keep(key, state_of_book, depth)
    return depth


class _Memory:
    """What was read last, for as long as nothing has been settled since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[Any, Depth]] = OrderedDict()

    def get(self, key: Any, state: Any) -> Depth | None:
        with self._lock:
            kept_state, depth = self._kept.get(key, (None, None))
            return depth if kept_state == state else None

    def keep(self, key: Any, state: Any, depth: Depth) -> None:
        with self._lock:
            self._kept[key] = state, depth
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


_memory = _Memory()


def _read(market: str, partition: int, levels: int, step: Decimal | None) -> tuple[Any, Depth]:
    """Read the book and the checkpoint of one moment."""
    given: dict[str, Any] = {
        "market": market, "partition": partition, "levels": levels, "step": step,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_BY_PRICE if step is None else _BY_STEP, given)
        rows = cursor.fetchall()
    epoch, offset, updated_at = rows[0][:3]
    sides: dict[str, list[Level]] = {"buy": [], "sell": []}
    for _, _, _, side, price, quantity in rows:
        if side is not None:
            sides[side].append(Level(price, quantity))
    depth = Depth(
        None if epoch is None else Sequence(epoch, offset),
        tuple(sorted(sides["buy"], reverse=True)),
        tuple(sorted(sides["sell"])),
    )
    return (None if epoch is None else (epoch, offset, updated_at)), depth


_REST = "(quantity - filled_quantity - prevented_quantity)"
# Of an iceberg: what is left over by its parts if anything is, else a whole part.
_SHOWN = f"coalesce(nullif(mod({_REST}, visible_quantity), 0), visible_quantity, {_REST})"
_BOOK = """
SELECT c.epoch_id, c."offset", c.updated_at, l.side, l.price, l.quantity
FROM (SELECT 1) AS one
LEFT JOIN balances_checkpoint c ON c.partition = %(partition)s
LEFT JOIN LATERAL (
  (SELECT 'buy' AS side, {bid} AS price,
     sum({shown}) AS quantity
   FROM orders_order
   WHERE market_id = %(market)s AND side = 'buy' AND status IN ('open', 'partially_filled')
   GROUP BY 2 ORDER BY 2 DESC LIMIT %(levels)s)
  UNION ALL
  (SELECT 'sell', {ask}, sum({shown})
   FROM orders_order
   WHERE market_id = %(market)s AND side = 'sell' AND status IN ('open', 'partially_filled')
   GROUP BY 2 ORDER BY 2 LIMIT %(levels)s)
) l ON true
"""
_BY_PRICE = _BOOK.format(
    shown=_SHOWN, bid="price", ask="price"
)  # in the order of the index: it stops early
_BY_STEP = _BOOK.format(  # exact: a remainder, not a quotient
    shown=_SHOWN,
    bid="price - mod(price, %(step)s)",
    ask="price + mod(%(step)s - mod(price, %(step)s), %(step)s)",
)
