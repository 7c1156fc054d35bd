"""The engine: all markets of one partition of `order-events`, applied by one thread.

Responsible for the order of events (offsets only grow), for telling an order seen before, and
for chaining results (each names the event before it). It is a pure function of its events: it
reads no clock, rolls no dice, does no I/O; two engines that start alike and apply the same events
answer the same, byte for byte.
"""

from collections import deque
from hashlib import sha256
from typing import Final

from matching.engine.book import (
    FILL_LIMIT,
    MAX_FILLS,
    POST_ONLY_WOULD_TRADE,
    SELF_TRADE,
    OrderBook,
)
from matching.engine.errors import DuplicateOrder, PriceHasCome, UnknownMarket
from matching.engine.messages import (
    BUY,
    NO_OFFSET,
    SELL,
    Amended,
    AmendOrder,
    CancelOrder,
    Command,
    Execution,
    Fill,
    MarketState,
    NotAmended,
    PlaceOrder,
    PlaceStop,
    PlaceWithRules,
    RestingOrder,
    Side,
    Status,
    TriggerOrder,
)
from matching.engine.stops import MAX_STOPS, TOO_MANY_STOPS, StopBook

NOT_IN_BOOK: Final = "not_in_book"
"""Why an order was not amended: it is finished, never came, or waits as a stop order."""
ALREADY_FILLED: Final = "already_filled"
"""Why an order was not amended: it has traded as many lots as it was to have, or more."""

_new = tuple.__new__  # builds a named tuple in half the time of its own constructor


class Engine:
    """Books of one partition, at one position of its log.

    `position`: offset of the last event applied or skipped; before the first, the checkpoint the
    engine was built from. `max_fills`: how often one order may trade when it comes; `max_stops`:
    how many stop orders of a market may wait for a price. Both are the same for every engine that
    reads the log, or their results would differ.
    """

    __slots__ = (
        "_armed", "_books", "_max_fills", "_max_stops", "_open", "_seen", "_seen_order", "_states",
        "_stops", "position",
    )  # fmt: skip

    def __init__(
        self,
        position: int = NO_OFFSET,
        max_fills: int = MAX_FILLS,
        max_stops: int = MAX_STOPS,
    ) -> None:
        assert position >= NO_OFFSET, position
        self.position = position
        self._max_fills = max_fills
        self._max_stops = max_stops
        self._books: dict[str, OrderBook] = {}
        # The books of open markets again: so an order on one of them need not ask for the state.
        self._open: dict[str, OrderBook] = {}
        self._states: dict[str, tuple[int, MarketState]] = {}
        self._stops: dict[str, StopBook] = {}
        # Those of `_stops` again in which an order waits: so a trade elsewhere asks for no more.
        self._armed: dict[str, StopBook] = {}
        # Order ids, and amendment ids as negative numbers: where each was seen.
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
        last_price: int = 0,
        state: MarketState = "open",
        change_id: int = 0,
    ) -> None:
        """Open an empty book whose next trade is `last_trade_id + 1`; the last one: `last_price`.

        `state`: that of the change `change_id`, the last one of the market; 0: there was none.

        Raises:
            ValueError: the market is already here.
        """
        if symbol in self._books:
            raise ValueError(f"market {symbol} is already in the engine")
        self._books[symbol] = OrderBook(last_trade_id, self._max_fills, last_price)
        self._stops[symbol] = StopBook()
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
        self,
        market: str,
        order_id: int,
        user_id: int,
        side: Side,
        price: int,
        remaining: int,
        part: int = 0,
    ) -> None:
        """Put back an order that was live at `position`; call in time order within a price.

        `part`: how many lots an iceberg shows at a time; 0: it shows all.

        Raises:
            UnknownMarket, DuplicateOrder, CrossedBook: the snapshot is not a state of this log.
        """
        self.book(market).restore(order_id, user_id, side, price, remaining, part)

    def restore_stop(self, order: PlaceStop, *, elected: bool) -> None:
        """Put back a stop order that was there at `position`; call in the order of their age.

        Raises:
            UnknownMarket, DuplicateOrder, PriceHasCome: the snapshot is not a state of this log.
            AssertionError: it says what no validated order does.
        """
        book, stops = self.book(order.market), self._stops[order.market]
        _require_sound(order)
        if order.order_id in book:
            raise DuplicateOrder(order.order_id)
        if elected:
            stops.add_elected(order)
            return
        if _is_reached(order, book.last_price):
            raise PriceHasCome(f"order {order.order_id} waits for {order.stop_price}")
        stops.add(order)
        self._armed[order.market] = stops

    def stops(self, market: str) -> StopBook:
        """Return the stop orders of a market that the engine holds, to read them."""
        return self._stops[market]

    def empty_book(self, market: str) -> None:
        """Take all orders out of a market that could not be restored whole, stop orders too.

        Raises:
            UnknownMarket: the engine does not hold it.
        """
        book = self.book(market)
        self._books[market] = OrderBook(book.last_trade_id, self._max_fills, book.last_price)
        self._stops[market] = StopBook()
        self._armed.pop(market, None)
        self._set_state(market, *self._states[market])

    def apply(self, offset: int, command: Command) -> Execution | None:
        """Apply one event; return its result, or `None` when it changes nothing.

        Nothing changes when a new order has been seen before (since this engine was built, or it
        is in the book), when the order to cancel is not there, and when the one to trigger is not
        elected.

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
            return self._apply_other(offset, command)
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
        elected: tuple[int, ...] = ()
        requeued: tuple[int, ...] = ()
        if fills:
            requeued = book.take_requeued()
            status = "partially_filled" if remaining else "filled"
            if remaining and order_id not in book:
                status, reason, canceled = "canceled", FILL_LIMIT, remaining
            if market in self._armed:
                elected = self._elect(market, side, fills)
        before, self.position = self.position, offset
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, status, reason, canceled,
                fills, (), 0, elected, requeued,
            ),
        )  # fmt: skip

    def amend(self, offset: int, command: AmendOrder) -> Amended | NotAmended | None:
        """Give a live order another price or quantity; return what became of it.

        With its price and no more lots than it has, it keeps its place (`OrderBook.reduce`). Else
        it is taken out and comes again, as a new order that is good till canceled: it may trade,
        and rests behind all others. If it is not amended, it stays as it is.

        `None` if the amendment has been seen before, whatever became of it (since this engine was
        built): only the position moves.

        Raises:
            ValueError, UnknownMarket: as `apply`.
            AssertionError: the price or the number of the amendment is not positive.

        After an error nothing has changed, the position included.
        """
        if offset <= self.position:
            raise ValueError(f"offset {offset} is not beyond position {self.position}")
        order_id, amendment_id, market, price, change, _, _ = command
        book = self.book(market)
        assert amendment_id > 0, command
        assert price > 0, command
        if -amendment_id in self._seen:
            self.position = offset
            return None
        order = book.find(order_id)
        reason = NOT_IN_BOOK if order is None else self._why_not_amended(command, order)
        result: Amended | NotAmended
        if order is None or reason:
            before, self.position = self.position, offset
            result = NotAmended(offset, before, order_id, market, reason)
        elif price == order.price and change <= 0:
            execution = self._amend_in_place(offset, market, order, -change)
            result = Amended(execution, order.price, order.remaining)
        else:
            result = Amended(self._come_again(offset, command, order), order.price, order.remaining)
        self._seen[-amendment_id] = offset
        self._seen_order.append(-amendment_id)
        return result

    def _why_not_amended(self, command: AmendOrder, order: RestingOrder) -> str:
        """Return why an order in the book is not amended, "" if it is; changes nothing."""
        market, price, change = command[2:5]
        book, state = self._books[market], self.state_of(market)
        if state in ("cancel_only", "halted"):
            return f"market_{state}"
        if order.remaining + change <= 0:
            return ALREADY_FILLED
        # With its own price it does not trade: the book is not crossed.
        if book.would_trade(order.side, price):
            if state == "post_only":
                return f"market_{state}"
            if command.post_only:
                return POST_ONLY_WOULD_TRADE
        return ""

    def _amend_in_place(
        self, offset: int, market: str, order: RestingOrder, quantity: int
    ) -> Execution:
        """Take `quantity` lots out of an order, none if 0."""
        order_id, user_id, side, price = order[:4]
        book = self._books[market]
        if quantity:
            book.reduce(order_id, quantity)
        before, self.position = self.position, offset
        return Execution(
            market, offset, before, order_id, user_id, side, price, "open", "", 0, (),
            requeued=book.take_requeued(),
        )  # fmt: skip

    def _come_again(self, offset: int, command: AmendOrder, order: RestingOrder) -> Execution:
        """Take an order out and let it come as the amendment says; its market takes it."""
        order_id, _, market, price, change, post_only, prevention = command
        self._books[market].cancel(order_id)
        again = PlaceWithRules(
            order_id, order.user_id, market, order.side, price, order.remaining + change,
            post_only=post_only, prevention=prevention, part=order.part,
        )  # fmt: skip
        return self._come(offset, again)

    def _apply_other(self, offset: int, command: Command) -> Execution | None:
        if type(command) is CancelOrder:
            return self._cancel(offset, command)
        if type(command) is PlaceStop:
            return self._place_stop(offset, command)
        assert type(command) is TriggerOrder, command
        return self._trigger(offset, command)

    def _place_with_rules(self, offset: int, command: PlaceWithRules) -> Execution | None:
        order_id, market = command[0], command[2]
        if market not in self._books:
            raise UnknownMarket(market)
        if order_id in self._seen:
            self.position = offset
            return None
        try:
            result = self._come(offset, command)
        except DuplicateOrder:
            self.position = offset
            return None
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        return result

    def _come(self, offset: int, command: PlaceWithRules) -> Execution:
        """Let an order come to its market: a new one, or one that was triggered or amended.

        Raises:
            DuplicateOrder: it is in the book; nothing has changed.
        """
        order_id, user_id, market, side, price = command[:5]
        book = self._books[market]
        if market not in self._open and (refused := self._refused(offset, command)) is not None:
            return refused
        placed = book.place_with_rules(command)
        remaining, fills, self_trades, prevented, reason = placed
        status: Status = "partially_filled" if fills else "open"
        canceled = 0
        if reason:
            status, canceled = "canceled", remaining
        elif not remaining and prevented:
            status, reason = "canceled", SELF_TRADE
        elif not remaining or command.budget:
            status, canceled = "filled", remaining  # a spent budget leaves lots that it cannot buy
        elected: tuple[int, ...] = ()
        if fills and market in self._armed:
            elected = self._elect(market, side, fills)
        before, self.position = self.position, offset
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, status, reason, canceled,
                fills, self_trades, prevented, elected, book.take_requeued(),
            ),
        )  # fmt: skip

    def _elect(self, market: str, taker_side: Side, fills: tuple[Fill, ...]) -> tuple[int, ...]:
        """Elect the stop orders that the trades of one event reach; return them in their turn.

        A taker's trades only get worse for it, so the first one is as far as the price went the
        other way, and the last one as far as it went this way.
        """
        stops = self._armed[market]
        elected = stops.elect(-taker_side, fills[0].price)
        elected += stops.elect(taker_side, fills[-1].price)
        if not stops.waiting:
            del self._armed[market]
        return tuple(elected)

    def _place_stop(self, offset: int, command: PlaceStop) -> Execution | None:
        """Let a stop order wait, or elect it if its price has come already."""
        order_id, user_id, market, side, price, quantity = command[:6]
        book, stops, state = self.book(market), self._stops[market], self.state_of(market)
        if order_id in self._seen or order_id in stops or order_id in book:
            self.position = offset
            return None
        _require_sound(command)
        status: Status = "untriggered"
        reason, canceled = "", 0
        elected: tuple[int, ...] = ()
        if state in ("cancel_only", "halted"):
            status, reason, canceled = "canceled", f"market_{state}", quantity
        elif _is_reached(command, book.last_price):
            stops.add_elected(command)
            elected = (order_id,)
        elif stops.waiting >= self._max_stops:
            status, reason, canceled = "canceled", TOO_MANY_STOPS, quantity
        else:
            stops.add(command)
            self._armed[market] = stops
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        before, self.position = self.position, offset
        return Execution(
            market, offset, before, order_id, user_id, side, price, status, reason, canceled,
            (), elected=elected,
        )  # fmt: skip

    def _trigger(self, offset: int, command: TriggerOrder) -> Execution | None:
        """Let an elected stop order come, as the limit order that it is."""
        order_id, market = command
        self.book(market)
        order = self._stops[market].take_elected(order_id)
        if order is None:
            self.position = offset
            return None
        return self._come(offset, PlaceWithRules(*order[:6], *order[7:]))

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
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        if (refused := self._refused(offset, command)) is not None:
            return refused
        book.place(order_id, user_id, side, price, quantity)
        before, self.position = self.position, offset
        return Execution(market, offset, before, order_id, user_id, side, price, "open", "", 0, ())

    def _refused(self, offset: int, command: PlaceOrder | PlaceWithRules) -> Execution | None:
        """Cancel an order that its market, which is not open, does not take; None if it does.

        It is not noted as seen: that is the caller's work.
        """
        order_id, user_id, market, side, price, quantity = command[:6]
        book, state = self.book(market), self.state_of(market)
        takes_it = state == "post_only" and not book.would_trade(side, price)
        if takes_it or order_id in book:  # what is in the book is a duplicate
            return None
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
        order = book.cancel(order_id) or self._cancel_stop(market, order_id)
        before, self.position = self.position, offset
        if order is None:
            return None
        _, user_id, side, price, remaining, _ = order
        return _new(
            Execution,
            (
                market, offset, before, order_id, user_id, side, price, "canceled", reason,
                remaining, (), (), 0, (), (),
            ),
        )  # fmt: skip

    def _cancel_stop(self, market: str, order_id: int) -> RestingOrder | None:
        stops = self._stops[market]
        order = stops.cancel(order_id)
        if order is None:
            return None
        if not stops.waiting:
            self._armed.pop(market, None)
        return RestingOrder(order_id, order.user_id, order.side, order.price, order.quantity)

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

        It is not if it has been seen before, or is in the book, or waits for its price: then
        nothing but the position has changed. A refused order counts as seen, so that a good record
        of it after this one is a duplicate.

        Raises:
            ValueError: `offset` is not beyond `position`.
        """
        self.skip(offset)
        book = self._books.get(market)
        if order_id in self._seen:
            return False
        if book is not None and (order_id in book or order_id in self._stops[market]):
            return False
        self._seen[order_id] = offset
        self._seen_order.append(order_id)
        return True

    def refuse_amendment(self, offset: int, amendment_id: int) -> bool:
        """Move past the unusable record of an amendment; return whether it is refused by it.

        It is not if it has been seen before: then nothing but the position has changed. A refused
        amendment counts as seen, so that a good record of it after this one is a duplicate.

        Raises:
            ValueError: `offset` is not beyond `position`.
            AssertionError: the number of the amendment is not positive; nothing has changed.
        """
        assert amendment_id > 0, amendment_id
        self.skip(offset)
        if -amendment_id in self._seen:
            return False
        self._seen[-amendment_id] = offset
        self._seen_order.append(-amendment_id)
        return True

    def forget_seen(self, through_offset: int) -> None:
        """Forget the orders and amendments seen at or before an offset: so memory stays bounded.

        Call it with the checkpoint: what is before it, the database knows. An order that still
        rests, or waits for its price, is recognised by that all the same.
        """
        seen, order = self._seen, self._seen_order
        while order and seen[order[0]] <= through_offset:
            del seen[order.popleft()]

    @property
    def seen_count(self) -> int:
        """Return how many ids are remembered besides the orders in the books."""
        return len(self._seen)

    def state_hash(self) -> str:
        """Return the SHA-256 (hex) of all books: markets, states, last trades, orders by priority.

        And of all stop orders, in the order in which they would be elected.
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
                digest.update(f"{order.written()}\n".encode())
            # A market that never had a trade or a stop order has the hash that it always had.
            if book.last_price:
                digest.update(f"last price {book.last_price}\n".encode())
            for stop, elected in self._stops[symbol].orders():
                digest.update((" ".join(map(str, (*stop, elected))) + "\n").encode())
        return digest.hexdigest()

    def validate(self) -> None:
        """Check every book; raise `AssertionError` where one contradicts itself."""
        assert list(self._seen) == list(self._seen_order), "seen ids out of order"
        is_open = {market for market, (_, state) in self._states.items() if state == "open"}
        assert self._states.keys() == self._books.keys(), "markets without a state"
        assert self._open == {market: self._books[market] for market in is_open}, "open markets"
        armed = {market: stops for market, stops in self._stops.items() if stops.waiting}
        assert self._armed == armed, "armed markets"
        for market, book in self._books.items():
            book.validate()
            self._stops[market].validate(book.last_price)
            assert not any(order.order_id in book for order, _ in self._stops[market].orders())


def _is_reached(order: PlaceStop, price: int) -> bool:
    """Return whether a trade at `price` (0: there was none) elects the order."""
    return price > 0 and order.side * order.stop_price <= order.side * price


def _require_sound(order: PlaceStop) -> None:
    """Raise `AssertionError` if an order says what no validated one does."""
    assert order.price > 0, order
    assert order.quantity > 0, order
    assert order.stop_price > 0, order
    assert order.side in (BUY, SELL), order
    assert order.user_id > 0, order
    assert order.time_in_force == "gtc" or not order.post_only, order
