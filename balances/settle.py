"""Settling a batch of results: one transaction, a handful of statements, however many trades.

Exactly once: the checkpoints are locked first, and a result at or below its checkpoint, or of an
earlier epoch, is dropped. In order: each result names the one before it, and a gap stops. A
result that would break a promise halts its market and is never skipped over: the batch is then
settled one by one, so that the other markets go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from django.db import DataError, IntegrityError, connection, transaction

from balances.cache import CachedBalance
from balances.changes import change_balances
from balances.halts import halt_market
from balances.ledger import apply_movements
from balances.locks import CheckpointRow, lock_checkpoints
from balances.models import MarketHalt
from balances.settlement import SELF_TRADE, DecrementRow, OrderChange, TradeRow, plan
from exchange.arrays import columns
from exchange.records import Execution, TradeEvent

logger = structlog.get_logger(__name__)


class Result(NamedTuple):
    """What one order event did, and the partition it came on."""

    partition: int
    event: TradeEvent


class ViolationError(Exception):
    """Settling this result would break a promise: an order is not in the state it implies."""


class SequenceError(Exception):
    """A result does not follow the one before it: something between them is missing."""

    def __init__(self, partition: int, message: str, epoch: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition
        self.epoch = epoch
        """The epoch the database was at; None if it had none."""


@dataclass(frozen=True)
class Settled:
    """What a batch came to: executions settled now, and how many results were not."""

    executions: tuple[Execution, ...]
    dropped: int


def settle(results: Sequence[Result]) -> Settled:
    """Settle `results` (in the order of the log) in one transaction.

    Raises:
        SequenceError: a result is missing; nothing was settled.
    """
    try:
        return change_balances(lambda: _settle_together(results))
    except (IntegrityError, DataError, ViolationError):
        logger.exception("settlement_violation", action="The batch is settled one by one.")
    return change_balances(lambda: _settle_one_by_one(results))


def _settle_together(results: Sequence[Result]) -> tuple[Settled, Sequence[CachedBalance]]:
    fresh, reached = _fresh(results)
    executions = [event for _, event in fresh if isinstance(event, Execution)]
    changed = _apply(executions) if executions else []
    _move_checkpoints(reached)
    return Settled(tuple(executions), len(results) - len(executions)), changed


def _settle_one_by_one(results: Sequence[Result]) -> tuple[Settled, Sequence[CachedBalance]]:
    settled: list[Execution] = []
    halted: set[str] = set()
    changed: dict[tuple[int, str], CachedBalance] = {}
    fresh, reached = _fresh(results)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for _, execution in fresh:
        if not isinstance(execution, Execution) or execution.market in halted:
            continue
        try:
            with transaction.atomic():
                rows = _apply([execution])
        except (IntegrityError, DataError, ViolationError) as error:
            halt_market(execution, str(error))
            halted.add(execution.market)
            continue
        settled.append(execution)
        changed.update({(row.user_id, row.asset): row for row in rows})
    _move_checkpoints(reached)
    return Settled(tuple(settled), len(results) - len(settled)), list(changed.values())


def _fresh(results: Sequence[Result]) -> tuple[list[Result], dict[int, int]]:
    """Lock the checkpoints; return what is still to be settled, and where they are to move.

    The results of a halted market are left out, but their partition moves on past them.
    """
    checkpoints = lock_checkpoints({result.partition for result in results})
    reached = {number: row.offset for number, row in checkpoints.items()}
    fresh = []
    for result in results:
        checkpoint = checkpoints.get(result.partition)
        if checkpoint is None:
            raise SequenceError(result.partition, f"partition {result.partition} has no checkpoint")
        if _is_news(result.event, checkpoint, reached[result.partition]):
            _require_next(result, reached[result.partition], checkpoint.epoch)
            reached[result.partition] = result.event.offset
            fresh.append(result)
    halted = set(MarketHalt.objects.values_list("market_id", flat=True))
    return [result for result in fresh if _market(result.event) not in halted], reached


def _market(event: TradeEvent) -> str | None:
    return event.market if isinstance(event, Execution) else None


def _is_news(event: TradeEvent, checkpoint: CheckpointRow, reached: int) -> bool:
    if checkpoint.halted or event.epoch < checkpoint.epoch:
        return False
    if event.epoch > checkpoint.epoch:
        raise SequenceError(
            checkpoint.partition,
            f"a result of epoch {event.epoch}, but the database knows {checkpoint.epoch}",
            checkpoint.epoch,
        )
    return event.offset > reached


def _require_next(result: Result, reached: int, epoch: int) -> None:
    event = result.event
    if event.previous_offset != reached:
        raise SequenceError(
            result.partition,
            f"partition {result.partition} is settled up to {reached}, but the next result"
            f" ({event.offset}) follows {event.previous_offset}",
            epoch,
        )


def _apply(executions: Sequence[Execution]) -> list[CachedBalance]:
    planned = plan(executions)
    _update_orders(list(planned.orders.values()))
    changed = apply_movements(planned.movements) if planned.movements else []
    if planned.trades:
        _insert_trades(planned.trades)
    if planned.decrements:
        _insert_decrements(planned.decrements)
    return changed


def _update_orders(changes: Sequence[OrderChange]) -> None:
    """Move the orders on; each must exist in just the state that its results imply."""
    rows = (
        (
            change.order_id, change.market, change.user_id, change.side, change.event_epoch,
            change.is_new, change.epoch, change.offset, change.filled_quantity,
            change.filled_quote, change.finished_as, change.reason, change.canceled_quantity,
            change.prevented_quantity,
        )
        for change in changes
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE_ORDERS, columns(rows))
        if cursor.rowcount != len(changes):
            raise ViolationError(
                f"{len(changes) - cursor.rowcount} of the orders "
                f"{[change.order_id for change in changes][:20]} are not in the state that "
                "their results imply"
            )


_IS_WHOLE = (
    "o.filled_quantity + d.filled_quantity + o.prevented_quantity + d.prevented_quantity"
    " = o.quantity"
)
"""Nothing is left of the order: filled, or, if any of it was prevented, canceled."""

_UPDATE_ORDERS = f"""
UPDATE orders_order o SET
  filled_quantity = o.filled_quantity + d.filled_quantity,
  filled_quote = o.filled_quote + d.filled_quote,
  prevented_quantity = o.prevented_quantity + d.prevented_quantity,
  epoch = coalesce(d.epoch, o.epoch),
  "offset" = coalesce(d."offset", o."offset"),
  status = CASE
    WHEN d.finished_as <> '' THEN d.finished_as
    WHEN o.filled_quantity + d.filled_quantity = o.quantity THEN 'filled'
    WHEN {_IS_WHOLE} THEN 'canceled'
    WHEN o.filled_quantity + d.filled_quantity > 0 THEN 'partially_filled'
    ELSE 'open' END,
  reason = CASE
    WHEN d.finished_as <> '' THEN d.reason
    WHEN {_IS_WHOLE} AND o.filled_quantity + d.filled_quantity < o.quantity THEN '{SELF_TRADE}'
    ELSE o.reason END,
  finished_at = CASE WHEN d.finished_as <> '' OR {_IS_WHOLE} THEN now() END,
  finished_epoch = CASE WHEN d.finished_as <> '' OR {_IS_WHOLE} THEN d.event_epoch END
FROM unnest(
  %s::bigint[], %s::varchar[], %s::bigint[], %s::varchar[], %s::int[],
  %s::bool[], %s::int[], %s::bigint[], %s::numeric[], %s::numeric[],
  %s::varchar[], %s::varchar[], %s::numeric[], %s::numeric[]
) AS d(id, market_id, user_id, side, event_epoch,
       is_new, epoch, "offset", filled_quantity, filled_quote,
       finished_as, reason, canceled_quantity, prevented_quantity)
WHERE o.id = d.id AND o.market_id = d.market_id AND o.user_id = d.user_id AND o.side = d.side
  AND CASE WHEN d.is_new THEN o.status = 'pending'
      ELSE o.status IN ('open', 'partially_filled') END
  AND (d.finished_as = ''
       OR o.quantity - o.filled_quantity - d.filled_quantity - o.prevented_quantity
          - d.prevented_quantity = d.canceled_quantity)
"""  # noqa: S608 - our own SQL


def _insert_decrements(decrements: Sequence[DecrementRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_decrement (taker_order_id, maker_order_id, quantity)"
            " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[])",
            columns(decrements),
        )


def _insert_trades(trades: Sequence[TradeRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side,"
            " buy_order_id, sell_order_id, buyer_id, seller_id, executed_at)"
            " SELECT *, now() FROM unnest(%s::varchar[], %s::bigint[], %s::numeric[],"
            " %s::numeric[], %s::varchar[], %s::bigint[], %s::bigint[], %s::bigint[],"
            " %s::bigint[])",
            columns(trades),
        )


def _move_checkpoints(reached: dict[int, int]) -> None:
    if not reached:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE balances_checkpoint c SET "offset" = d."offset", updated_at = now()'
            ' FROM unnest(%s::int[], %s::bigint[]) AS d(partition, "offset")'
            " WHERE c.partition = d.partition",
            columns(reached.items()),
        )
