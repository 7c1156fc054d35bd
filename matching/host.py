"""The engines of this process: one per assigned partition, all driven by the bridge's one thread.

Between the log and the pure engine: decodes events, scales amounts, tells duplicates, publishes
results. An engine moves before its results are on the log, so results wait in an outbox until
they are acknowledged; a batch that is tried again finds its events applied and only publishes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import structlog

from balances.checkpoints import ensure_epoch, settled_offsets
from exchange.kafka import (
    DEAD_ORDER_EVENTS,
    ORDER_EVENTS,
    TRADE_EVENTS,
    Log,
    LogRecord,
    OutgoingRecord,
    Publisher,
    partition_for,
)
from exchange.money import format_amount, to_units
from exchange.records import (
    CancelOrder,
    Execution,
    NewOrder,
    OrderEvent,
    RecordError,
    Skipped,
    Trade,
    TradeEvent,
    decode_order_event,
    encode,
)
from matching import engine as pure
from matching.recovery import Recovered, Scale, open_market, recover
from orders.models import Market
from orders.selectors import PlaceOnLog, places_on_log

logger = structlog.get_logger(__name__)

FORGET_EVERY = 20_000
"""Events after which the engine forgets the order ids that Postgres knows by now."""


class DeadLetterError(Exception):
    """An event that can be decoded but means nothing: it goes to the dead-letter topic."""


@dataclass(slots=True)
class _Hosted:
    state: Recovered
    outbox: list[OutgoingRecord] = field(default_factory=list)
    events: int = 0


class _Event(NamedTuple):
    record: LogRecord
    event: OrderEvent | None
    problem: str = ""


class MatchingHost:
    """Matches batches of order events. Not thread-safe: the bridge's thread owns it."""

    def __init__(self) -> None:
        self._hosted: dict[int, _Hosted] = {}
        self._publisher = Publisher()
        self.epoch: int | None = None
        """The epoch that every engine here belongs to; None before the first `begin`."""

    def begin(self, partitions: set[int]) -> dict[int, int | None]:
        """Have an engine for exactly `partitions`; return where each goes on reading the log.

        An engine that is here already stays: the log is the same for everybody, so what it has
        read is true, and it reads on from there. Unless the epoch has changed.
        """
        with Log() as log:
            epoch = ensure_epoch(log.identity(), log.end_offsets(ORDER_EVENTS))
        self.epoch = epoch
        self._hosted = {
            number: hosted
            for number, hosted in self._hosted.items()
            if number in partitions and hosted.state.epoch == epoch
        }
        for number in sorted(partitions - self._hosted.keys()):
            self._hosted[number] = _Hosted(recover(number))
            logger.info(
                "partition_recovered", partition=number, epoch=epoch,
                offset=self._hosted[number].state.engine.position,
                markets=list(self._hosted[number].state.scales),
            )  # fmt: skip
        # What an engine that stays has still to say must not wait for the next order to come.
        self._publish()
        return {number: h.state.engine.position + 1 for number, h in self._hosted.items()}

    def match(self, records: Sequence[LogRecord]) -> int:
        """Apply `records` and publish what comes of them; return the number of results.

        Raises:
            LogError, DatabaseError: a store is away. Call again with the same records.
        """
        self._publish()
        events = self._decode(records)
        places = places_on_log([e.event.order_id for e in events if isinstance(e.event, NewOrder)])
        for event in events:
            self._apply(event, places)
        results = sum(len(hosted.outbox) for hosted in self._hosted.values())
        self._publish()
        self._forget()
        return results

    def close(self) -> None:
        """Drop the engines and the connection to the log."""
        self._hosted = {}
        self._publisher.close()

    def state_hashes(self) -> dict[int, str]:
        """Return, per partition, the hash of the engine's books."""
        return {number: h.state.engine.state_hash() for number, h in self._hosted.items()}

    def _decode(self, records: Sequence[LogRecord]) -> list[_Event]:
        events = []
        for record in records:
            hosted = self._hosted.get(record.partition)
            if hosted is None or record.offset <= hosted.state.engine.position:
                continue
            try:
                events.append(_Event(record, decode_order_event(record.value)))
            except RecordError as error:
                events.append(_Event(record, None, str(error)))
        return events

    def _apply(self, item: _Event, places: Mapping[int, PlaceOnLog]) -> None:
        record, event, problem = item
        hosted = self._hosted[record.partition]
        state, previous = hosted.state, hosted.state.engine.position
        hosted.events += 1
        execution, reason = None, "a duplicate, or nothing left to cancel"
        try:
            if event is None:
                raise DeadLetterError(problem)
            if isinstance(event, NewOrder) and _is_duplicate(event, record, state.epoch, places):
                state.engine.skip(record.offset)
            else:
                execution = state.engine.apply(record.offset, _command(state, event, record))
        except DeadLetterError as error:
            reason = str(error)
            state.engine.skip(record.offset)
            hosted.outbox.append(_dead_letter(record, reason))
            logger.error(
                "order_event_dead_lettered", partition=record.partition, offset=record.offset,
                reason=reason,
            )  # fmt: skip
        result: TradeEvent
        if execution is None or event is None:
            result = Skipped(
                epoch=state.epoch, offset=record.offset, previous_offset=previous, reason=reason
            )
        else:
            result = _to_record(execution, state, event)
            _log(result)
        key = str(record.partition).encode()
        hosted.outbox.append(OutgoingRecord(TRADE_EVENTS, record.partition, key, encode(result)))

    def _publish(self) -> None:
        for hosted in self._hosted.values():
            self._publisher.publish(hosted.outbox)
            hosted.outbox = []

    def _forget(self) -> None:
        if all(hosted.events < FORGET_EVERY for hosted in self._hosted.values()):
            return
        settled = settled_offsets()
        for number, hosted in self._hosted.items():
            hosted.state.engine.forget_seen(settled.get(number, -1))
            hosted.events = 0


def _is_duplicate(
    event: NewOrder, record: LogRecord, epoch: int, places: Mapping[int, PlaceOnLog]
) -> bool:
    """Whether the order stood on the log before this record, as far as Postgres knows.

    The answer is the same at any later time: a place on the log, once settled, never changes.
    What Postgres does not know yet, the engine has seen itself since the checkpoint.
    """
    place = places.get(event.order_id)
    if place is None:
        raise DeadLetterError(f"there is no order {event.order_id}")
    if place.epoch is None or place.offset is None:
        return False
    return place.epoch < epoch or place.offset < record.offset


def _command(state: Recovered, event: OrderEvent, record: LogRecord) -> pure.Command:
    scale = _scale(state, event.market, record.partition)
    if isinstance(event, CancelOrder):
        return pure.CancelOrder(event.order_id, event.market)
    try:
        price = to_units(Decimal(event.price), scale.tick)
        quantity = to_units(Decimal(event.quantity), scale.lot)
    except ValueError as error:
        raise DeadLetterError(str(error)) from error
    if price <= 0 or quantity <= 0:
        raise DeadLetterError("price and quantity must be greater than zero")
    side = pure.BUY if event.side == "buy" else pure.SELL
    return pure.PlaceOrder(event.order_id, event.user_id, event.market, side, price, quantity)


def _scale(state: Recovered, symbol: str, partition: int) -> Scale:
    """Return the market's scale; a market made since the recovery is opened now.

    Its trades are counted from 1, whatever Postgres has by now: at this engine's place on the log
    there are none yet.
    """
    if symbol not in state.scales:
        market = Market.objects.filter(pk=symbol).first()
        if market is None:
            raise DeadLetterError(f"there is no market {symbol}")
        if partition_for(market.base_id) != partition:
            raise DeadLetterError(f"{symbol} does not belong on partition {partition}")
        open_market(state.engine, state.scales, market, last_trade_id=0)
    return state.scales[symbol]


def _to_record(execution: pure.Execution, state: Recovered, event: OrderEvent) -> Execution:
    scale = state.scales[execution.market]
    buys = execution.side == pure.BUY
    return Execution(
        event="new" if isinstance(event, NewOrder) else "cancel",
        market=execution.market,
        epoch=state.epoch,
        offset=execution.offset,
        previous_offset=execution.previous_offset,
        order_id=execution.order_id,
        user_id=execution.user_id,
        side="buy" if buys else "sell",
        price=format_amount(execution.price * scale.tick),
        status=execution.status,
        reason=execution.reason,
        canceled_quantity=format_amount(execution.canceled_quantity * scale.lot),
        trades=tuple(
            Trade(
                trade_id=fill.trade_id,
                buy_order_id=execution.order_id if buys else fill.maker_order_id,
                sell_order_id=fill.maker_order_id if buys else execution.order_id,
                maker_user_id=fill.maker_user_id,
                taker_side="buy" if buys else "sell",
                price=format_amount(fill.price * scale.tick),
                quantity=format_amount(fill.quantity * scale.lot),
            )
            for fill in execution.fills
        ),
        request_id=event.request_id,
    )


def _dead_letter(record: LogRecord, reason: str) -> OutgoingRecord:
    origin = f"{ORDER_EVENTS}/{record.partition}/{record.offset}".encode()
    return OutgoingRecord(
        DEAD_ORDER_EVENTS,
        0,
        origin,
        record.value or b"",
        (("reason", reason.encode()[:1000]), ("origin", origin)),
    )


def _log(result: Execution) -> None:
    for trade in result.trades:
        logger.info(
            "trade_matched", market=result.market, trade_id=trade.trade_id,
            buy_order_id=trade.buy_order_id, sell_order_id=trade.sell_order_id,
            price=trade.price, quantity=trade.quantity, request_id=result.request_id,
        )  # fmt: skip
    if not result.trades:
        logger.info(
            "order_matched", market=result.market, order_id=result.order_id,
            status=result.status, request_id=result.request_id,
        )  # fmt: skip
