"""The engine: all markets of one partition of `order-events`, applied by one thread.

Responsible for the order of events (offsets only grow), for telling an order seen before, and
for chaining results (each names the event before it). It is a pure function of its events: it
reads no clock, rolls no dice, does no I/O; two engines that start alike and apply the same events
answer the same, byte for byte.
"""

from collections import deque
from hashlib import sha256

from matching.engine.book import FILL_LIMIT, MAX_FILLS, SELF_TRADE, OrderBook
from matching.engine.errors import DuplicateOrder, UnknownMarket
from matching.engine.messages import (
    NO_OFFSET,
    CancelOrder,
    Command,
    Execution,
    PlaceOrder,
    PlaceWithRules,
    Side,
    Status,
)

_new = tuple.__new__  # builds a named tuple in half the time of its own constructor


class Engine:
    """Books of one partition, at one position of its log.

    `position`: offset of the last event applied or skipped; before the first, the checkpoint the
    engine was built from. `max_fills`: how often one order may trade when it comes; the same for
    every engine that reads the log, or their results would differ.
    """

    __slots__ = ("_books", "_max_fills", "_seen", "_seen_order", "position")

    def __init__(self, position: int = NO_OFFSET, max_fills: int = MAX_FILLS) -> None:
        assert position >= NO_OFFSET, position
        self.position = position
        self._max_fills = max_fills
        self._books: dict[str, OrderBook] = {}
        self._seen: dict[int, int] = {}
        # The ids of `_seen` by offset: a dict that loses its first keys is slow to iterate.
        self._seen_order: deque[int] = deque()

    @property
    def markets(self) -> tuple[str, ...]:
        """Return the symbols, sorted."""
        return tuple(sorted(self._books))

    def add_market(self, symbol: str, last_trade_id: int = 0) -> None:
        """Open an empty book whose next trade is `last_trade_id + 1`.

        Raises:
            ValueError: the market is already here.
        """
        if symbol in self._books:
            raise ValueError(f"market {symbol} is already in the engine")
        self._books[symbol] = OrderBook(last_trade_id, self._max_fills)

    def book(self, market: str) -> OrderBook:
        """Return the book of a market, to read it.

        Raises:
            UnknownMarket: the engine does not hold it.
        """
        book = self._books.get(market)
        if book is None:
            raise UnknownMarket(market)
        return book

    def restore(
        self, market: str, order_id: int, user_id: int, side: Side, price: int, remaining: int
    ) -> None:
        """Put back an order that was live at `position`; call in time order within a price.

        Raises:
            UnknownMarket, DuplicateOrder, CrossedBook: the snapshot is not a state of this log.
        """
        self.book(market).restore(order_id, user_id, side, price, remaining)

    def apply(self, offset: int, command: Command) -> Execution | None:
        """Apply one event; return its result, or `None` when it changes nothing.

        Nothing changes when a new order has been seen before (since this engine was built, or it
        is in the book) and when the order to cancel is not in the book.

        Raises:
            ValueError: `offset` is not beyond `position`; filter redeliveries with `position`.
            UnknownMarket: the engine does not hold the market.
            AssertionError: price, quantity or side is not what a validated order has.

        After an error nothing has changed, the position included.
        """
        if offset <= self.position:
            raise ValueError(f"offset {offset} is not beyond position {self.position}")
        if type(command) is not PlaceOrder:
            if type(command) is PlaceWithRules:
                return self._place_with_rules(offset, command)
            assert type(command) is CancelOrder, command
            return self._cancel(offset, command)
        order_id, user_id, market, side, price, quantity = command
        book = self._books.get(market)
        if book is None:
            raise UnknownMarket(market)
        if order_id in self._seen:
            self.position = offset
            return None
        try:
            remaining, fills = book.place(order_id, user_id, side, price, quantity)
        except DuplicateOrder:
            self.position = offset
            return None
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        status: Status = "open"
        reason, canceled = "", 0
        if fills:
            status = "partially_filled" if remaining else "filled"
            if remaining and order_id not in book:
                status, reason, canceled = "canceled", FILL_LIMIT, remaining
        before, self.position = self.position, offset
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, status, reason, canceled,
                fills, (), 0,
            ),
        )  # fmt: skip

    def _place_with_rules(self, offset: int, command: PlaceWithRules) -> Execution | None:
        order_id, user_id, market, side, price = command[:5]
        book = self._books.get(market)
        if book is None:
            raise UnknownMarket(market)
        if order_id in self._seen:
            self.position = offset
            return None
        try:
            placed = book.place_with_rules(command)
        except DuplicateOrder:
            self.position = offset
            return None
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        remaining, fills, self_trades, prevented, reason = placed
        status: Status = "partially_filled" if fills else "open"
        canceled = 0
        if reason:
            status, canceled = "canceled", remaining
        elif not remaining and prevented:
            status, reason = "canceled", SELF_TRADE
        elif not remaining:
            status = "filled"
        before, self.position = self.position, offset
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, status, reason, canceled,
                fills, self_trades, prevented,
            ),
        )  # fmt: skip

    def _cancel(self, offset: int, command: CancelOrder) -> Execution | None:
        order_id, market = command
        book = self._books.get(market)
        if book is None:
            raise UnknownMarket(market)
        order = book.cancel(order_id)
        before, self.position = self.position, offset
        if order is None:
            return None
        _, user_id, side, price, remaining = order
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, "canceled", "", remaining,
                (), (), 0,
            ),
        )  # fmt: skip

    def skip(self, offset: int) -> None:
        """Move past an event that the caller drops: a dead letter, or a duplicate it knows of.

        Raises:
            ValueError: `offset` is not beyond `position`.
        """
        if offset <= self.position:
            raise ValueError(f"offset {offset} is not beyond position {self.position}")
        self.position = offset

    def refuse(self, offset: int, order_id: int, market: str) -> bool:
        """Move past the unusable record of a new order; return whether the order is refused by it.

        It is not if it has been seen before, or is in the book: then nothing but the position has
        changed. A refused order counts as seen, so that a good record of it after this one is a
        duplicate.

        Raises:
            ValueError: `offset` is not beyond `position`.
        """
        self.skip(offset)
        book = self._books.get(market)
        if order_id in self._seen or (book is not None and order_id in book):
            return False
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        return True

    def forget_seen(self, through_offset: int) -> None:
        """Forget the orders seen at or before an offset, so that memory stays bounded.

        Call it with the checkpoint: what is before it, the database knows. An order that still
        rests is recognised by its book all the same.
        """
        seen, order = self._seen, self._seen_order
        while order and seen[order[0]] <= through_offset:
            del seen[order.popleft()]

    @property
    def seen_count(self) -> int:
        """Return how many order ids are remembered besides those in the books."""
        return len(self._seen)

    def state_hash(self) -> str:
        """Return the SHA-256 (hex) of all books: markets, last trade ids, orders by priority.

        Equal books give equal hashes however they were reached, by replay or by restore. So the
        position and the ids seen are left out: compare `position` itself.
        """
        digest = sha256()
        for symbol in self.markets:
            book = self._books[symbol]
            digest.update(f"{symbol!r} {book.last_trade_id} {len(book)}\n".encode())
            for order in book.orders():
                digest.update((" ".join(map(str, order)) + "\n").encode())
        return digest.hexdigest()

    def validate(self) -> None:
        """Check every book; raise `AssertionError` where one contradicts itself."""
        assert list(self._seen) == list(self._seen_order), "seen orders out of order"
        for book in self._books.values():
            book.validate()
