"""The stop orders of one market: those that wait for its price, and those that are elected.

Responsible for finding, at a trade, which orders it elects and in what order: the stop price that
is nearest to the price before the trade comes first, then the oldest. An elected order waits until
its trigger comes; neither kind is in the book.

Both sides are one code, as in `levels.py`: a `key` that is smaller the sooner the price gets there,
the stop price itself for buys, its negative for sells, in a heap. A cancel leaves its entry there
until it reaches the top, or until such entries outnumber the live ones.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from matching.engine.errors import DuplicateOrder
from matching.engine.levels import SLACK
from matching.engine.messages import BUY, SELL, PlaceStop, Side

MAX_STOPS: Final = 10_000
"""Untriggered orders of a market. One trade may elect them all: so many numbers are in its result
and so many rows in its settlement, at most."""
TOO_MANY_STOPS: Final = "too_many_stops"
"""The reason of a stop order that was canceled because its market has `MAX_STOPS` already."""


class StopBook:
    """One market's stop orders. `price`, where it is meant, is that of a trade, in ticks."""

    __slots__ = ("_ages", "_elected", "_heaps", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, PlaceStop] = {}
        self._elected: dict[int, PlaceStop] = {}
        self._heaps: dict[Side, list[tuple[int, int, int]]] = {BUY: [], SELL: []}
        """By side: (key, age, order id). Smaller ages are older."""
        self._ages = 0

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._waiting or order_id in self._elected

    @property
    def waiting(self) -> int:
        """Return how many orders wait for a price."""
        return len(self._waiting)

    def add(self, order: PlaceStop) -> None:
        """Let an order wait, as the youngest.

        Raises:
            DuplicateOrder: the id is already here.
        """
        if order.order_id in self:
            raise DuplicateOrder(order.order_id)
        self._waiting[order.order_id] = order
        self._ages += 1
        entry = (order.side * order.stop_price, self._ages, order.order_id)
        heappush(self._heaps[order.side], entry)

    def add_elected(self, order: PlaceStop) -> None:
        """Let an order wait for its trigger.

        Raises:
            DuplicateOrder: the id is already here.
        """
        if order.order_id in self:
            raise DuplicateOrder(order.order_id)
        self._elected[order.order_id] = order

    def elect(self, side: Side, price: int) -> list[int]:
        """Elect the orders of a side that a trade at `price` reaches; return them in their turn."""
        heap, reach = self._heaps[side], side * price
        elected: list[int] = []
        while heap and heap[0][0] <= reach:
            _, _, order_id = heappop(heap)
            order = self._waiting.pop(order_id, None)
            if order is not None:
                self._elected[order_id] = order
                elected.append(order_id)
        if elected:
            self._compact()
        return elected

    def take_elected(self, order_id: int) -> PlaceStop | None:
        """Take out an order whose trigger has come; None if it is not elected."""
        return self._elected.pop(order_id, None)

    def cancel(self, order_id: int) -> PlaceStop | None:
        """Take an order out; None if it is not here."""
        order = self._elected.pop(order_id, None)
        if order is None and (order := self._waiting.pop(order_id, None)) is not None:
            self._compact()
        return order

    def orders(self) -> Iterator[tuple[PlaceStop, bool]]:
        """Yield every order, and whether it is elected: in the order in which they would be
        elected, buys before sells; then the elected ones by number."""
        for side in (BUY, SELL):
            for _, _, order_id in sorted(self._heaps[side]):
                if order_id in self._waiting:
                    yield self._waiting[order_id], False
        for order_id in sorted(self._elected):
            yield self._elected[order_id], True

    def by_age(self) -> Iterator[tuple[PlaceStop, bool]]:
        """Yield every order, and whether it is elected; those that wait by age, the oldest first.

        In this order they can be restored.
        """
        ages = {entry[2]: entry[1] for heap in self._heaps.values() for entry in heap}
        for order_id in sorted(self._waiting, key=ages.__getitem__):
            yield self._waiting[order_id], False
        for order_id in sorted(self._elected):
            yield self._elected[order_id], True

    def validate(self, last_price: int) -> None:
        """Check the structure; `last_price`: of the market's last trade, 0 before any."""
        assert self._waiting.keys().isdisjoint(self._elected), "an order both waits and is elected"
        for side, heap in self._heaps.items():
            assert all(heap[(place - 1) // 2] < heap[place] for place in range(1, len(heap)))
            live = {entry[2] for entry in heap} & self._waiting.keys()
            ours = {number for number, order in self._waiting.items() if order.side == side}
            assert live == ours, "an order waits in no heap"
        for order in self._waiting.values():
            reached = last_price and order.side * order.stop_price <= order.side * last_price
            assert not reached, f"order {order.order_id} waits though its price has come"
        entries = sum(map(len, self._heaps.values()))
        assert entries <= 2 * len(self._waiting) + SLACK, "canceled entries not compacted"

    def _compact(self) -> None:
        """Drop canceled entries once they outnumber the orders that wait."""
        waiting = self._waiting
        if sum(map(len, self._heaps.values())) > 2 * len(waiting) + SLACK:
            for heap in self._heaps.values():
                heap[:] = [entry for entry in heap if entry[2] in waiting]
                heapify(heap)
