"""What a batch of results means in money: pure computation, no database, no clock.

The rules: a trade happens at the maker's price; the buyer's hold was
taken at their own limit, so what a better price leaves is released in the same step; what a
cancel takes out of the book is released exactly, and so is what a prevented self-trade takes out,
of the taker and of the maker. An order that was placed by the amount to spend has held that, and
gets back at once what its trades did not cost. An amended order keeps on hold what it needs from
then on, of what it had and of what was held for the amendment; a refused amendment gives back what
was. `plan` gives every movement with its reason; their sum over all users is zero for each asset.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from balances.ledger import ZERO, Movement
from exchange.records import Amended, AmendmentRefused, Execution, SelfTrade, Trade

SELF_TRADE = "self_trade"
"""The reason of an order that a prevented self-trade has canceled, as the engine has it."""


class TradeRow(NamedTuple):
    """A trade to be stored; columns as in `balances_trade`. `balances.fees` sets the fees."""

    market: str
    trade_id: int
    price: Decimal
    quantity: Decimal
    taker_side: str
    buy_order_id: int
    sell_order_id: int
    buyer_id: int
    seller_id: int
    buyer_fee: Decimal = ZERO
    seller_fee: Decimal = ZERO


class DecrementRow(NamedTuple):
    """A prevented self-trade by which two orders were reduced; columns of `balances_decrement`."""

    taker_order_id: int
    maker_order_id: int
    quantity: Decimal


@dataclass(slots=True)
class OrderChange:
    """What a batch does to one order; its market, user and side must agree with the stored order.

    `event_epoch`: that of the batch's events. `is_new`: its first result is in this
    batch, at `epoch` and `offset`; `is_triggered`: that of its trigger is (else both are None).
    They are never in one batch: a trigger is published when the election has been settled.
    `waits`: it waits for its price after this batch, or for its trigger, if it is not canceled.
    `finished_as`: "canceled" or "rejected", or "filled" of an order that has spent its amount; ""
    where the fills decide.
    `canceled_quantity`: must equal what the batch leaves unfilled, if it says how it was finished.
    `prevented_quantity`: by how much prevented self-trades have reduced it.
    """

    order_id: int
    market: str
    user_id: int
    side: str
    event_epoch: int
    is_new: bool = False
    is_triggered: bool = False
    waits: bool = False
    epoch: int | None = None
    offset: int | None = None
    filled_quantity: Decimal = ZERO
    filled_quote: Decimal = ZERO
    finished_as: str = ""
    reason: str = ""
    canceled_quantity: Decimal = ZERO
    prevented_quantity: Decimal = ZERO


class QueuePlace(NamedTuple):
    """Where an order stands in its queue since an event has put it there; columns of the order.

    `rank`: among all that the event has put somewhere, from 1 on.
    """

    order_id: int
    market: str
    epoch: int
    offset: int
    rank: int


class ElectionRow(NamedTuple):
    """A stop order whose price has come, by the event at `epoch` and `offset`, in its turn."""

    order_id: int
    market: str
    epoch: int
    offset: int
    rank: int


class AmendmentRow(NamedTuple):
    """An amendment that has been applied, and how its order stood before; columns of it."""

    amendment_id: int
    order_id: int
    market: str
    price: Decimal
    quantity: Decimal
    price_before: Decimal
    quantity_before: Decimal
    held: Decimal
    epoch: int
    offset: int
    last_trade_id: int
    moved: bool


class RefusedRow(NamedTuple):
    """An amendment that has been refused; columns of it."""

    amendment_id: int
    order_id: int
    market: str
    held: Decimal
    epoch: int
    offset: int
    reason: str


@dataclass(slots=True)
class SettlementPlan:
    """Everything a batch changes."""

    movements: list[Movement] = field(default_factory=list)
    trades: list[TradeRow] = field(default_factory=list)
    decrements: list[DecrementRow] = field(default_factory=list)
    elections: list[ElectionRow] = field(default_factory=list)
    orders: dict[int, OrderChange] = field(default_factory=dict)
    places: dict[int, QueuePlace] = field(default_factory=dict)
    amendments: list[AmendmentRow] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)


def plan(results: Iterable[Execution | AmendmentRefused]) -> SettlementPlan:
    """Return what `results`, in this order, change."""
    planned = SettlementPlan()
    for result in results:
        if isinstance(result, Execution):
            _plan_one(planned, result)
        else:
            _plan_refused(planned, result)
    return planned


def _plan_one(result: SettlementPlan, execution: Execution) -> None:
    change = _change(result, execution, execution.order_id, execution.user_id, execution.side)
    if execution.event == "new":
        change.is_new = True
        change.epoch, change.offset = execution.epoch, execution.offset
        change.waits = execution.status == "untriggered"
    elif execution.event == "trigger":
        change.is_triggered = True
        change.epoch, change.offset = execution.epoch, execution.offset
    if isinstance(execution.amended, Amended):
        _plan_amended(result, execution, execution.amended)
    for rank, order_id in enumerate(execution.elected, 1):
        result.elections.append(
            ElectionRow(order_id, execution.market, execution.epoch, execution.offset, rank)
        )
    limit = Decimal(execution.price)
    amount = Decimal(execution.quote_amount)
    for trade in execution.trades:
        _plan_trade(result, execution, trade, Decimal(trade.price) if amount else limit)
    for self_trade in execution.self_trades:
        _plan_self_trade(result, execution, self_trade)
    for rank, order_id in enumerate(execution.requeued, start=1):
        result.places[order_id] = QueuePlace(
            order_id, execution.market, execution.epoch, execution.offset, rank
        )
    if (prevented := Decimal(execution.prevented_quantity)) > 0:
        change.prevented_quantity += prevented
        if not amount:
            _release(result, execution, execution.order_id, execution.side, limit, prevented)
    if amount:
        change.finished_as, change.reason = execution.status, execution.reason
        change.canceled_quantity = Decimal(execution.canceled_quantity)
        unspent = amount - sum(Decimal(t.price) * Decimal(t.quantity) for t in execution.trades)
        _give_back(result, execution, execution.order_id, execution.side, unspent)
    elif execution.status in ("canceled", "rejected"):
        quantity = Decimal(execution.canceled_quantity)
        change.finished_as, change.reason = execution.status, execution.reason
        change.canceled_quantity = quantity
        _release(result, execution, execution.order_id, execution.side, limit, quantity)


def _plan_amended(result: SettlementPlan, execution: Execution, amended: Amended) -> None:
    """Leave on hold what the order needs from now on; what its trades then do comes after it."""
    price, price_before = Decimal(execution.price), Decimal(amended.price_before)
    quantity, quantity_before = Decimal(amended.quantity), Decimal(amended.quantity_before)
    left_before, held = Decimal(amended.remaining_before), Decimal(amended.held)
    left = left_before + quantity - quantity_before
    result.amendments.append(
        AmendmentRow(
            amended.amendment_id, execution.order_id, execution.market, price, quantity,
            price_before, quantity_before, held, execution.epoch, execution.offset,
            amended.last_trade_id, amended.moved,
        )
    )  # fmt: skip
    if amended.moved:
        result.places[execution.order_id] = QueuePlace(
            execution.order_id, execution.market, execution.epoch, execution.offset, 0
        )
    if execution.side == "buy":
        unneeded = price_before * left_before + held - price * left
    else:
        unneeded = left_before + held - left
    _give_back(result, execution, execution.order_id, execution.side, unneeded)


def _plan_refused(result: SettlementPlan, refused: AmendmentRefused) -> None:
    held = Decimal(refused.held)
    result.refused.append(
        RefusedRow(
            refused.amendment_id, refused.order_id, refused.market, held, refused.epoch,
            refused.offset, refused.reason,
        )
    )  # fmt: skip
    _give_back(result, refused, refused.order_id, refused.side, held)


def _plan_self_trade(result: SettlementPlan, execution: Execution, prevented: SelfTrade) -> None:
    maker_side = "sell" if execution.side == "buy" else "buy"
    order_id, quantity = prevented.maker_order_id, Decimal(prevented.quantity)
    change = _change(result, execution, order_id, execution.user_id, maker_side)
    if prevented.effect == "canceled":
        change.finished_as, change.reason = "canceled", SELF_TRADE
        change.canceled_quantity = quantity
    else:
        change.prevented_quantity += quantity
        result.decrements.append(DecrementRow(execution.order_id, order_id, quantity))
    _release(result, execution, order_id, maker_side, Decimal(prevented.price), quantity)


def _release(
    result: SettlementPlan,
    execution: Execution,
    order_id: int,
    side: str,
    limit: Decimal,
    quantity: Decimal,
) -> None:
    """Give back what an order of the execution's user has held for `quantity`."""
    amount = limit * quantity if side == "buy" else quantity
    _give_back(result, execution, order_id, side, amount)


def _give_back(
    result: SettlementPlan,
    event: Execution | AmendmentRefused,
    order_id: int,
    side: str,
    amount: Decimal,
) -> None:
    """Give back some of what an order of the event's user holds, in the asset that it holds."""
    base, _, quote = event.market.partition("-")
    if amount:
        asset = quote if side == "buy" else base
        result.movements.append(
            Movement(event.user_id, asset, "release", amount, -amount, order_id)
        )


def _plan_trade(result: SettlementPlan, execution: Execution, trade: Trade, limit: Decimal) -> None:
    base, _, quote = execution.market.partition("-")
    price, quantity = Decimal(trade.price), Decimal(trade.quantity)
    value = price * quantity
    taker_buys = trade.taker_side == "buy"
    buyer_id = execution.user_id if taker_buys else trade.maker_user_id
    seller_id = trade.maker_user_id if taker_buys else execution.user_id
    # A maker's limit is the price of the trade, so only a taker can have held more.
    improvement = (limit - price) * quantity if taker_buys else ZERO
    buy, sell, number = trade.buy_order_id, trade.sell_order_id, trade.trade_id
    result.movements += [
        Movement(buyer_id, quote, "trade", ZERO, -value, buy, number),
        Movement(buyer_id, base, "trade", quantity, ZERO, buy, number),
        Movement(seller_id, base, "trade", ZERO, -quantity, sell, number),
        Movement(seller_id, quote, "trade", value, ZERO, sell, number),
    ]
    if improvement:
        result.movements.append(
            Movement(buyer_id, quote, "release", improvement, -improvement, buy, number)
        )
    result.trades.append(
        TradeRow(
            execution.market, number, price, quantity, trade.taker_side, buy, sell,
            buyer_id, seller_id,
        )
    )  # fmt: skip
    for order_id, user_id, side in ((buy, buyer_id, "buy"), (sell, seller_id, "sell")):
        change = _change(result, execution, order_id, user_id, side)
        change.filled_quantity += quantity
        change.filled_quote += value


def _change(
    result: SettlementPlan, execution: Execution, order_id: int, user_id: int, side: str
) -> OrderChange:
    change = result.orders.get(order_id)
    if change is None:
        change = result.orders[order_id] = OrderChange(
            order_id, execution.market, user_id, side, execution.epoch
        )
    return change
