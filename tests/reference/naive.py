"""A matching engine that is slow and obviously right: the oracle for the fast one.

Written from the rules, not from the engine, and shares no code with it. Every order ever resting
is a row in one list; every question is answered by scanning and sorting that list.

The rules: the best price first, then the oldest; a trade at the maker's price; the remainder of a
limit order rests; after `max_fills` trades an order that could trade on is canceled; trade numbers are
dense per market; a market that is halted or cancel-only cancels every new order, one that is
post-only those that would trade; of a market's changes the highest number so far counts; an order id counts once; canceling what is not in the book does nothing; a result names the offset of the result before it.

And: what remains of an immediate-or-cancel order is canceled. A post-only order that could trade is
canceled. A fill-or-kill order is canceled, with nothing else changed, unless the orders it may meet,
the first `max_fills` at most, fill it whole before one of its own user comes. An order that prevents
self-trades does this instead of the trade with an order of its own user, which counts as a trade for
`max_fills`: cancel itself, the other, both; or take the smaller remainder from both.

And: a buy order with a budget (immediate or cancel) trades no more lots with an order than what is left
of its budget pays for; lots taken from it with its own user's order count as paid for. If that is not
one lot with the next order, or there is no next order and it is not one lot at the price of the last one
that took lots from it, it is done: filled if it has traded, canceled with `budget_too_small` if nothing has
become of it at all, and canceled as self-trades cancel if it has been reduced.

And: a stop order waits outside the book. A buy is elected by a trade at its stop price or higher, a sell
by one at its stop price or lower; a trade elects those nearest to the price before it first, of these the
oldest first. One whose stop price the last trade has reached when it comes is elected at once. If
`max_stops` orders wait already, one that would wait is canceled. Elected, it comes as a limit order with
its trigger, not before; a trigger of what is not elected does nothing. A market that is halted or
cancel-only cancels stop orders that come.

And: an iceberg is cut into parts when it comes to rest, from its end, so that all but the first are
of the size it says. Only one part at a time can be seen and traded with. When nothing is left of it, the
next one is behind all orders at its price, as if it had just come. A cancel takes all parts, and so does a
prevented self-trade that cancels it; one that takes some from both takes from all parts together, and
what is left is cut anew, at the back of the queue unless some of the visible part is still there.

And: an amendment gives an order in the book another price, or more or fewer lots. It counts once,
whatever comes of it. It does nothing if the order is not there, if the market is halted or cancel-only, if no
lot would be left, or if the order could trade at its new price and either the market or its own rule wants
it to do nothing but rest. At the price that it has, with no more lots than it has, the order stays where it is
in the queue: the lots are taken as a prevented self-trade takes some from both. Else the order is
canceled, and one like it comes that is good till canceled.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

SideName = Literal["buy", "sell"]


@dataclass
class Row:
    """One order in the book. `arrival`: place in the queue of all orders.

    `part`: what an iceberg shows at a time, 0 if it shows all; `shown`: what it shows now.
    """

    arrival: int
    market: str
    order_id: int
    user_id: int
    side: SideName
    price: int
    remaining: int
    part: int = 0
    shown: int = 0

    def show(self) -> None:
        """Show the first of the parts into which it is cut from its end."""
        self.shown = self.remaining
        while 0 < self.part < self.shown:
            self.shown -= self.part


@dataclass
class StopRow:
    """A stop order that has not been triggered. `order`: how it will come, as `place` takes it."""

    row: Row
    stop_price: int
    order: dict[str, Any]
    elected: bool = False

    def is_reached(self, price: int) -> bool:
        """Return whether a trade at `price` elects it."""
        return price >= self.stop_price if self.row.side == "buy" else price <= self.stop_price


@dataclass(frozen=True)
class NaiveTrade:
    """One trade with one maker."""

    trade_id: int
    maker_order_id: int
    maker_user_id: int
    price: int
    quantity: int


@dataclass(frozen=True)
class NaiveSelfTrade:
    """A trade that was prevented, and what it took out of the book."""

    maker_order_id: int
    price: int
    quantity: int
    canceled: bool


@dataclass(frozen=True)
class NaiveResult:
    """What one event did."""

    market: str
    offset: int
    previous_offset: int
    order_id: int
    user_id: int
    side: SideName
    price: int
    status: str
    canceled_quantity: int = 0
    trades: tuple[NaiveTrade, ...] = ()
    reason: str = ""
    self_trades: tuple[NaiveSelfTrade, ...] = ()
    prevented_quantity: int = 0
    elected: tuple[int, ...] = ()
    requeued: tuple[int, ...] = ()


@dataclass(frozen=True)
class NaiveAmended:
    """What an amendment did, and the order's price and remainder before it."""

    result: NaiveResult
    price: int
    remaining: int


@dataclass(frozen=True)
class NaiveNotAmended:
    """An amendment that did nothing."""

    offset: int
    previous_offset: int
    order_id: int
    market: str
    reason: str


@dataclass
class NaiveExchange:
    """All markets, as one list of live orders."""

    last_trade_ids: dict[str, int]
    max_fills: int
    rows: list[Row] = field(default_factory=list)
    known_ids: set[int] = field(default_factory=set)
    known_amendments: set[int] = field(default_factory=set)
    arrivals: int = 0
    states: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Per market the highest change so far, and its state; open before any."""
    events: list[int] = field(default_factory=list)
    """The offsets of all events, in order."""
    last_prices: dict[str, int] = field(default_factory=dict)
    """Per market the price of its last trade; absent before any."""
    stops: list[StopRow] = field(default_factory=list)
    max_stops: int = 10_000
    requeued: list[int] = field(default_factory=list)
    """By the present event, and in turn."""

    def begin(self, offset: int) -> None:
        """Note that an event has come."""
        self.events.append(offset)
        self.requeued.clear()

    def place(
        self,
        offset: int,
        *,
        order_id: int,
        **order: Any,
    ) -> NaiveResult | None:
        """Take a new limit order."""
        self.begin(offset)
        if order_id in self.known_ids:
            return None
        self.known_ids.add(order_id)
        return self.come(offset, order_id=order_id, **order)

    def place_stop(
        self, offset: int, *, order_id: int, stop_price: int, **order: Any
    ) -> NaiveResult | None:
        """Take a new stop order."""
        self.begin(offset)
        if order_id in self.known_ids:
            return None
        self.known_ids.add(order_id)
        self.arrivals += 1
        market, quantity = order["market"], order["quantity"]
        row = Row(
            self.arrivals, market, order_id, order["user_id"], order["side"], order["price"], quantity
        )  # fmt: skip
        stop = StopRow(row, stop_price, {"order_id": order_id, **order})
        state = self.states.get(market, (0, "open"))[1]
        reason = ""
        if state in ("halted", "cancel_only"):
            reason = f"market_{state}"
        elif market in self.last_prices and stop.is_reached(self.last_prices[market]):
            stop.elected = True
        elif len(self.waiting_stops(market)) >= self.max_stops:
            reason = "too_many_stops"
        if reason:
            return self.result(offset, row, "canceled", canceled_quantity=quantity, reason=reason)
        self.stops.append(stop)
        return self.result(
            offset, row, "untriggered", elected=(order_id,) if stop.elected else ()
        )  # fmt: skip

    def trigger(self, offset: int, *, market: str, order_id: int) -> NaiveResult | None:
        """Let an elected stop order come."""
        self.begin(offset)
        for stop in self.stops:
            if stop.row.order_id == order_id and stop.row.market == market and stop.elected:
                self.stops.remove(stop)
                return self.come(offset, **stop.order)
        return None

    def elect(self, market: str, price: int) -> list[int]:
        """Elect what a trade at `price` reaches."""
        before = self.last_prices.get(market, price)
        self.last_prices[market] = price
        reached = [stop for stop in self.waiting_stops(market) if stop.is_reached(price)]
        reached.sort(key=lambda stop: (abs(stop.stop_price - before), stop.row.arrival))
        for stop in reached:
            stop.elected = True
        return [stop.row.order_id for stop in reached]

    def waiting_stops(self, market: str) -> list[StopRow]:
        """Return the untriggered orders of a market that are not elected."""
        return [stop for stop in self.stops if stop.row.market == market and not stop.elected]

    def come(  # noqa: PLR0912 - the rules, one after the other
        self,
        offset: int,
        *,
        market: str,
        order_id: int,
        user_id: int,
        side: SideName,
        price: int,
        quantity: int,
        time_in_force: str = "gtc",
        post_only: bool = False,
        prevention: str = "none",
        budget: int = 0,
        part: int = 0,
    ) -> NaiveResult:
        """Match one limit order, one trade at a time."""
        self.arrivals += 1
        taker = Row(self.arrivals, market, order_id, user_id, side, price, quantity, part)
        trades: list[NaiveTrade] = []
        elected: list[int] = []
        state = self.states.get(market, (0, "open"))[1]
        if state in ("halted", "cancel_only") or (state == "post_only" and self.makers_for(taker)):
            return self.result(
                offset, taker, "canceled", canceled_quantity=quantity, reason=f"market_{state}"
            )
        self_trades: list[NaiveSelfTrade] = []
        prevented = 0
        spent = last_price = 0
        done = False
        reason = ""
        if post_only and self.makers_for(taker):
            reason = "post_only_would_trade"
        if time_in_force == "fok":
            reason = self.why_not_filled_whole(taker, prevention)
        while taker.remaining > 0 and not reason:
            makers = self.makers_for(taker)
            if not makers:
                done = budget > 0 and budget - spent < last_price
                break
            maker = makers[0]
            meets_itself = maker.user_id == user_id and prevention != "none"
            lots = min(maker.remaining if meets_itself else maker.shown, taker.remaining)
            if budget:
                lots = min(lots, (budget - spent) // maker.price)
            if lots == 0:
                done = True
                break
            if len(trades) + len(self_trades) == self.max_fills:
                reason = "fill_limit"
                break
            if meets_itself:
                if prevention in ("cancel_taker", "cancel_both"):
                    reason = "self_trade"
                if prevention != "cancel_taker":
                    self_trade = self.prevent(taker, maker, prevention, lots)
                    self_trades.append(self_trade)
                    if not self_trade.canceled:
                        prevented += lots
                        spent += lots * maker.price
                        last_price = maker.price
                self.rows = [row for row in self.rows if row.remaining > 0]
                continue
            maker.remaining -= lots
            maker.shown -= lots
            taker.remaining -= lots
            spent += lots * maker.price
            last_price = maker.price
            self.show_next(maker)
            self.rows = [row for row in self.rows if row.remaining > 0]
            self.last_trade_ids[market] += 1
            elected += self.elect(market, maker.price)
            trades.append(
                NaiveTrade(
                    trade_id=self.last_trade_ids[market],
                    maker_order_id=maker.order_id,
                    maker_user_id=maker.user_id,
                    price=maker.price,
                    quantity=lots,
                )
            )
        if done and not trades and not prevented:
            reason = "budget_too_small"
        if taker.remaining > 0 and not done and not reason and time_in_force == "ioc":
            reason = "ioc_remainder"
        if (taker.remaining == 0 or done) and prevented:
            reason = "self_trade"
        if done and not reason:
            return self.result(
                offset, taker, "filled", canceled_quantity=taker.remaining, trades=tuple(trades),
                self_trades=tuple(self_trades), elected=tuple(elected),
            )  # fmt: skip
        if taker.remaining > 0 and not reason:
            taker.show()
            self.rows.append(taker)
        if reason:
            return self.result(
                offset, taker, "canceled", canceled_quantity=taker.remaining,
                trades=tuple(trades), reason=reason, self_trades=tuple(self_trades),
                prevented_quantity=prevented, elected=tuple(elected),
            )  # fmt: skip
        if taker.remaining == 0:
            status = "filled"
        elif trades:
            status = "partially_filled"
        else:
            status = "open"
        return self.result(
            offset, taker, status, trades=tuple(trades), self_trades=tuple(self_trades),
            prevented_quantity=prevented, elected=tuple(elected),
        )  # fmt: skip

    def prevent(self, taker: Row, maker: Row, prevention: str, both: int) -> NaiveSelfTrade:
        """Take out of the book what the rule says, instead of the trade."""
        if prevention in ("cancel_maker", "cancel_both"):
            taken, maker.remaining = maker.remaining, 0
            return NaiveSelfTrade(maker.order_id, maker.price, taken, canceled=True)
        maker.remaining -= both
        maker.shown -= min(both, maker.shown)
        taker.remaining -= both
        self.show_next(maker)
        return NaiveSelfTrade(maker.order_id, maker.price, both, canceled=False)

    def show_next(self, maker: Row) -> None:
        """Put a maker that shows nothing any more behind all others, with its next part."""
        if maker.shown or not maker.remaining:
            return
        maker.show()
        self.arrivals += 1
        maker.arrival = self.arrivals
        self.requeued.append(maker.order_id)

    def why_not_filled_whole(self, taker: Row, prevention: str) -> str:
        """Return why a fill-or-kill order is canceled, "" if it is not: try it on a copy."""
        trial = NaiveExchange({}, self.max_fills, self.by_arrival(), arrivals=self.arrivals)
        missing = taker.remaining
        for count in range(self.max_fills + 1):
            makers = trial.makers_for(taker)
            if missing <= 0:
                return ""
            if not makers:
                return "fok_not_fillable"
            if count == self.max_fills:
                return "fill_limit"
            if prevention != "none" and makers[0].user_id == taker.user_id:
                return "self_trade"
            missing -= makers[0].shown
            makers[0].remaining -= makers[0].shown
            makers[0].shown = 0
            trial.show_next(makers[0])
            trial.rows = [row for row in trial.rows if row.remaining > 0]
        raise AssertionError

    def change_market(self, offset: int, *, market: str, change_id: int, state: str) -> bool:
        """Put a market into a state, unless a change with this number or a higher one was here."""
        self.begin(offset)
        if change_id <= self.states.get(market, (0, "open"))[0]:
            return False
        self.states[market] = (change_id, state)
        return True

    def amend(
        self,
        offset: int,
        *,
        market: str,
        order_id: int,
        amendment_id: int,
        price: int,
        change: int,
        post_only: bool,
        prevention: str,
    ) -> NaiveAmended | NaiveNotAmended | None:
        """Give an order another price, or more or fewer lots."""
        self.begin(offset)
        if amendment_id in self.known_amendments:
            return None
        self.known_amendments.add(amendment_id)
        found = [row for row in self.rows if row.order_id == order_id and row.market == market]
        reason = self.why_not_amended(found, price, change, post_only) if found else "not_in_book"
        if reason:
            return NaiveNotAmended(offset, self.previous_offset(), order_id, market, reason)
        (row,) = found
        before = replace(row)
        if price == row.price and change <= 0:
            row.remaining += change
            row.shown = max(row.shown + change, 0)
            self.show_next(row)
            result = self.result(offset, row, "open")
        else:
            self.rows.remove(row)
            result = self.come(
                offset, market=market, order_id=order_id, user_id=row.user_id, side=row.side,
                price=price, quantity=row.remaining + change, post_only=post_only,
                prevention=prevention, part=row.part,
            )  # fmt: skip
        return NaiveAmended(result, before.price, before.remaining)

    def why_not_amended(self, found: list[Row], price: int, change: int, post_only: bool) -> str:
        """Return why the order that was found stays as it is, "" if it does not."""
        (row,) = found
        state = self.states.get(row.market, (0, "open"))[1]
        if state in ("halted", "cancel_only"):
            return f"market_{state}"
        if row.remaining + change <= 0:
            return "already_filled"
        could_trade = self.makers_for(replace(row, price=price))
        if could_trade and state == "post_only":
            return "market_post_only"
        if could_trade and post_only:
            return "post_only_would_trade"
        return ""

    def cancel(self, offset: int, *, market: str, order_id: int) -> NaiveResult | None:
        """Take the order out, if this market has it."""
        self.begin(offset)
        for row in self.rows:
            if row.order_id == order_id and row.market == market:
                self.rows = [other for other in self.rows if other is not row]
                return self.result(offset, row, "canceled", canceled_quantity=row.remaining)
        for stop in self.stops:
            if stop.row.order_id == order_id and stop.row.market == market:
                self.stops.remove(stop)
                return self.result(
                    offset, stop.row, "canceled", canceled_quantity=stop.row.remaining
                )
        return None

    def result(
        self,
        offset: int,
        row: Row,
        status: str,
        *,
        canceled_quantity: int = 0,
        trades: tuple[NaiveTrade, ...] = (),
        reason: str = "",
        self_trades: tuple[NaiveSelfTrade, ...] = (),
        prevented_quantity: int = 0,
        elected: tuple[int, ...] = (),
    ) -> NaiveResult:
        """Build the result of the event at `offset`."""
        return NaiveResult(
            market=row.market,
            offset=offset,
            previous_offset=self.previous_offset(),
            order_id=row.order_id,
            user_id=row.user_id,
            side=row.side,
            price=row.price,
            status=status,
            canceled_quantity=canceled_quantity,
            trades=trades,
            reason=reason,
            self_trades=self_trades,
            prevented_quantity=prevented_quantity,
            elected=elected,
            requeued=self.requeued_and_live(),
        )

    def previous_offset(self) -> int:
        """Return the offset of the event before the present one."""
        return self.events[-2] if len(self.events) > 1 else -1

    def requeued_and_live(self) -> tuple[int, ...]:
        """Return those of the live orders that the event has put behind others, the last place last."""
        live = [row for row in self.rows if row.order_id in self.requeued]
        return tuple(row.order_id for row in sorted(live, key=lambda row: row.arrival))

    def makers_for(self, taker: Row) -> list[Row]:
        """Return the orders that this one may trade with, the first to trade first."""
        if taker.side == "buy":
            asks = self.live(taker.market, "sell")
            return [row for row in asks if row.price <= taker.price]
        bids = self.live(taker.market, "buy")
        return [row for row in bids if row.price >= taker.price]

    def live(self, market: str, side: SideName) -> list[Row]:
        """Return the live orders of one side in price-time priority."""
        rows = [row for row in self.rows if row.market == market and row.side == side]
        rows.sort(key=lambda row: row.arrival)
        rows.sort(key=lambda row: row.price, reverse=side == "buy")
        return rows

    def by_arrival(self) -> list[Row]:
        """Return copies of all live orders, the oldest first: what a database would hold."""
        return [replace(row) for row in sorted(self.rows, key=lambda row: row.arrival)]

    def depth(self, market: str, side: SideName) -> list[tuple[int, int]]:
        """Return [(price, quantity)], the best price first."""
        totals: dict[int, int] = {}
        for row in self.live(market, side):
            totals[row.price] = totals.get(row.price, 0) + row.shown
        return list(totals.items())
