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
    BUY,
    NO_OFFSET,
    SELL,
    CancelOrder,
    Command,
    Execution,
    MarketState,
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

    __slots__ = ("_books", "_max_fills", "_open", "_seen", "_seen_order", "_states", "position")

    def __init__(self, position: int = NO_OFFSET, max_fills: int = MAX_FILLS) -> None:
        assert position >= NO_OFFSET, position
        self.position = position
        self._max_fills = max_fills
        self._books: dict[str, OrderBook] = {}
        # The books of open markets again: so an order on one of them need not ask for the state.
        self._open: dict[str, OrderBook] = {}
        self._states: dict[str, tuple[int, MarketState]] = {}
        self._seen: dict[int, int] = {}
        # The ids of `_seen` by offset: a dict that loses its first keys is slow to iterate.
        self._seen_order: deque[int] = deque()

    @property
    def markets(self) -> tuple[str, ...]:
        """Return the symbols, sorted."""
        return tuple(sorted(self._books))

    def add_market(
        self,
        symbol: str,
        last_trade_id: int = 0,
        *,
        state: MarketState = "open",
        change_id: int = 0,
    ) -> None:
        """Open an empty book whose next trade is `last_trade_id + 1`.

        `state`: that of the change `change_id`, the last one of the market; 0: there was none.

        Raises:
            ValueError: the market is already here.
        """
        if symbol in self._books:
            raise ValueError(f"market {symbol} is already in the engine")
        self._books[symbol] = OrderBook(last_trade_id, self._max_fills)
        self._set_state(symbol, change_id, state)

    def state_of(self, market: str) -> MarketState:
        """Return the state of a market that the engine holds."""
        return self._states[market][1]

    def change_of(self, market: str) -> int:
        """Return the last change of a market that the engine holds, 0 before any."""
        return self._states[market][0]

    def change_market(self, offset: int, market: str, change_id: int, state: MarketState) -> bool:
        """Put a market into another state, for all events after this one; return whether it is.

        Nothing but the position changes when a change with this number or a higher one has been
        here before: changes count in the order of their numbers.

        Raises:
            ValueError: `offset` is not beyond `position`.
            UnknownMarket: the engine does not hold the market.
        """
        self.book(market)
        self.skip(offset)
        if change_id <= self._states[market][0]:
            return False
        self._set_state(market, change_id, state)
        return True

    def _set_state(self, market: str, change_id: int, state: MarketState) -> None:
        self._states[market] = (change_id, state)
        if state == "open":
            self._open[market] = self._books[market]
        else:
            self._open.pop(market, None)

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

    def empty_book(self, market: str) -> None:
        """Take all orders out of a book that could not be restored whole.

        Raises:
            UnknownMarket: the engine does not hold it.
        """
        self._books[market] = OrderBook(self.book(market).last_trade_id, self._max_fills)
        self._set_state(market, *self._states[market])

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
        book = self._open.get(market)
        if book is None:
            return self._place_restricted(offset, command)
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
        if market not in self._open and (refused := self._refused(offset, command)) is not None:
            return refused
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
        elif not remaining or command.budget:
            status, canceled = "filled", remaining  # a spent budget leaves lots that it cannot buy
        before, self.position = self.position, offset
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, status, reason, canceled,
                fills, self_trades, prevented,
            ),
        )  # fmt: skip

    def _place_restricted(self, offset: int, command: PlaceOrder) -> Execution | None:
        """Apply a new order on a market that is not open: it rests at once, or is canceled."""
        order_id, user_id, market, side, price, quantity = command
        book = self.book(market)
        if order_id in self._seen or order_id in book:
            self.position = offset
            return None
        assert price > 0, price
        assert quantity > 0, quantity
        assert side in (BUY, SELL), side
        if (refused := self._refused(offset, command)) is not None:
            return refused
        book.place(order_id, user_id, side, price, quantity)
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        before, self.position = self.position, offset
        return Execution(market, offset, before, order_id, user_id, side, price, "open", "", 0, ())

    def _refused(self, offset: int, command: PlaceOrder | PlaceWithRules) -> Execution | None:
        """Cancel a new order that its market, which is not open, does not take; None if it does."""
        order_id, user_id, market, side, price, quantity = command[:6]
        book, state = self.book(market), self.state_of(market)
        takes_it = state == "post_only" and not book.would_trade(side, price)
        if takes_it or order_id in book:  # what is in the book is a duplicate
            return None
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        before, self.position = self.position, offset
        return Execution(
            market, offset, before, order_id, user_id, side, price, "canceled", f"market_{state}",
            quantity, (),
        )  # fmt: skip

    def _cancel(self, offset: int, command: CancelOrder) -> Execution | None:
        order_id, market, reason = command
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
                market, offset, before, order_id, user_id, side, price, "canceled", reason,
                remaining, (), (), 0,
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
        """Return the SHA-256 (hex) of all books: markets, states, last trades, orders by priority.

        Equal books give equal hashes however they were reached, by replay or by restore. So the
        position, the ids seen and the numbers of changes are left out: compare `position` itself.
        """
        digest = sha256()
        for symbol in self.markets:
            book = self._books[symbol]
            digest.update(f"{symbol!r} {book.last_trade_id} {len(book)}\n".encode())
            if symbol not in self._open:
                digest.update(f"{self.state_of(symbol)}\n".encode())
            for order in book.orders():
                digest.update((" ".join(map(str, order)) + "\n").encode())
        return digest.hexdigest()

    def validate(self) -> None:
        """Check every book; raise `AssertionError` where one contradicts itself."""
        assert list(self._seen) == list(self._seen_order), "seen orders out of order"
        is_open = {market for market, (_, state) in self._states.items() if state == "open"}
        assert self._states.keys() == self._books.keys(), "markets without a state"
        assert self._open == {market: self._books[market] for market in is_open}, "open markets"
        for book in self._books.values():
            book.validate()
