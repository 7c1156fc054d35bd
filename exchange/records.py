"""The records on the log: what `order-events` and `trade-events` carry.

Typed structs, encoded as JSON and decoded strictly: an unknown field, a missing one or a value
of the wrong type is a `RecordError`, never a guess. Amounts travel as decimal strings, so no
float can enter on the way. Every record names its version; a reader refuses a version it does
not know. This module knows nothing of Django, Kafka or the engine.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

SideName: TypeAlias = Literal["buy", "sell"]
StateName: TypeAlias = Literal["open", "post_only", "cancel_only", "halted"]
LARGEST = 2**63 - 1
"""Of a number that Postgres can keep. With a larger one no question about it could be asked."""
Identifier: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
PreviousOffset: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=LARGEST)]
RequestId: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
"""It is repeated in the result: without a bound that could be too large for a record."""
Moment: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
"""ISO 8601, UTC."""
_DECIMAL = r"[0-9]{1,20}(\.[0-9]{1,18})?"
DecimalString: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"^{_DECIMAL}\Z")]
DecimalOrNothing: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"^({_DECIMAL})?\Z")]
OrderTypeName: TypeAlias = Literal["limit", "market", "stop_limit", "stop_market"]
TimeInForceName: TypeAlias = Literal["gtc", "ioc", "fok", "gtd"]
PreventionName: TypeAlias = Literal[
    "none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel"
]
MarketSymbol: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{2,10}-[A-Z0-9]{2,10}\Z")]

NO_OFFSET = -1
"""`previous_offset` of the first event of a log: nothing came before it."""


class RecordError(ValueError):
    """A record that cannot be decoded: it belongs in the dead-letter topic, with this message."""


class NewOrder(msgspec.Struct, tag="new", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An accepted order, its money already on hold. `price`: quote per base; `quantity`: base.

    The fee rates are those that apply to this order: shares of what it receives. `expires_at`: of a
    good-till-date order. Nobody who reads the log acts on it: a cancel does. `stop_price`
    (quote per base): of a stop order; it waits for a trade at this price and then for its trigger.
    `visible_quantity` (base): how much of itself an iceberg shows at a time.

    `price` of a market order is the worst at which it may trade; it is good for now or never (ioc).
    `quote_amount`: what it may spend (quote, on hold), if it was placed by that; then `quantity` is
    no less than what that can buy.

    What a record does not say means what it meant before it could be said: nothing but a limit
    order that rests and trades with whom it meets.
    """

    v: Literal[1] = 1
    order_id: Identifier
    user_id: Identifier
    market: MarketSymbol
    side: SideName
    order_type: OrderTypeName
    time_in_force: TimeInForceName
    post_only: bool = False
    self_trade_prevention: PreventionName = "none"
    price: DecimalString
    quantity: DecimalString
    created_at: Moment
    request_id: RequestId = ""
    maker_fee_rate: DecimalString = "0"
    taker_fee_rate: DecimalString = "0"
    expires_at: Moment = ""
    quote_amount: DecimalString = "0"
    stop_price: DecimalOrNothing = ""
    visible_quantity: DecimalOrNothing = ""


class TriggerOrder(
    msgspec.Struct, tag="trigger", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """An elected stop order is to come to the book, as the limit order that it is."""

    v: Literal[1] = 1
    order_id: Identifier
    user_id: Identifier
    market: MarketSymbol
    created_at: Moment
    request_id: RequestId = ""


class CancelOrder(
    msgspec.Struct, tag="cancel", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A wish to take what remains of an order out of the book.

    `reason`: why; empty if it is its user's wish.
    """

    v: Literal[1] = 1
    order_id: Identifier
    user_id: Identifier
    market: MarketSymbol
    created_at: Moment
    request_id: RequestId = ""
    reason: Literal["", "expired"] = ""


class AmendOrder(
    msgspec.Struct, tag="amend", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A wish that a live order have another price (quote per base) or quantity (base), or both.

    `quantity` is its new total, `quantity_before` that which it had when this was asked: the
    difference is what changes, however much of it has traded meanwhile. `held`: what was put on
    hold for it beyond what the order had.
    """

    v: Literal[1] = 1
    amendment_id: Identifier
    order_id: Identifier
    user_id: Identifier
    market: MarketSymbol
    price: DecimalString
    quantity: DecimalString
    quantity_before: DecimalString
    held: DecimalString
    created_at: Moment
    request_id: RequestId = ""


class ChangeMarket(
    msgspec.Struct, tag="market", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """An operator's wish: from this place of the log on the market is in `state`.

    Of a market's changes the one with the highest `change_id` counts.
    """

    v: Literal[1] = 1
    change_id: Identifier
    market: MarketSymbol
    state: StateName
    created_at: Moment
    request_id: RequestId = ""


OrderEvent: TypeAlias = NewOrder | TriggerOrder | AmendOrder | CancelOrder | ChangeMarket


class Trade(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fill. `trade_id` is dense per market; `price` is the maker's (quote per base)."""

    trade_id: Identifier
    buy_order_id: Identifier
    sell_order_id: Identifier
    maker_user_id: Identifier
    taker_side: SideName
    price: DecimalString
    quantity: DecimalString


class SelfTrade(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A trade that was prevented: what it took out of a resting order of the same user.

    `price` (quote per base) is that order's; `quantity` (base) is to be released. "canceled": all
    that was left of it; "decremented": it and the taker were both reduced by `quantity`.
    """

    maker_order_id: Identifier
    price: DecimalString
    quantity: DecimalString
    effect: Literal["canceled", "decremented"]


class Amended(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an amended order stood before: its price (quote per base), its total quantity (base).

    `remaining_before`: how much of that was in the book. `quantity`: its total now. `held`: what
    was put on hold for the amendment. `last_trade_id`: the market's last trade before it. `moved`:
    it has lost its place in the queue.
    """

    amendment_id: Identifier
    price_before: DecimalString
    quantity_before: DecimalString
    remaining_before: DecimalString
    quantity: DecimalString
    held: DecimalString
    last_trade_id: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
    moved: bool


class Execution(
    msgspec.Struct, tag="execution", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """All that one order event did: one record per event, so that no batch cuts an order in half.

    `event` is the type of the order event: "new" results move an order out of `pending`, "trigger"
    results out of `untriggered`.
    `offset` is the event's own on `order-events`, `previous_offset` that of the event before it
    on the same partition (`NO_OFFSET` for the first of a log), `epoch` the life of the log in
    which both count. `status` is the order's after the event; `canceled_quantity` is the base
    quantity taken out of the book by it, whose hold is to be released. `user_id`, `side` and
    `price` (its limit) are those of the order that the event was about. `self_trades` are the
    user's own resting orders that it met; `prevented_quantity` (base, to be released) is by how
    much it was reduced together with those that were decremented. `quote_amount` is what the order
    had on hold, if it was placed by that: then what its trades did not cost is to be released, and
    `canceled_quantity` is also what it did not buy when it is filled. `elected` are the stop orders
    whose price has come by this event, in the order in which they are to be triggered. `requeued`
    are the live orders that it has put to the back of their queues, in the order in which they came
    there last. `amended`: of an "amend" result, what the order was before.
    """

    v: Literal[1] = 1
    event: Literal["new", "trigger", "amend", "cancel"]
    market: MarketSymbol
    epoch: Identifier
    offset: Offset
    previous_offset: PreviousOffset
    order_id: Identifier
    user_id: Identifier
    side: SideName
    price: DecimalString
    status: Literal["untriggered", "open", "partially_filled", "filled", "canceled", "rejected"]
    reason: str = ""
    canceled_quantity: DecimalString = "0"
    trades: tuple[Trade, ...] = ()
    self_trades: tuple[SelfTrade, ...] = ()
    prevented_quantity: DecimalString = "0"
    quote_amount: DecimalString = "0"
    elected: tuple[Identifier, ...] = ()
    requeued: tuple[Identifier, ...] = ()
    request_id: RequestId = ""
    amended: Amended | msgspec.UnsetType = msgspec.UNSET


class AmendmentRefused(
    msgspec.Struct, tag="amendment_refused", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """An amendment has changed nothing; what was put on hold for it is to be released.

    `reason`: why. `user_id` and `side` are those of the order.
    """

    v: Literal[1] = 1
    market: MarketSymbol
    epoch: Identifier
    offset: Offset
    previous_offset: PreviousOffset
    amendment_id: Identifier
    order_id: Identifier
    user_id: Identifier
    side: SideName
    held: DecimalString
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    request_id: RequestId = ""


class MarketChanged(
    msgspec.Struct, tag="market_changed", frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A market is in another state for all events after `offset`; see `ChangeMarket`."""

    v: Literal[1] = 1
    market: MarketSymbol
    epoch: Identifier
    offset: Offset
    previous_offset: PreviousOffset
    change_id: Identifier
    state: StateName
    request_id: RequestId = ""


class Skipped(msgspec.Struct, tag="skipped", frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order event that changed nothing: a duplicate, a dead letter, nothing left to cancel.

    It has its place in the chain all the same, so that the checkpoint moves past it.
    """

    v: Literal[1] = 1
    epoch: Identifier
    offset: Offset
    previous_offset: PreviousOffset
    reason: str
    request_id: RequestId = ""


TradeEvent: TypeAlias = Execution | AmendmentRefused | MarketChanged | Skipped


MAX_PROBLEM = 500
"""Characters of what is wrong with a record: it may name a field that the record made up."""

_UNREADABLE = (
    msgspec.DecodeError,
    msgspec.ValidationError,
    UnicodeDecodeError,
    RecursionError,  # brackets nested without end
    TypeError,  # a record without a value
)

_encoder = msgspec.json.Encoder()
_order_event_decoder: msgspec.json.Decoder[OrderEvent] = msgspec.json.Decoder(OrderEvent)
_trade_event_decoder: msgspec.json.Decoder[TradeEvent] = msgspec.json.Decoder(TradeEvent)


def encode(record: OrderEvent | TradeEvent) -> bytes:
    """Return the record's bytes on the log; the same record always gives the same bytes."""
    return _encoder.encode(record)


def decode_order_event(value: bytes) -> OrderEvent:
    """Decode a value of `order-events`.

    Raises:
        RecordError: it is not a valid record of a known version.
    """
    try:
        return _order_event_decoder.decode(value)
    except _UNREADABLE as error:
        raise RecordError(str(error)[:MAX_PROBLEM]) from error


class _Claim(msgspec.Struct):
    """As much of a new order's record as tells which order it is about."""

    type: Literal["new"]
    order_id: Identifier


_claim_decoder = msgspec.json.Decoder(_Claim)


def claimed_order_id(value: bytes) -> int | None:
    """Return which new order a record that cannot be decoded is about, if that much can be read."""
    try:
        return _claim_decoder.decode(value).order_id
    except _UNREADABLE:
        return None


def decode_trade_event(value: bytes) -> TradeEvent:
    """Decode a value of `trade-events`.

    Raises:
        RecordError: it is not a valid record of a known version.
    """
    try:
        return _trade_event_decoder.decode(value)
    except _UNREADABLE as error:
        raise RecordError(str(error)[:MAX_PROBLEM]) from error
