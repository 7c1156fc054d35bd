"""One side of a book: price levels, each a queue of orders, with the best price at hand.

Responsible for finding the best level, for the queue at each price, and for memory that stays
proportional to live orders. It never matches: that is the book's work.

Levels are kept under a `key` that is smaller the better the price is: the price itself for asks,
its negative for bids. So both sides are the same code and `heapq` serves both.

Removal in the middle is lazy, in two places, and each is bounded:

- A canceled order stays in its queue as a tombstone (`remaining` 0) until it reaches the head or
  until tombstones outnumber live orders; then the queue is rebuilt.
- A level emptied by a cancel leaves its key in the heap, noted in `stale`, until it reaches the
  top, or is needed again, or stale keys outnumber levels; then the heap is rebuilt.

A rebuild touches at most about twice the entries that cancels left behind since the last one, so
a cancel stays O(1) amortised (plus the heap's logarithm when a level comes or goes).
"""

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

BookEntry: TypeAlias = list[int]
"""`[order_id, user_id, side, price, remaining]`: a resting order as the book keeps it.

A list, because one is built for every order that rests, and costs a quarter of an object with slots
(28 ns against 126). `remaining` of an iceberg is that of its visible part. Not a tuple: the garbage
collector does not count tuples of integers as long-lived, so a million of them make it walk the
whole book again and again (measured: 2,100 ns an order instead of 850). Only `remaining` ever
changes, and 0 marks a canceled order.
"""

REMAINING: Final = 4

SLACK: Final = 8
"""Tombstones or stale keys tolerated beyond the live ones: small queues are not worth a rebuild."""


class Level:
    """The orders at one price, oldest first. `quantity`: lots of its live orders, never 0."""

    __slots__ = ("canceled", "quantity", "queue")

    def __init__(self) -> None:
        self.queue: deque[BookEntry] = deque()
        self.quantity = 0
        self.canceled = 0

    def compact(self) -> None:
        """Drop tombstones once they outnumber the live orders."""
        if 2 * self.canceled > len(self.queue) + SLACK:
            self.queue = deque(entry for entry in self.queue if entry[REMAINING])
            self.canceled = 0


class BookSide:
    """All price levels of one side; `keys` is a heap of the keys in `levels` and in `stale`."""

    __slots__ = ("keys", "levels", "stale")

    def __init__(self) -> None:
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []
        self.stale: set[int] = set()

    def add_level(self, key: int) -> Level:
        """Create the level of a key that has none."""
        assert key not in self.levels, key
        level = self.levels[key] = Level()
        if key in self.stale:
            self.stale.remove(key)
        else:
            heappush(self.keys, key)
        return level

    def append(self, key: int, entry: BookEntry) -> None:
        """Put an order behind all others of its price."""
        level = self.levels.get(key) or self.add_level(key)
        level.queue.append(entry)
        level.quantity += entry[REMAINING]

    def cancel(self, key: int, entry: BookEntry) -> None:
        """Take a live order out of its level."""
        level = self.levels[key]
        level.quantity = left = level.quantity - entry[REMAINING]
        assert left >= 0, entry
        entry[REMAINING] = 0
        if left:
            level.canceled += 1
            level.compact()
        else:
            del self.levels[key]
            self.stale.add(key)
            self._compact_keys()

    def reduce(self, key: int, entry: BookEntry, quantity: int) -> None:
        """Take some of a live order out of its level; the rest keeps its place."""
        assert 0 < quantity < entry[REMAINING], entry
        entry[REMAINING] -= quantity
        self.levels[key].quantity -= quantity

    def first_within(self, reach: int) -> BookEntry | None:
        """Return the order that a taker who reaches `reach` meets first, if there is one."""
        key = self.best_key()
        if key is None or key > reach:
            return None
        level = self.levels[key]
        while not level.queue[0][REMAINING]:
            level.queue.popleft()
            level.canceled -= 1
        return level.queue[0]

    def queues_within(self, reach: int) -> Iterator[deque[BookEntry]]:
        """Yield the queues that a taker who reaches `reach` meets, in turn; changes nothing.

        There are tombstones in them. Costs time in proportion to the levels looked at and the
        stale keys between them: the heap is walked, not sorted.
        """
        keys = self.keys
        due = [(keys[0], 0)] if keys else []
        while due and due[0][0] <= reach:
            key, place = heappop(due)
            for child in (2 * place + 1, 2 * place + 2):
                if child < len(keys):
                    heappush(due, (keys[child], child))
            level = self.levels.get(key)
            if level is not None:
                yield level.queue

    def best_key(self) -> int | None:
        """Return the key of the best level, `None` when the side is empty."""
        while self.keys and self.keys[0] not in self.levels:
            self.drop_stale_key()
        return self.keys[0] if self.keys else None

    def drop_stale_key(self) -> None:
        """Remove the key at the top of the heap, whose level a cancel has emptied."""
        self.stale.remove(heappop(self.keys))  # a KeyError here stops a corrupt book

    def drop_best_level(self) -> None:
        """Remove the level at the top of the heap, whose orders have all traded."""
        level = self.levels.pop(heappop(self.keys))
        assert level.quantity == 0, level.quantity
        self._compact_keys()

    def _compact_keys(self) -> None:
        if len(self.stale) > len(self.levels) + SLACK:
            self.keys[:] = self.levels  # in place: the matching loop holds on to this list
            heapify(self.keys)
            self.stale.clear()
