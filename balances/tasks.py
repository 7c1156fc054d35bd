"""The settlement task, fed by the Kafka bridge, and the periodic care of the cache."""

from collections.abc import Iterator, Sequence

import structlog
from celery import shared_task

from balances import checkpoints, halts, trust, watchdog
from balances.cache import CacheUnreachableError
from balances.settle import Result, SequenceError, Settled, settle
from exchange.detail_log import DetailBudget
from exchange.kafka import (
    TRADE_EVENTS,
    Log,
    LogRecord,
    OutgoingRecord,
    Publisher,
    dead_letter,
)
from exchange.metrics import count_settled
from exchange.records import Execution, RecordError, decode_trade_event
from orders.triggers import publish_triggers

logger = structlog.get_logger(__name__)

_details = DetailBudget()

MAX_TRADES = 5_000
"""Trades settled in one transaction; a single result with more is settled whole all the same."""


@shared_task(name="balances.settle_trades")
def settle_trades(records: Sequence[LogRecord]) -> int:
    """Settle a batch of results; return how many were new.

    Raises:
        SequenceError: a result was missing, and what to do about it has been done: a new epoch
            has begun, or the partition is halted. Call again.
    """
    count = 0
    for results in slices(_decode(records)):
        try:
            settled = settle(results)
        except SequenceError as error:
            _face_gap(error)
            raise
        publish_triggers(settled.executions)
        _log(settled)
        count_settled(
            (execution.status for execution in settled.executions),
            trades=sum(len(execution.trades) for execution in settled.executions),
        )
        count += len(settled.executions)
    return count


def slices(results: list[Result], max_trades: int = MAX_TRADES) -> Iterator[list[Result]]:
    """Cut a batch so that no transaction comes near the time limit: by trades, in order.

    The election of a stop order counts as a trade: its row is written, too.
    """
    part: list[Result] = []
    trades = 0
    for result in results:
        part.append(result)
        if isinstance(result.event, Execution):
            trades += len(result.event.trades) + len(result.event.elected)
        if trades >= max_trades:
            yield part
            part, trades = [], 0
    if part:
        yield part


def _log(settled: Settled) -> None:
    """Tell what was settled: each order, or only how many if they are many."""
    if not _details.allows(len(settled.executions)):
        trades = sum(len(execution.trades) for execution in settled.executions)
        logger.info("batch_settled", orders=len(settled.executions), trades=trades)
        return
    for execution in settled.executions:
        logger.info(
            "order_settled", order_id=execution.order_id, market=execution.market,
            status=execution.status, trades=len(execution.trades), offset=execution.offset,
            request_id=execution.request_id,
        )  # fmt: skip


def _decode(records: Sequence[LogRecord]) -> list[Result]:
    """Decode the batch. What cannot be read is a missing result: the chain shows it.

    Only matching workers write to `trade-events`, and they can make every result again.
    """
    results: list[Result] = []
    unreadable: list[OutgoingRecord] = []
    for record in records:
        try:
            event = decode_trade_event(record.value)
            results.append(Result(record.partition, event, record.timestamp_ms))
        except RecordError as error:
            logger.error(
                "trade_event_dead_lettered", partition=record.partition, offset=record.offset,
                reason=str(error),
            )  # fmt: skip
            unreadable.append(dead_letter(TRADE_EVENTS, record, str(error)))
    if unreadable:
        _publish_dead_letters(unreadable)
    return results


def _publish_dead_letters(records: Sequence[OutgoingRecord]) -> None:
    publisher = Publisher()
    try:
        publisher.publish(records)
    finally:
        publisher.close()


def _face_gap(error: SequenceError) -> None:
    """A result is missing: have it made again from the checkpoint; if that does not help, halt.

    Making it again is a new epoch: every matching worker goes back to the checkpoint, and the
    engine is deterministic, so nothing is guessed.
    """
    with Log() as log:
        epoch = checkpoints.ensure_epoch(log)
        identity = log.identity()
    if epoch != error.epoch:
        return  # the log has changed, or somebody else has begun the epoch meanwhile
    if not checkpoints.begin_epoch_for_gap(error.partition, error.epoch, identity):
        halts.halt_partition(error.partition, str(error))


@shared_task(name="balances.care_for_cache")
def care_for_cache() -> bool:
    """Keep the cache vouched for; after an outage of Redis, flush it and trust it again."""
    try:
        return trust.restore()
    except CacheUnreachableError as error:
        logger.warning("cache_unreachable", error=str(error))
        return False


@shared_task(name="balances.watch")
def watch_results() -> list[int]:
    """Have results made again that were lost at the end of the log."""
    return watchdog.watch()
