"""A matching engine that is slow and obviously right: the oracle for the fast one.

Written from the rules, not from the engine, and shares no code with it. Every order ever resting
is a row in one list; every question is answered by scanning and sorting that list.

The rules: the best price first, then the oldest; a trade at the maker's price; the remainder of a
limit order rests; after `max_fills` trades an order that could trade on is canceled; trade numbers are
dense per market; a market that is halted or cancel-only cancels every new order, one that is
post-only those that would trade; of a market's changes the highest number so far counts; an order id counts once; canceling what is not in the book does nothing; a result names the offset of the result before it.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

SideName = Literal["buy", "sell"]


@dataclass
class Row:
    """One order in the book. `arrival`: place in the queue of all orders."""

    arrival: int
    market: str
    order_id: int
    user_id: int
    side: SideName
    price: int
    remaining: int


@dataclass(frozen=True)
class NaiveTrade:
    """One trade with one maker."""

    trade_id: int
    maker_order_id: int
    maker_user_id: int
    price: int
    quantity: int


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


@dataclass
class NaiveExchange:
    """All markets, as one list of live orders."""

    last_trade_ids: dict[str, int]
    max_fills: int
    rows: list[Row] = field(default_factory=list)
    known_ids: set[int] = field(default_factory=set)
    arrivals: int = 0
    states: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Per market the highest change so far, and its state; open before any."""
    events: list[int] = field(default_factory=list)
    """The offsets of all events, in order."""

    def place(
        self,
        offset: int,
        *,
        market: str,
        order_id: int,
        user_id: int,
        side: SideName,
        price: int,
        quantity: int,
    ) -> NaiveResult | None:
        """Match one limit order, one trade at a time."""
        self.events.append(offset)
        if order_id in self.known_ids:
            return None
        self.known_ids.add(order_id)
        self.arrivals += 1
        taker = Row(self.arrivals, market, order_id, user_id, side, price, quantity)
        trades: list[NaiveTrade] = []
        state = self.states.get(market, (0, "open"))[1]
        if state in ("halted", "cancel_only") or (state == "post_only" and self.makers_for(taker)):
            return self.result(
                offset, taker, "canceled", canceled_quantity=quantity, reason=f"market_{state}"
            )
        while taker.remaining > 0:
            makers = self.makers_for(taker)
            if not makers:
                break
            if len(trades) == self.max_fills:
                return self.result(
                    offset, taker, "canceled", canceled_quantity=taker.remaining,
                    trades=tuple(trades), reason="fill_limit",
                )  # fmt: skip
            maker = makers[0]
            quantity_traded = min(maker.remaining, taker.remaining)
            maker.remaining -= quantity_traded
            taker.remaining -= quantity_traded
            self.rows = [row for row in self.rows if row.remaining > 0]
            self.last_trade_ids[market] += 1
            trades.append(
                NaiveTrade(
                    trade_id=self.last_trade_ids[market],
                    maker_order_id=maker.order_id,
                    maker_user_id=maker.user_id,
                    price=maker.price,
                    quantity=quantity_traded,
                )
            )
        if taker.remaining > 0:
            self.rows.append(taker)
        if taker.remaining == 0:
            status = "filled"
        elif trades:
            status = "partially_filled"
        else:
            status = "open"
        return self.result(offset, taker, status, trades=tuple(trades))

    def change_market(self, offset: int, *, market: str, change_id: int, state: str) -> bool:
        """Put a market into a state, unless a change with this number or a higher one was here."""
        self.events.append(offset)
        if change_id <= self.states.get(market, (0, "open"))[0]:
            return False
        self.states[market] = (change_id, state)
        return True

    def cancel(self, offset: int, *, market: str, order_id: int) -> NaiveResult | None:
        """Take the order out, if this market has it."""
        self.events.append(offset)
        for row in self.rows:
            if row.order_id == order_id and row.market == market:
                self.rows = [other for other in self.rows if other is not row]
                return self.result(offset, row, "canceled", canceled_quantity=row.remaining)
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
    ) -> NaiveResult:
        """Build the result of the event at `offset`."""
        return NaiveResult(
            market=row.market,
            offset=offset,
            previous_offset=self.events[-2] if len(self.events) > 1 else -1,
            order_id=row.order_id,
            user_id=row.user_id,
            side=row.side,
            price=row.price,
            status=status,
            canceled_quantity=canceled_quantity,
            trades=trades,
            reason=reason,
        )

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
            totals[row.price] = totals.get(row.price, 0) + row.remaining
        return list(totals.items())
