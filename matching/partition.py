"""One partition of `order-events`, from records to results: decode, tell duplicates, scale, match.

Around the pure engine, and as repeatable as it is: what a record comes to depends on the records
before it and on facts of the database that never change (who ordered what; where the engine first
saw it). So a worker that starts again, a second worker and `manage.py replay` all come to the same
results. It must never publish or write anything.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import UNSET, UnsetType

from exchange.kafka import LogRecord, partition_for
from exchange.money import format_amount, to_units
from exchange.records import (
    Amended,
    AmendmentRefused,
    AmendOrder,
    CancelOrder,
    ChangeMarket,
    Execution,
    MarketChanged,
    NewOrder,
    OrderEvent,
    RecordError,
    SelfTrade,
    SideName,
    Skipped,
    Trade,
    TradeEvent,
    TriggerOrder,
    claimed_order_id,
    decode_order_event,
)
from matching import engine as pure
from matching.recovery import (
    Recovered,
    Rules,
    Scale,
    open_market,
    rules_in_engine,
    visible_lots,
)
from orders.models import Market
from orders.selectors import (
    AmendmentFacts,
    OrderFacts,
    facts_of_amendments,
    facts_of_orders,
    was_ordered,
)

UNUSABLE = "record_unusable"
"""The reason of an order that was rejected because its record could not be used."""
_NOTHING = Decimal(0)


class DeadLetterError(Exception):
    """A record that cannot be used: it goes to the dead-letter topic, with this message."""


class DecodedRecord(NamedTuple):
    """A record and what it says: an event, or the problem with it.

    `order_id`: the new order that it is about, also if only that much can be read; None for
    cancels and triggers, whose order is not looked at.
    """

    record: LogRecord
    event: OrderEvent | None
    problem: str
    order_id: int | None


class Facts(NamedTuple):
    """What Postgres knows of the new orders and of the amendments that records are about."""

    orders: Mapping[int, OrderFacts]
    amendments: Mapping[int, AmendmentFacts]


class Outcome(NamedTuple):
    """What one record came to: always a result, and a problem if it is a dead letter."""

    result: TradeEvent
    problem: str = ""


def decode(record: LogRecord) -> DecodedRecord:
    """Read a record; what is wrong with it is part of the answer."""
    try:
        event = decode_order_event(record.value)
    except RecordError as error:
        return DecodedRecord(record, None, str(error), claimed_order_id(record.value))
    order_id = event.order_id if isinstance(event, NewOrder) else None
    return DecodedRecord(record, event, "", order_id)


def facts_of(items: Collection[DecodedRecord]) -> Facts:
    """Return what there is to know of the records: one query for orders, one for amendments."""
    return Facts(
        facts_of_orders({item.order_id for item in items if item.order_id is not None}),
        facts_of_amendments(
            {item.event.amendment_id for item in items if isinstance(item.event, AmendOrder)}
        ),
    )


class PartitionMatcher:
    """The engine of one partition, and everything to feed it with records."""

    def __init__(self, state: Recovered) -> None:
        self.engine = state.engine
        self.epoch = state.epoch
        self.partition = state.partition
        self._scales = state.scales

    @property
    def position(self) -> int:
        """Return the offset of the last record dealt with."""
        return self.engine.position

    @property
    def markets(self) -> tuple[str, ...]:
        return self.engine.markets

    def apply(self, item: DecodedRecord, facts: Facts) -> Outcome:
        """Apply the next record. `facts`: of all that the records of the batch are about."""
        record, event, _, order_id = item
        if isinstance(event, ChangeMarket):
            return self._change_market(record.offset, event)
        if isinstance(event, AmendOrder):
            return self._amend(record.offset, event, facts.amendments.get(event.amendment_id))
        previous = self.engine.position
        known = facts.orders.get(order_id) if order_id is not None else None
        if known is not None and self._stood_before(known, record.offset):
            self.engine.skip(record.offset)
            return Outcome(self._skipped(previous, "a duplicate", event))
        try:
            execution = self.engine.apply(record.offset, self._command(item, known))
        except DeadLetterError as error:
            return Outcome(self._refuse(item, known, previous, str(error)), str(error))
        if execution is None or event is None:
            reason = "a duplicate, or nothing to cancel or to trigger"
            return Outcome(self._skipped(previous, reason, event))
        return Outcome(self._executed(execution, event))

    def _change_market(self, offset: int, event: ChangeMarket) -> Outcome:
        """Put a market into the state that an operator has ordered, unless a later one is known."""
        previous = self.engine.position
        try:
            self._scale(event.market)
            if not was_ordered(event):
                raise DeadLetterError(f"there is no such change {event.change_id}")
        except DeadLetterError as error:
            self.engine.skip(offset)
            return Outcome(self._skipped(previous, str(error), event), str(error))
        if not self.engine.change_market(offset, event.market, event.change_id, event.state):
            return Outcome(self._skipped(previous, "a duplicate, or overtaken by another", event))
        return Outcome(
            MarketChanged(
                market=event.market,
                epoch=self.epoch,
                offset=offset,
                previous_offset=previous,
                change_id=event.change_id,
                state=event.state,
                request_id=event.request_id,
            )
        )

    def _amend(self, offset: int, event: AmendOrder, known: AmendmentFacts | None) -> Outcome:
        """Give a live order another price or quantity, or say why not."""
        previous = self.engine.position
        if known is not None and self._stood_before(known, offset):
            self.engine.skip(offset)
            return Outcome(self._skipped(previous, "a duplicate", event))
        try:
            command = self._amend_command(event, known)
        except DeadLetterError as error:
            return Outcome(self._refuse_amendment(offset, event, known, str(error)), str(error))
        assert known is not None, "an amendment that nobody knows is no command"
        last_trade_id = self.engine.book(event.market).last_trade_id
        result = self.engine.amend(offset, command)
        if result is None:
            return Outcome(self._skipped(previous, "a duplicate", event))
        if isinstance(result, pure.NotAmended):
            return Outcome(self._refused(previous, event, known, result.reason))
        scale = self._scales[event.market]
        amended = Amended(
            amendment_id=event.amendment_id,
            price_before=format_amount(result.price * scale.tick),
            quantity_before=event.quantity_before,
            remaining_before=format_amount(result.remaining * scale.lot),
            quantity=event.quantity,
            held=event.held,
            last_trade_id=last_trade_id,
            moved=command.change > 0 or command.price != result.price,
        )
        return Outcome(self._executed(result.execution, event, amended))

    def _amend_command(self, event: AmendOrder, known: AmendmentFacts | None) -> pure.AmendOrder:
        if known is None:
            raise DeadLetterError(f"there is no amendment {event.amendment_id}")
        said = (
            event.order_id, event.user_id, event.market, Decimal(event.price),
            Decimal(event.quantity), Decimal(event.quantity_before), Decimal(event.held),
        )  # fmt: skip
        stored = (
            known.order_id, known.user_id, known.market, known.price, known.quantity,
            known.quantity_before, known.held,
        )  # fmt: skip
        if said != stored:
            raise DeadLetterError(f"amendment {event.amendment_id} was stored otherwise")
        scale = self._scale(event.market)
        try:
            price = to_units(known.price, scale.tick)
            change = to_units(known.quantity - known.quantity_before, scale.lot)
        except ValueError as error:
            raise DeadLetterError(str(error)) from error
        return pure.AmendOrder(
            known.order_id, known.amendment_id, known.market, price, change,
            known.post_only, known.self_trade_prevention,
        )  # fmt: skip

    def _refuse_amendment(
        self, offset: int, event: AmendOrder, known: AmendmentFacts | None, problem: str
    ) -> TradeEvent:
        """Move past a dead letter; refuse the amendment behind it, if it waits here."""
        previous = self.engine.position
        if known is None or _partition_of(known.market) != self.partition:
            self.engine.skip(offset)
            return self._skipped(previous, problem, event)
        if not self.engine.refuse_amendment(offset, known.amendment_id):
            return self._skipped(previous, problem, event)
        return self._refused(previous, event, known, UNUSABLE)

    def _refused(
        self, previous: int, event: AmendOrder, known: AmendmentFacts, reason: str
    ) -> AmendmentRefused:
        return AmendmentRefused(
            market=known.market,
            epoch=self.epoch,
            offset=self.engine.position,
            previous_offset=previous,
            amendment_id=known.amendment_id,
            order_id=known.order_id,
            user_id=known.user_id,
            side=known.side,
            held=format_amount(known.held),
            reason=reason,
            request_id=event.request_id,
        )

    def _stood_before(self, known: OrderFacts | AmendmentFacts, offset: int) -> bool:
        """Whether an order or amendment stood on the log before `offset`, as Postgres knows.

        The answer is the same at any later time: a place on the log, once settled, never changes.
        What Postgres does not know yet, the engine has seen itself since the checkpoint.
        """
        if known.epoch is None or known.offset is None:
            return False
        return known.epoch < self.epoch or known.offset < offset

    def _command(self, item: DecodedRecord, known: OrderFacts | None) -> pure.Command:
        event = item.event
        if event is None:
            raise DeadLetterError(item.problem)
        if isinstance(event, CancelOrder):
            self._scale(event.market)
            return pure.CancelOrder(event.order_id, event.market, event.reason)
        if isinstance(event, TriggerOrder):
            self._scale(event.market)
            return pure.TriggerOrder(event.order_id, event.market)
        assert isinstance(event, NewOrder), "a change of a market is no command"
        if known is None:
            raise DeadLetterError(f"there is no order {event.order_id}")
        if (wrong := _disagreement(event, known)) is not None:
            raise DeadLetterError(f"the order that was stored has another {wrong}")
        scale = self._scale(event.market)
        try:
            price = to_units(known.price, scale.tick)
            quantity = to_units(known.quantity, scale.lot)
            budget = to_units(known.quote_amount or _NOTHING, scale.tick * scale.lot)
            stop_price = to_units(known.stop_price or Decimal(0), scale.tick)
            part = visible_lots(known.visible_quantity, scale)
        except ValueError as error:
            raise DeadLetterError(str(error)) from error
        side = pure.BUY if event.side == "buy" else pure.SELL
        plain = pure.PlaceOrder(event.order_id, event.user_id, event.market, side, price, quantity)
        rules = rules_in_engine(known.time_in_force, known.post_only, known.self_trade_prevention)
        if stop_price:
            return pure.PlaceStop(*plain, stop_price, *rules)
        if rules == _NO_RULES and not part:
            return plain
        return pure.PlaceWithRules(*plain, *rules, budget, part)

    def _scale(self, symbol: str) -> Scale:
        """Return the market's scale; a market made since the recovery is opened now.

        Its trades are counted from 1, whatever Postgres has by now: at this engine's place on the
        log there are none yet.
        """
        if symbol not in self._scales:
            market = Market.objects.filter(pk=symbol).first()
            if market is None:
                raise DeadLetterError(f"there is no market {symbol}")
            if partition_for(market.base_id) != self.partition:
                raise DeadLetterError(f"{symbol} does not belong on partition {self.partition}")
            open_market(self.engine, self._scales, market)
        return self._scales[symbol]

    def _refuse(
        self, item: DecodedRecord, known: OrderFacts | None, previous: int, problem: str
    ) -> TradeEvent:
        """Move past a dead letter; reject the order behind it, if it is known and waits here.

        Only an order that belongs on this partition: if its good record stands on another one,
        nobody here can know.
        """
        offset = item.record.offset
        if known is None or _partition_of(known.market) != self.partition:
            self.engine.skip(offset)
            return self._skipped(previous, problem, item.event)
        if not self.engine.refuse(offset, known.order_id, known.market):
            return self._skipped(previous, problem, item.event)
        return Execution(
            event="new",
            market=known.market,
            epoch=self.epoch,
            offset=offset,
            previous_offset=previous,
            order_id=known.order_id,
            user_id=known.user_id,
            side=known.side,
            price=format_amount(known.price),
            status="rejected",
            reason=UNUSABLE,
            canceled_quantity=format_amount(known.quantity),
            quote_amount=format_amount(known.quote_amount or _NOTHING),
            request_id=item.event.request_id if item.event is not None else "",
        )

    def _skipped(self, previous: int, reason: str, event: OrderEvent | None) -> Skipped:
        return Skipped(
            epoch=self.epoch,
            offset=self.engine.position,
            previous_offset=previous,
            reason=reason,
            request_id=event.request_id if event is not None else "",
        )

    def _executed(
        self, execution: pure.Execution, event: OrderEvent, amended: Amended | UnsetType = UNSET
    ) -> Execution:
        scale = self._scales[execution.market]
        buys = execution.side == pure.BUY
        return Execution(
            event=_kind(event),
            market=execution.market,
            epoch=self.epoch,
            offset=execution.offset,
            previous_offset=execution.previous_offset,
            order_id=execution.order_id,
            user_id=execution.user_id,
            side="buy" if buys else "sell",
            price=format_amount(execution.price * scale.tick),
            status=execution.status,
            reason=execution.reason,
            canceled_quantity=format_amount(execution.canceled_quantity * scale.lot),
            trades=tuple(_trades(execution, scale)),
            self_trades=tuple(_self_trades(execution, scale)),
            prevented_quantity=format_amount(execution.prevented_quantity * scale.lot),
            quote_amount=event.quote_amount if isinstance(event, NewOrder) else "0",
            elected=execution.elected,
            requeued=execution.requeued,
            request_id=event.request_id,
            amended=amended,
        )


def _kind(event: OrderEvent) -> Literal["new", "trigger", "amend", "cancel"]:
    if isinstance(event, NewOrder):
        return "new"
    if isinstance(event, AmendOrder):
        return "amend"
    return "trigger" if isinstance(event, TriggerOrder) else "cancel"


def _self_trades(execution: pure.Execution, scale: Scale) -> Iterable[SelfTrade]:
    for prevented in execution.self_trades:
        yield SelfTrade(
            maker_order_id=prevented.maker_order_id,
            price=format_amount(prevented.price * scale.tick),
            quantity=format_amount(prevented.quantity * scale.lot),
            effect="canceled" if prevented.canceled else "decremented",
        )


def _trades(execution: pure.Execution, scale: Scale) -> Iterable[Trade]:
    buys = execution.side == pure.BUY
    taker_side: SideName = "buy" if buys else "sell"
    for fill in execution.fills:
        yield Trade(
            trade_id=fill.trade_id,
            buy_order_id=execution.order_id if buys else fill.maker_order_id,
            sell_order_id=fill.maker_order_id if buys else execution.order_id,
            maker_user_id=fill.maker_user_id,
            taker_side=taker_side,
            price=format_amount(fill.price * scale.tick),
            quantity=format_amount(fill.quantity * scale.lot),
        )


def _disagreement(event: NewOrder, known: OrderFacts) -> str | None:
    """Return in what the record differs from the order that was stored; None if in nothing."""
    said = (
        event.user_id, event.market, event.side, Decimal(event.price), Decimal(event.quantity),
        Decimal(event.maker_fee_rate), Decimal(event.taker_fee_rate), event.time_in_force,
        event.post_only, event.self_trade_prevention, event.expires_at, event.order_type,
        Decimal(event.quote_amount),
        Decimal(event.stop_price) if event.stop_price else None,
        Decimal(event.visible_quantity) if event.visible_quantity else None,
    )  # fmt: skip
    stored = (
        known.user_id, known.market, known.side, known.price, known.quantity,
        known.maker_fee_rate, known.taker_fee_rate, known.time_in_force,
        known.post_only, known.self_trade_prevention,
        "" if known.expires_at is None else known.expires_at.isoformat(), known.order_type,
        known.quote_amount or _NOTHING, known.stop_price, known.visible_quantity,
    )  # fmt: skip
    if said == stored:
        return None
    return next(name for name, a, b in zip(_NAMES, said, stored, strict=True) if a != b)


_NAMES = (
    "user", "market", "side", "price", "quantity", "maker fee rate", "taker fee rate",
    "time in force", "post-only flag", "self-trade prevention", "time at which it expires",
    "type", "amount to spend", "stop price", "visible quantity",
)  # fmt: skip
_NO_RULES: Rules = ("gtc", False, "none")


def _partition_of(market: str) -> int:
    return partition_for(market.partition("-")[0])
