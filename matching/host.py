"""The engines of this process: one per assigned partition, all driven by the bridge's one thread.

Between the log and `matching.partition`: asks Postgres about the orders of a batch, publishes what
comes of it. An engine moves before its results are on the log, so results wait in an outbox until
they are acknowledged; a batch that is tried again finds its events applied and only publishes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from balances.checkpoints import ensure_epoch, settled_offsets
from balances.halts import halt_unrecovered
from exchange.detail_log import DetailBudget
from exchange.kafka import (
    ORDER_EVENTS,
    TRADE_EVENTS,
    Log,
    LogRecord,
    OutgoingRecord,
    Publisher,
    dead_letter,
)
from exchange.records import Execution, TradeEvent, encode
from matching.partition import DecodedRecord, Facts, Outcome, PartitionMatcher, decode, facts_of
from matching.recovery import recover

logger = structlog.get_logger(__name__)

FORGET_EVERY = 20_000
"""Events after which the engine forgets the order ids that Postgres knows by now."""
MAX_UNSETTLED = 200_000
"""New orders that an engine may be ahead of the settlement; it remembers each of them."""
LINGER_MS = 100
"""How long the client gathers records of a piece before it wakes its sender. Nothing waits for it:
the end of a piece sends what is there."""
PIECE_BYTES = 8 * 1024 * 1024
"""How much is published at once, unless one result is larger: what a slow broker takes in time."""


@dataclass(slots=True)
class _Hosted:
    matcher: PartitionMatcher
    outbox: list[OutgoingRecord] = field(default_factory=list)
    events: int = 0


class MatchingHost:
    """Matches batches of order events. Not thread-safe: the bridge's thread owns it."""

    def __init__(self, publisher: Publisher | None = None) -> None:
        self._hosted: dict[int, _Hosted] = {}
        self._publisher = publisher or Publisher(linger_ms=LINGER_MS)
        self._details = DetailBudget()
        self.epoch: int | None = None
        """The epoch that every engine here belongs to; None before the first `begin`."""

    def begin(
        self, partitions: set[int], alive: Callable[[], None] = lambda: None
    ) -> dict[int, int | None]:
        """Have an engine for exactly `partitions`; return where each goes on reading the log.

        An engine that is here already stays: the log is the same for everybody, so what it has
        read is true, and it reads on from there. Unless the epoch has changed. `alive` is called
        now and then while the books are being read.
        """
        with Log() as log:
            epoch = ensure_epoch(log)
        self.epoch = epoch
        self._hosted = {
            number: hosted
            for number, hosted in self._hosted.items()
            if number in partitions and hosted.matcher.epoch == epoch
        }
        for number in sorted(partitions - self._hosted.keys()):
            state = recover(number, alive)
            for market, why in state.broken.items():
                halt_unrecovered(number, market, why)
            matcher = PartitionMatcher(state)
            self._hosted[number] = _Hosted(matcher)
            logger.info(
                "partition_recovered", partition=number, epoch=epoch,
                offset=matcher.position, markets=list(matcher.markets),
            )  # fmt: skip
        # What an engine that stays has still to say must not wait for the next order to come.
        self._publish()
        return {number: h.matcher.position + 1 for number, h in self._hosted.items()}

    def match(self, records: Sequence[LogRecord]) -> int:
        """Apply `records` and publish what comes of them; return the number of results.

        Raises:
            LogError, DatabaseError: a store is away. Call again with the same records.
        """
        self._publish()
        items = [decode(record) for record in records if self._is_new(record)]
        facts = facts_of(items)
        self._log([(item.record, self._apply(item, facts)) for item in items])
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
        return {number: h.matcher.engine.state_hash() for number, h in self._hosted.items()}

    def _is_new(self, record: LogRecord) -> bool:
        hosted = self._hosted.get(record.partition)
        return hosted is not None and record.offset > hosted.matcher.position

    def _apply(self, item: DecodedRecord, facts: Facts) -> Outcome:
        record = item.record
        hosted = self._hosted[record.partition]
        outcome = hosted.matcher.apply(item, facts)
        hosted.events += 1
        if outcome.problem:
            hosted.outbox.append(dead_letter(ORDER_EVENTS, record, outcome.problem))
        key, value = str(record.partition).encode(), encode(outcome.result)
        hosted.outbox.append(OutgoingRecord(TRADE_EVENTS, record.partition, key, value))
        return outcome

    def _log(self, outcomes: Sequence[tuple[LogRecord, Outcome]]) -> None:
        """Tell what came of a batch: each trade and order, or only how many if they are many."""
        for record, (result, problem) in outcomes:
            if problem:
                _log_dead_letter(record, result, problem)
        executions = [o.result for _, o in outcomes if isinstance(o.result, Execution)]
        trades = sum(len(execution.trades) for execution in executions)
        if self._details.allows(trades + len(executions)):
            for execution in executions:
                _log_execution(execution)
        else:
            logger.info("batch_matched", events=len(outcomes), trades=trades)

    def _publish(self) -> None:
        """Publish what waits, a piece at a time: what is acknowledged need not be sent again."""
        for hosted in self._hosted.values():
            while hosted.outbox:
                count = _first_piece(hosted.outbox)
                self._publisher.publish(hosted.outbox[:count])
                del hosted.outbox[:count]

    def has_room(self) -> bool:
        """Whether to read on: not while the settlement is too far behind."""
        if self._most_seen() >= MAX_UNSETTLED:
            self._forget_settled()
        return self._most_seen() < MAX_UNSETTLED

    def _most_seen(self) -> int:
        return max((h.matcher.engine.seen_count for h in self._hosted.values()), default=0)

    def _forget(self) -> None:
        if any(hosted.events >= FORGET_EVERY for hosted in self._hosted.values()):
            self._forget_settled()

    def _forget_settled(self) -> None:
        settled = settled_offsets()
        for number, hosted in self._hosted.items():
            hosted.matcher.engine.forget_seen(settled.get(number, -1))
            hosted.events = 0


def _first_piece(outbox: Sequence[OutgoingRecord]) -> int:
    """Return how many records from the first on are `PIECE_BYTES` at most, but at least one."""
    size = 0
    for count, record in enumerate(outbox):
        size += len(record.value)
        if size > PIECE_BYTES and count:
            return count
    return len(outbox)


def _log_dead_letter(record: LogRecord, result: TradeEvent, problem: str) -> None:
    logger.error(
        "order_event_dead_lettered", partition=record.partition, offset=record.offset,
        reason=problem, rejects=result.order_id if isinstance(result, Execution) else None,
    )  # fmt: skip


def _log_execution(result: Execution) -> None:
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
