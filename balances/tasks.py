"""The settlement task, fed by the Kafka bridge, and the periodic care of the cache."""

from collections.abc import Sequence

import structlog
from celery import shared_task

from balances import checkpoints, trust
from balances.cache import CacheUnreachableError
from balances.settle import Result, SequenceError, settle
from exchange.kafka import ORDER_EVENTS, Log, LogRecord
from exchange.records import decode_execution

logger = structlog.get_logger(__name__)


@shared_task(name="balances.settle_trades")
def settle_trades(records: Sequence[LogRecord]) -> int:
    """Settle a batch of results; return how many were new.

    Raises:
        SequenceError: a result was missing, and what to do about it has been done: the log has
            changed and a new epoch begins, or the partition is halted. Call again.
        RecordError: `trade-events` holds what no matching worker writes.
    """
    results = [Result(record.partition, decode_execution(record.value)) for record in records]
    try:
        settled = settle(results)
    except SequenceError as error:
        _face_gap(error)
        raise
    for _, execution in settled.results:
        logger.info(
            "order_settled", order_id=execution.order_id, market=execution.market,
            status=execution.status, trades=len(execution.trades), offset=execution.offset,
            request_id=execution.request_id,
        )  # fmt: skip
    return len(settled.results)


def _face_gap(error: SequenceError) -> None:
    """Begin a new epoch if the log has changed; else stop the partition rather than guess."""
    with Log() as log:
        identity, ends = log.identity(), log.end_offsets(ORDER_EVENTS)
    before = checkpoints.current_epoch()
    if checkpoints.ensure_epoch(identity, ends) == before:
        checkpoints.halt_partition(error.partition, str(error))


@shared_task(name="balances.care_for_cache")
def care_for_cache() -> bool:
    """Keep the cache vouched for; after an outage of Redis, flush it and trust it again."""
    try:
        return trust.restore()
    except CacheUnreachableError as error:
        logger.warning("cache_unreachable", error=str(error))
        return False
