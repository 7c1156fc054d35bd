"""Settling a batch of results: one transaction, a handful of statements, however many trades.

Exactly once: the checkpoints are locked first, and a result at or below its checkpoint, or of an
earlier epoch, is dropped. In order: each result names the one before it, and a gap stops. A
result that would break a promise halts its market and is never skipped over: the batch is then
settled one by one, so that the other markets go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import structlog
from django.db import DataError, IntegrityError, connection, transaction

from balances.cache import CachedBalance
from balances.changes import change_balances
from balances.fees import FeeTerms, charge
from balances.halts import halt_market
from balances.ledger import ZERO, Movement, apply_movements
from balances.locks import CheckpointRow, lock_checkpoints
from balances.models import MarketHalt
from balances.settlement import (
    SELF_TRADE,
    AmendmentRow,
    DecrementRow,
    ElectionRow,
    OrderChange,
    QueuePlace,
    RefusedRow,
    TradeRow,
    plan,
)
from exchange.arrays import columns
from exchange.models import FEE_ACCOUNT_ID
from exchange.records import AmendmentRefused, Execution, MarketChanged, Skipped, TradeEvent
from orders.market_states import settle_changes
from orders.models import MarketChange

logger = structlog.get_logger(__name__)


class Result(NamedTuple):
    """What one order event did, the partition it came on, and when it was published there.

    `matched_ms`: since 1970 UTC; None if the record does not say.
    """

    partition: int
    event: TradeEvent
    matched_ms: int | None = None


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
    """What a batch came to: executions settled now, how many results were not, and when."""

    executions: tuple[Execution, ...]
    dropped: int
    at: datetime | None


def settle(results: Sequence[Result]) -> Settled:
    """Settle `results` (in the order of the log) in one transaction.

    Raises:
        SequenceError: a result is missing; nothing was settled.
    """
    try:
        return change_balances(lambda: _settle_together(results), note=_note)
    except (IntegrityError, DataError, ViolationError):
        logger.exception("settlement_violation", action="The batch is settled one by one.")
    return change_balances(lambda: _settle_one_by_one(results), note=_note)


def _note(settled: Settled) -> datetime | None:
    return settled.at


def _settle_together(results: Sequence[Result]) -> tuple[Settled, Sequence[CachedBalance]]:
    fresh, reached = _fresh(results)
    moving = [r.event for r in fresh if isinstance(r.event, Execution | AmendmentRefused)]
    executions = [event for event in moving if isinstance(event, Execution)]
    _settle_changes([result.event for result in fresh if isinstance(result.event, MarketChanged)])
    changed = _apply(moving, _matched(fresh)) if moving else []
    at = _move_checkpoints(reached)
    return Settled(tuple(executions), len(results) - len(executions), at), changed


def _settle_one_by_one(results: Sequence[Result]) -> tuple[Settled, Sequence[CachedBalance]]:
    settled: list[Execution] = []
    halted: set[str] = set()
    changed: dict[tuple[int, str], CachedBalance] = {}
    fresh, reached = _fresh(results)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    matched = _matched(fresh)
    for _, event, _ in fresh:
        if isinstance(event, Skipped) or event.market in halted:
            continue
        try:
            with transaction.atomic():
                rows = _settle_one(event, matched)
        except (IntegrityError, DataError, ViolationError) as error:
            halt_market(event, str(error))
            halted.add(event.market)
            continue
        if isinstance(event, Execution):
            settled.append(event)
        changed.update({(row.user_id, row.asset): row for row in rows})
    at = _move_checkpoints(reached)
    return Settled(tuple(settled), len(results) - len(settled), at), list(changed.values())


def _settle_one(
    event: Execution | AmendmentRefused | MarketChanged, matched: Mapping[int, int | None]
) -> Sequence[CachedBalance]:
    if isinstance(event, MarketChanged):
        _settle_changes([event])
        return []
    return _apply([event], matched)


def _settle_changes(changes: Sequence[MarketChanged]) -> None:
    try:
        settle_changes(changes)
    except MarketChange.DoesNotExist as error:
        raise ViolationError("a change of a market that nobody has ordered") from error


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
    return None if isinstance(event, Skipped) else event.market


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


def _matched(results: Sequence[Result]) -> dict[int, int | None]:
    """Return when the result of each order's own event was published, by the order's number."""
    return {
        event.order_id: matched_ms if (matched_ms or 0) > 0 else None
        for _, event, matched_ms in results
        if isinstance(event, Execution) and event.event == "new"
    }


def _apply(
    results: Sequence[Execution | AmendmentRefused], matched: Mapping[int, int | None]
) -> list[CachedBalance]:
    planned = plan(results)
    if planned.amendments:
        _amend_orders(planned.amendments)
    if planned.refused:
        _refuse_amendments(planned.refused)
    orders = list(planned.orders.values())
    terms = _update_orders(orders, matched) if orders else {}
    fees = charge(planned, terms)
    changed = apply_movements(planned.movements) if planned.movements else []
    if planned.trades:
        _insert_trades(planned.trades)
    if planned.decrements:
        _insert_decrements(planned.decrements)
    if planned.elections:
        _note_elections(planned.elections)
    if planned.places:
        _update_places(list(planned.places.values()))
    # Last of all: every settlement with fees in these assets waits until this one has committed.
    return changed + _credit_fees(fees) if fees else changed


def _credit_fees(fees: dict[str, Decimal]) -> list[CachedBalance]:
    """Give the fee account what was taken: one entry for each asset, however many trades."""
    return apply_movements(
        [Movement(FEE_ACCOUNT_ID, asset, "fee", fees[asset], ZERO) for asset in sorted(fees)]
    )


def _update_orders(
    changes: Sequence[OrderChange], matched: Mapping[int, int | None]
) -> dict[int, FeeTerms]:
    """Move the orders on; each must exist in just the state that its results imply.

    Returns the terms of those that pay fees.
    """
    rows = (
        (
            change.order_id, change.market, change.user_id, change.side, change.event_epoch,
            change.is_new, change.epoch, change.offset, change.filled_quantity,
            change.filled_quote, change.finished_as, change.reason, change.canceled_quantity,
            matched.get(change.order_id) if change.is_new else None, change.prevented_quantity,
            change.is_triggered, change.waits,
        )
        for change in changes
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE_ORDERS, columns(rows))
        rows_found = cursor.fetchall()
    count = next(row[1] for row in rows_found if row[0] is None)
    if count != len(changes):
        raise ViolationError(
            f"{len(changes) - count} of the orders {[change.order_id for change in changes][:20]}"
            " are not in the state that their results imply"
        )
    return {row[0]: FeeTerms._make(row[2:]) for row in rows_found if row[0] is not None}


_IS_WHOLE = (
    "o.filled_quantity + d.filled_quantity + o.prevented_quantity + d.prevented_quantity"
    " = o.quantity"
)
"""Nothing is left of the order: filled, or, if any of it was prevented, canceled."""

# The row without a number says how many were changed; the others pay fees, and say their terms.
_UPDATE_ORDERS = f"""
WITH changed AS (
UPDATE orders_order o SET
  filled_quantity = o.filled_quantity + d.filled_quantity,
  filled_quote = o.filled_quote + d.filled_quote,
  prevented_quantity = o.prevented_quantity + d.prevented_quantity,
  epoch = CASE WHEN d.is_new THEN d.epoch ELSE o.epoch END,
  "offset" = CASE WHEN d.is_new THEN d."offset" ELSE o."offset" END,
  triggered_at = CASE WHEN d.is_triggered THEN now() ELSE o.triggered_at END,
  triggered_epoch = CASE WHEN d.is_triggered THEN d.epoch ELSE o.triggered_epoch END,
  triggered_offset = CASE WHEN d.is_triggered THEN d."offset" ELSE o.triggered_offset END,
  queue_epoch = CASE WHEN d.is_triggered THEN d.epoch ELSE o.queue_epoch END,
  queue_offset = CASE WHEN d.is_triggered THEN d."offset" ELSE o.queue_offset END,
  queue_rank = CASE WHEN d.is_triggered THEN 0 ELSE o.queue_rank END,
  matched_at = CASE WHEN d.is_new
    THEN timestamptz 'epoch' + d.matched_ms * interval '1 millisecond' ELSE o.matched_at END,
  settled_at = CASE WHEN d.is_new THEN now() ELSE o.settled_at END,
  status = CASE
    WHEN d.finished_as <> '' THEN d.finished_as
    WHEN d.waits THEN 'untriggered'
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
  %s::varchar[], %s::varchar[], %s::numeric[], %s::bigint[], %s::numeric[],
  %s::bool[], %s::bool[]
) AS d(id, market_id, user_id, side, event_epoch,
       is_new, epoch, "offset", filled_quantity, filled_quote,
       finished_as, reason, canceled_quantity, matched_ms, prevented_quantity,
       is_triggered, waits)
WHERE o.id = d.id AND o.market_id = d.market_id AND o.user_id = d.user_id AND o.side = d.side
  AND CASE WHEN d.is_new THEN o.status = 'pending'
      WHEN d.is_triggered THEN o.status = 'untriggered' AND o.elected_at IS NOT NULL
      ELSE o.status IN ('open', 'partially_filled')
        OR o.status = 'untriggered' AND d.finished_as = 'canceled' AND d.filled_quantity = 0
          AND d.prevented_quantity = 0 END
  AND (d.finished_as = ''
       OR o.quantity - o.filled_quantity - d.filled_quantity - o.prevented_quantity
          - d.prevented_quantity = d.canceled_quantity)
RETURNING o.id, o.market_id, o.maker_fee_rate, o.taker_fee_rate
)
SELECT NULL::bigint, count(*), NULL::numeric, NULL::numeric, NULL::int, NULL::int FROM changed
UNION ALL
SELECT c.id, NULL, c.maker_fee_rate, c.taker_fee_rate, b.decimals, q.decimals
FROM changed c JOIN orders_market m ON m.symbol = c.market_id
  JOIN orders_asset b ON b.symbol = m.base_id JOIN orders_asset q ON q.symbol = m.quote_id
WHERE c.maker_fee_rate > 0 OR c.taker_fee_rate > 0
"""  # noqa: S608 - our own SQL


def _amend_orders(amendments: Sequence[AmendmentRow]) -> None:
    """Give orders their new prices and quantities, before what their trades then do to them."""
    with connection.cursor() as cursor:
        for statement in (_AMEND_ORDERS, _NOTE_AMENDED):
            cursor.execute(statement, columns(amendments))
            if cursor.rowcount != len(amendments):
                raise ViolationError(
                    f"{len(amendments) - cursor.rowcount} of the amendments"
                    f" {[row.amendment_id for row in amendments][:20]} do not fit their orders"
                )


_AMENDED = """
FROM unnest(%s::bigint[], %s::bigint[], %s::varchar[], %s::numeric[], %s::numeric[],
  %s::numeric[], %s::numeric[], %s::numeric[], %s::int[], %s::bigint[], %s::bigint[], %s::bool[])
  AS d(id, order_id, market_id, price, quantity, price_before, quantity_before, held, epoch,
    "offset", last_trade_id, moved)
"""

_AMEND_ORDERS = f"""
UPDATE orders_order o SET price = d.price, quantity = d.quantity,
  first_price = coalesce(o.first_price, o.price),
  first_quantity = coalesce(o.first_quantity, o.quantity)
{_AMENDED}
WHERE o.id = d.order_id AND o.market_id = d.market_id
  AND o.price = d.price_before AND o.quantity = d.quantity_before
  AND o.status IN ('pending', 'open', 'partially_filled')
"""  # noqa: S608 - our own SQL

_NOTE_AMENDED = f"""
UPDATE orders_amendment a SET status = 'applied', epoch = d.epoch, "offset" = d."offset",
  settled_at = now(), last_trade_id = d.last_trade_id, moved = d.moved
{_AMENDED}
WHERE a.id = d.id AND a.order_id = d.order_id AND a.market_id = d.market_id
  AND a.status = 'waiting' AND a.price = d.price AND a.quantity = d.quantity
  AND a.price_before = d.price_before AND a.quantity_before = d.quantity_before
  AND a.held = d.held
"""  # noqa: S608 - our own SQL


def _refuse_amendments(refused: Sequence[RefusedRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_amendment a SET status = 'refused', reason = d.reason,"
            ' epoch = d.epoch, "offset" = d."offset", settled_at = now()'
            " FROM unnest(%s::bigint[], %s::bigint[], %s::varchar[], %s::numeric[], %s::int[],"
            " %s::bigint[], %s::varchar[])"
            ' AS d(id, order_id, market_id, held, epoch, "offset", reason)'
            " WHERE a.id = d.id AND a.order_id = d.order_id AND a.market_id = d.market_id"
            " AND a.status = 'waiting' AND a.held = d.held",
            columns(refused),
        )
        if cursor.rowcount != len(refused):
            raise ViolationError(
                f"{len(refused) - cursor.rowcount} of the refused amendments"
                f" {[row.amendment_id for row in refused][:20]} do not wait"
            )


def _insert_decrements(decrements: Sequence[DecrementRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_decrement (taker_order_id, maker_order_id, quantity)"
            " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[])",
            columns(decrements),
        )


def _note_elections(elections: Sequence[ElectionRow]) -> None:
    """Note that stop orders are to be triggered; each must wait, or have been canceled just now."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_ELECTIONS, columns(elections))
        if cursor.rowcount != len(elections):
            raise ViolationError(
                f"{len(elections) - cursor.rowcount} of the orders"
                f" {[row.order_id for row in elections][:20]} cannot have been elected"
            )


_NOTE_ELECTIONS = """
UPDATE orders_order o SET elected_at = now(), elected_epoch = d.epoch,
  elected_offset = d."offset", elected_rank = d.rank
FROM unnest(%s::bigint[], %s::varchar[], %s::int[], %s::bigint[], %s::int[])
  AS d(id, market_id, epoch, "offset", rank)
WHERE o.id = d.id AND o.market_id = d.market_id AND o.stop_price IS NOT NULL
  AND o.elected_at IS NULL
  AND (o.status = 'untriggered' OR o.status = 'canceled' AND o.finished_at = now())
"""


def _update_places(places: Sequence[QueuePlace]) -> None:
    """Note which orders stand elsewhere in their queues now: one statement for all of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order o"
            ' SET queue_epoch = d.epoch, queue_offset = d."offset", queue_rank = d.rank'
            " FROM unnest(%s::bigint[], %s::varchar[], %s::int[], %s::bigint[], %s::int[])"
            ' AS d(id, market_id, epoch, "offset", rank)'
            " WHERE o.id = d.id AND o.market_id = d.market_id",
            columns(places),
        )
        if cursor.rowcount != len(places):
            numbers = [place.order_id for place in places][:20]
            raise ViolationError(f"of the orders {numbers} some are not there to be put anywhere")


def _insert_trades(trades: Sequence[TradeRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side,"
            " buy_order_id, sell_order_id, buyer_id, seller_id, buyer_fee, seller_fee, executed_at)"
            " SELECT *, now() FROM unnest(%s::varchar[], %s::bigint[], %s::numeric[],"
            " %s::numeric[], %s::varchar[], %s::bigint[], %s::bigint[], %s::bigint[],"
            " %s::bigint[], %s::numeric[], %s::numeric[])",
            columns(trades),
        )


def _move_checkpoints(reached: dict[int, int]) -> datetime | None:
    """Return the time of the transaction, which everything that it writes has; None: nothing."""
    if not reached:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE balances_checkpoint c SET "offset" = d."offset", updated_at = now()'
            ' FROM unnest(%s::int[], %s::bigint[]) AS d(partition, "offset")'
            " WHERE c.partition = d.partition RETURNING now()",
            columns(reached.items()),
        )
        row = cursor.fetchone()
    return None if row is None else row[0]
