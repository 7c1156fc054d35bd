"""The order book of one market: who trades with whom, at what price, in what order.

Rule (DESIGN, promise 7): price-time priority. The best price trades first; at one price the
order that has been resting longest. A trade is at the maker's price, so a taker never does worse
than its limit. What a limit order cannot trade at once rests in the book.

Two orders of one user match like any others, unless the taker's rule prevents it: then the taker,
the maker or both are canceled instead, or both are reduced by the smaller remainder
(`place_with_rules`, which also knows orders that do not rest, or do nothing but rest).

An iceberg shows and trades only a part of itself at a time. When that part is used up, the next one
comes to the back of the queue at its price, within the same matching. All parts but the first are
exactly as large as it says: the first is what is left over. So how much of it is visible follows
from how much is left of it.

One order meets at most `max_fills` others when it comes, so that the work and the record of one
event are bounded. What it could trade beyond that is canceled: resting, it would cross the book.

The book knows prices in ticks and quantities in lots, as plain integers. It must never read a
clock, roll dice, do I/O or keep more than its live orders need.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import Final, NamedTuple

from matching.engine.errors import CrossedBook, DuplicateOrder
from matching.engine.levels import REMAINING, SLACK, BookEntry, BookSide, Level
from matching.engine.messages import (
    BUY,
    SELL,
    Fill,
    PlaceWithRules,
    Prevention,
    RestingOrder,
    SelfTrade,
    Side,
)

FILL_LIMIT: Final = "fill_limit"
"""The reason of an order that was canceled because it would meet more than `max_fills` others."""
IOC_REMAINDER: Final = "ioc_remainder"
"""Immediate or cancel: there was nothing more to trade with."""
FOK_NOT_FILLABLE: Final = "fok_not_fillable"
"""Fill or kill: there was not enough to trade with."""
POST_ONLY_WOULD_TRADE: Final = "post_only_would_trade"
BUDGET_TOO_SMALL: Final = "budget_too_small"
"""It may not spend as much as one lot costs."""
SELF_TRADE: Final = "self_trade"
"""It met an order of its own user."""

MAX_FILLS: Final = 5_000
"""Fills of one event: its result stays below a megabyte, and its settlement below a second."""

_NO_ICEBERG: Final = (0, 0)
"""It hides nothing."""

_NOBODY: Final = 0
"""No user has this number."""

_new = tuple.__new__  # builds a named tuple in half the time of its own constructor


class Placed(NamedTuple):
    """What became of an order with rules: lots that remain, trades, and trades prevented.

    `reason`: why what remains does not rest; "" if it does, or nothing remains, or an order with a
    budget has spent it. `prevented`: by how many lots the order was reduced.
    """

    remaining: int
    fills: tuple[Fill, ...] = ()
    self_trades: tuple[SelfTrade, ...] = ()
    prevented: int = 0
    reason: str = ""


class OrderBook:
    """One market's resting orders.

    `last_trade_id`, `last_price`: number and price of its latest trade, both 0 before any.
    """

    __slots__ = (
        "_asks", "_bids", "_entries", "_icebergs", "_max_fills", "_requeued",
        "last_price", "last_trade_id",
    )  # fmt: skip

    def __init__(
        self, last_trade_id: int = 0, max_fills: int = MAX_FILLS, last_price: int = 0
    ) -> None:
        assert last_trade_id >= 0, last_trade_id
        assert last_price >= 0, last_price
        assert max_fills > 0, max_fills
        self.last_trade_id = last_trade_id
        self.last_price = last_price
        self._max_fills = max_fills
        self._entries: dict[int, BookEntry] = {}
        # [hidden, part]: lots of a live order that its entry does not show, and how many it shows
        # at a time. Beside the entries, so that those of plain orders are all alike. An iceberg
        # stays here with its last part: an amendment may give it more to hide.
        self._icebergs: dict[int, list[int]] = {}
        self._requeued: dict[int, None] = {}
        self._bids = BookSide()
        self._asks = BookSide()

    def __len__(self) -> int:
        """Return the number of live orders."""
        return len(self._entries)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._entries

    def place(
        self, order_id: int, user_id: int, side: Side, price: int, quantity: int
    ) -> tuple[int, tuple[Fill, ...]]:
        """Match a new limit order and let its remainder rest; return (remaining, fills).

        The remainder does not rest if the order could trade on after `max_fills` fills.

        Raises:
            DuplicateOrder: the id is already in the book.
        """
        if order_id in self._entries:
            raise DuplicateOrder(order_id)
        assert price > 0, price
        assert quantity > 0, quantity
        # A taker reaches the makers whose key is at most `reach`; its own key is the negative.
        if side == BUY:
            reach, own, makers = price, self._bids, self._asks
        else:
            assert side == SELL, side
            reach, own, makers = -price, self._asks, self._bids
        fills: tuple[Fill, ...] = ()
        if makers.keys and makers.keys[0] <= reach:
            quantity, fills = self._match(makers, reach, quantity, _NOBODY, self._max_fills)
            if len(fills) == self._max_fills and self._is_in_reach(makers, reach):
                return quantity, fills
        if quantity:
            self._entries[order_id] = entry = [order_id, user_id, side, price, quantity]
            # As `own.append` does, without its call: this line is every resting order's.
            level = own.levels.get(-reach) or own.add_level(-reach)
            level.queue.append(entry)
            level.quantity += quantity
        return quantity, fills

    def place_with_rules(self, order: PlaceWithRules) -> Placed:
        """Do with a new limit order what its rules say.

        Raises:
            DuplicateOrder: the id is already in the book.
        """
        (
            order_id, user_id, _, side, price, quantity,
            time_in_force, post_only, prevention, budget, part,
        ) = order  # fmt: skip
        if order_id in self._entries:
            raise DuplicateOrder(order_id)
        assert price > 0, price
        assert quantity > 0, quantity
        assert side in (BUY, SELL), side
        assert user_id != _NOBODY, user_id
        assert time_in_force == "gtc" or not (post_only or part), time_in_force
        assert not budget or (budget > 0 and side == BUY and time_in_force == "ioc"), order
        assert part >= 0, part
        own, makers = (self._bids, self._asks) if side == BUY else (self._asks, self._bids)
        reach = side * price
        if budget:
            return self._spend(makers, order)
        placed = _new(Placed, (quantity, (), (), 0, ""))
        if makers.keys and makers.keys[0] <= reach:
            if post_only and self._is_in_reach(makers, reach):
                return Placed(quantity, reason=POST_ONLY_WOULD_TRADE)
            guarded = _NOBODY if prevention == "none" else user_id
            if time_in_force == "fok" and (reason := self._why_not(makers, order, guarded)):
                return Placed(quantity, reason=reason)
            placed = self._trade(makers, reach, quantity, guarded, prevention)
        if not placed.remaining or placed.reason:
            return placed
        if time_in_force != "gtc":
            reason = IOC_REMAINDER if time_in_force == "ioc" else FOK_NOT_FILLABLE
            return placed._replace(reason=reason)
        self._rest(own, order_id, user_id, side, price, placed.remaining, part)
        return placed

    def _rest(
        self,
        own: BookSide,
        order_id: int,
        user_id: int,
        side: Side,
        price: int,
        remaining: int,
        part: int,
    ) -> None:
        """Put an order behind all others of its price; of an iceberg, what `part` lets be seen."""
        shown = remaining
        if part:
            shown = (remaining - 1) % part + 1
            self._icebergs[order_id] = [remaining - shown, part]
        entry = [order_id, user_id, side, price, shown]
        self._entries[order_id] = entry
        own.append(-side * price, entry)

    def _why_not(self, makers: BookSide, order: PlaceWithRules, guarded: int) -> str:
        """Return why `order` cannot trade whole at once, "" if it can; changes nothing.

        It must not meet an order of the user `guarded` on the way: own liquidity does not count,
        and none of it is canceled for an order that may come to nothing.
        """
        quantity = order.quantity
        for met, (user_id, shown) in enumerate(self._ahead(makers, order.side * order.price)):
            if met == self._max_fills:
                return FILL_LIMIT
            if user_id == guarded:
                return SELF_TRADE
            quantity -= shown
            if quantity <= 0:
                return ""
        return FOK_NOT_FILLABLE

    def _ahead(self, makers: BookSide, reach: int) -> Iterator[tuple[int, int]]:
        """Yield whom a taker would meet in turn who takes all: (user, lots); changes nothing."""
        icebergs = self._icebergs
        for queue in makers.queues_within(reach):
            again: deque[tuple[int, int, int]] = deque()
            for order_id, user_id, _, _, shown in queue:
                if shown:
                    yield user_id, shown
                    hidden, part = icebergs.get(order_id, _NO_ICEBERG)
                    if hidden:
                        again.append((user_id, hidden, part))
            while again:
                user_id, hidden, part = again.popleft()
                yield user_id, part
                if hidden > part:
                    again.append((user_id, hidden - part, part))

    def _trade(
        self, makers: BookSide, reach: int, quantity: int, guarded: int, prevention: Prevention
    ) -> Placed:
        """Trade with the makers in reach; those of the user `guarded` as the rule says."""
        fills: list[Fill] = []
        self_trades: list[SelfTrade] = []
        prevented, left, reason = 0, self._max_fills, ""
        while True:
            quantity, traded = self._match(makers, reach, quantity, guarded, left)
            fills.extend(traded)
            left -= len(traded)
            maker = makers.first_within(reach) if quantity else None
            if maker is None:
                break
            if not left:
                reason = FILL_LIMIT
                break
            # There is more to trade with, and the matching has stopped: at an order of one's own.
            assert maker[1] == guarded, maker
            if prevention == "cancel_taker":
                reason = SELF_TRADE
                break
            left -= 1
            self_trades.append(self._prevent(makers, maker, quantity, prevention))
            if prevention == "decrement_and_cancel":
                quantity -= self_trades[-1].quantity
                prevented += self_trades[-1].quantity
            if prevention == "cancel_both":
                reason = SELF_TRADE
                break
        return Placed(quantity, tuple(fills), tuple(self_trades), prevented, reason)

    def _spend(self, makers: BookSide, order: PlaceWithRules) -> Placed:
        """Buy what the order's budget buys, one price after the other; none of it rests.

        It is spent when it does not buy one more lot: from the next order in reach, or, if there is
        none, at the last price at which it bought. Reduced by an order of its own user, it has as
        much less to spend as that would have cost.
        """
        quantity, prevention, budget = order.quantity, order.prevention, order.budget
        guarded = _NOBODY if prevention == "none" else order.user_id
        fills: list[Fill] = []
        self_trades: list[SelfTrade] = []
        prevented, left, last_price = 0, self._max_fills, 0
        while quantity:
            maker = makers.first_within(order.price)
            if maker is None:
                reason = "" if budget < last_price else IOC_REMAINDER
                break
            price = maker[3]
            lots = min(quantity, budget // price)
            if not lots:
                reason = "" if fills or prevented else BUDGET_TOO_SMALL
                break
            if not left:
                reason = FILL_LIMIT
                break
            if maker[1] != guarded:
                rest, traded = self._match(makers, price, lots, guarded, left)
                fills.extend(traded)
                left -= len(traded)
                bought = lots - rest
            elif prevention == "cancel_taker":
                reason = SELF_TRADE
                break
            else:
                left -= 1
                self_trades.append(self._prevent(makers, maker, lots, prevention))
                if prevention == "cancel_both":
                    reason = SELF_TRADE
                    break
                if prevention == "cancel_maker":
                    continue
                bought = self_trades[-1].quantity
                prevented += bought
            quantity -= bought
            budget -= bought * price
            last_price = price
        else:
            reason = ""
        if not reason and prevented:
            reason = SELF_TRADE  # reduced is neither filled nor canceled by itself
        return Placed(quantity, tuple(fills), tuple(self_trades), prevented, reason)

    def _prevent(
        self, makers: BookSide, maker: BookEntry, quantity: int, prevention: Prevention
    ) -> SelfTrade:
        """Take out of the book what the rule says of an order that a taker of its user has met.

        `quantity`: lots that the taker would trade.
        """
        reduces = prevention == "decrement_and_cancel"
        whole = maker[REMAINING] + self._hidden(maker[0])
        taken = min(quantity, whole) if reduces else whole
        self_trade = SelfTrade(maker[0], maker[3], taken, not reduces)
        self._take_out(makers, maker, taken)
        return self_trade

    def _take_out(self, side: BookSide, entry: BookEntry, quantity: int) -> None:
        """Take `quantity` lots of a resting order out of the book without a trade.

        Of an iceberg whose visible part they use up, what is left comes to the back of its queue.
        """
        order_id, user_id, own, price, shown = entry
        key = -own * price
        if quantity < shown:
            side.reduce(key, entry, quantity)
            return
        hidden, part = self._icebergs.pop(order_id, _NO_ICEBERG)
        del self._entries[order_id]
        side.cancel(key, entry)
        if left := shown + hidden - quantity:
            self._rest(side, order_id, user_id, own, price, left, part)
            self._note_requeued(order_id)

    def _hidden(self, order_id: int) -> int:
        """Return how many lots of a live order nobody sees."""
        iceberg = self._icebergs.get(order_id)
        return 0 if iceberg is None else iceberg[0]

    def _show_next(self, level: Level, entry: BookEntry) -> int:
        """Put the next part of an iceberg behind all others of its price; return its lots.

        After the last part it is gone, as any order that has traded; 0.
        """
        order_id = entry[0]
        iceberg = self._icebergs[order_id]
        hidden, part = iceberg
        if not hidden:
            del self._icebergs[order_id], self._entries[order_id]
            return 0
        iceberg[0] = hidden - part
        entry[REMAINING] = part
        level.queue.append(entry)
        self._note_requeued(order_id)
        return part

    def _note_requeued(self, order_id: int) -> None:
        self._requeued.pop(order_id, None)
        self._requeued[order_id] = None

    def take_requeued(self) -> tuple[int, ...]:
        """Return, once, the orders that have come to the back of their queues, in this order."""
        if not self._requeued:
            return ()
        live = tuple(order_id for order_id in self._requeued if order_id in self._entries)
        self._requeued.clear()
        return live

    def _match(
        self, makers: BookSide, reach: int, quantity: int, guarded: int, limit: int
    ) -> tuple[int, tuple[Fill, ...]]:
        """Trade up to `quantity` with the makers in reach; return (remaining, fills).

        Stops after `limit` trades, and before an order of the user `guarded`.
        """
        entries, icebergs = self._entries, self._icebergs
        fills: list[Fill] = []
        trade_id = self.last_trade_id
        last_id = trade_id + limit
        keys, levels = makers.keys, makers.levels
        while quantity and keys and keys[0] <= reach and trade_id < last_id:
            level = levels.get(keys[0])
            if level is None:
                makers.drop_stale_key()
                continue
            queue = level.queue
            available = level.quantity
            while quantity and available and trade_id < last_id:
                maker = queue[0]
                maker_order_id, maker_user_id, _, price, remaining = maker
                if not remaining:
                    queue.popleft()
                    level.canceled -= 1
                    continue
                if maker_user_id == guarded:
                    last_id = trade_id  # ends both loops
                    break
                if remaining > quantity:
                    traded = quantity
                    maker[REMAINING] = remaining - traded
                else:
                    traded = remaining
                    queue.popleft()
                    if icebergs and maker_order_id in icebergs:
                        available += self._show_next(level, maker)
                    else:
                        del entries[maker_order_id]
                quantity -= traded
                available -= traded
                trade_id += 1
                fill = _new(Fill, (trade_id, maker_order_id, maker_user_id, price, traded))
                fills.append(fill)
            level.quantity = available
            if not available:
                makers.drop_best_level()
            elif level.canceled:
                level.compact()
        if fills:
            self.last_trade_id = trade_id
            self.last_price = fills[-1][3]
        return quantity, tuple(fills)

    def would_trade(self, side: Side, price: int) -> bool:
        """Return whether an order at this price would trade when it comes."""
        makers = self._asks if side == BUY else self._bids
        return self._is_in_reach(makers, side * price)

    @staticmethod
    def _is_in_reach(makers: BookSide, reach: int) -> bool:
        best = makers.best_key()
        return best is not None and best <= reach

    def find(self, order_id: int) -> RestingOrder | None:
        """Return an order as it is, or `None` when it is not in the book."""
        entry = self._entries.get(order_id)
        if entry is None:
            return None
        _, user_id, side, price, shown = entry
        hidden, part = self._icebergs.get(order_id, _NO_ICEBERG)
        return RestingOrder(order_id, user_id, side, price, shown + hidden, part)

    def reduce(self, order_id: int, quantity: int) -> None:
        """Take some lots, but not all, out of an order that is in the book; it keeps its place.

        Of an iceberg first those that are seen. If that is all of them, what is left is cut anew
        and comes to the back of its queue.
        """
        entry = self._entries[order_id]
        assert 0 < quantity < entry[REMAINING] + self._hidden(order_id), quantity
        self._take_out(self._bids if entry[2] == BUY else self._asks, entry, quantity)

    def cancel(self, order_id: int) -> RestingOrder | None:
        """Take an order out; return it as it was, or `None` when it is not in the book."""
        entry = self._entries.pop(order_id, None)
        if entry is None:
            return None
        _, user_id, side, price, shown = entry
        hidden, part = self._icebergs.pop(order_id, _NO_ICEBERG)
        order = _new(RestingOrder, (order_id, user_id, side, price, shown + hidden, part))
        own = self._bids if side == BUY else self._asks
        own.cancel(-side * price, entry)
        return order

    def restore(
        self, order_id: int, user_id: int, side: Side, price: int, remaining: int, part: int = 0
    ) -> None:
        """Put back an order that was resting, behind those restored before it; nothing matches.

        `part`: how many lots an iceberg shows at a time; 0: it shows all.

        Raises:
            DuplicateOrder: the id is already in the book.
            CrossedBook: it would trade with the other side, so it cannot have been resting.
        """
        if order_id in self._entries:
            raise DuplicateOrder(order_id)
        assert price > 0, price
        assert remaining > 0, remaining
        assert side in (BUY, SELL), side
        reach = side * price
        own, makers = (self._bids, self._asks) if side == BUY else (self._asks, self._bids)
        if self._is_in_reach(makers, reach):
            raise CrossedBook(f"order {order_id} at {price} reaches the other side")
        assert part >= 0, part
        self._rest(own, order_id, user_id, side, price, remaining, part)

    def depth(
        self, levels: int | None = None
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return (bids, asks) as [(price, quantity)], best price first, at most `levels` each.

        Of icebergs it has the visible parts. Costs time in proportion to the number of price
        levels, not of orders.
        """
        assert levels is None or levels >= 0, levels
        bids, asks = self._bids.levels, self._asks.levels
        return (
            [(-key, bids[key].quantity) for key in _best_keys(bids, levels)],
            [(key, asks[key].quantity) for key in _best_keys(asks, levels)],
        )

    def orders(self) -> Iterator[RestingOrder]:
        """Yield the live orders in priority order: all bids, then all asks."""
        for side in (self._bids, self._asks):
            for key in sorted(side.levels):
                for entry in side.levels[key].queue:
                    if entry[REMAINING]:
                        order_id, user_id, own, price, shown = entry
                        hidden, part = self._icebergs.get(order_id, _NO_ICEBERG)
                        yield RestingOrder(order_id, user_id, own, price, shown + hidden, part)

    def validate(self) -> None:
        """Check the whole structure; raise `AssertionError` where it contradicts itself."""
        bid, ask = self._bids.best_key(), self._asks.best_key()
        assert bid is None or ask is None or -bid < ask, f"crossed: bid {-bid}, ask {ask}"
        live = 0
        for side, own in ((BUY, self._bids), (SELL, self._asks)):
            assert own.stale.isdisjoint(own.levels), "a level is both live and stale"
            assert len(own.keys) == len(own.stale) + len(own.levels), "heap size"
            assert set(own.keys) == own.stale | own.levels.keys(), "heap content"
            assert len(own.stale) <= len(own.levels) + SLACK, "stale keys not compacted"
            live += sum(self._validate_level(side, key, own) for key in own.levels)
        assert live == len(self._entries), "an indexed order is in no level"
        for order_id, (hidden, part) in self._icebergs.items():
            assert 0 < self._entries[order_id][REMAINING] <= part, f"iceberg {order_id}"
            assert hidden >= 0, f"iceberg {order_id} hides less than nothing"
            assert hidden % part == 0, f"hidden part of {order_id}"
        assert not self._requeued, "a queue was changed and nobody has been told"

    def _validate_level(self, side: Side, key: int, own: BookSide) -> int:
        """Check one level; return the number of its live orders."""
        level = own.levels[key]
        live = [entry for entry in level.queue if entry[REMAINING]]
        assert live, f"empty level at {abs(key)}"
        assert all(entry[REMAINING] > 0 for entry in live), f"negative order at {abs(key)}"
        assert level.quantity == sum(entry[REMAINING] for entry in live), f"sum at {abs(key)}"
        assert level.canceled == len(level.queue) - len(live), f"tombstones at {abs(key)}"
        assert level.canceled <= len(live) + SLACK, f"level {abs(key)} not compacted"
        for entry in live:
            assert self._entries.get(entry[0]) is entry, f"order {entry[0]} not indexed"
            assert entry[2] == side, f"order {entry[0]} on the wrong side"
            assert -side * entry[3] == key, f"order {entry[0]} in the wrong level"
        return len(live)


def _best_keys(levels: Iterable[int], limit: int | None) -> list[int]:
    return sorted(levels) if limit is None else nsmallest(limit, levels)
