"""Halts of the settlement, and how an operator ends them.

A market halts when settling one of its results would break a promise, or when its book cannot be
built from what has been settled; a partition when a result
is missing and making it again did not help. Nothing is skipped in silence: what is left out stays
noted. Ending a halt begins a new epoch at the present checkpoints: every matching worker builds its
books anew from what has been settled, makes the results after that again, and the relay publishes
the orders and cancels that were left out. What still breaks a promise then halts again.
"""

import structlog
from django.db import transaction

from balances.checkpoints import begin_epoch_for_resume, ensure_epoch
from balances.locks import lock_checkpoints
from balances.models import Checkpoint, MarketHalt, PastHalt
from exchange.api.errors import ClientError
from exchange.kafka import Log, LogIdentity, partition_for
from exchange.records import AmendmentRefused, Execution, MarketChanged
from orders import services as orders
from orders.models import Market

logger = structlog.get_logger(__name__)


MARKET_STOPPED = "its settlement has stopped"
PARTITION_STOPPED = "the settlement of its partition has stopped"
"""What everybody may read in `GET /markets`. Why it has is for operators: it may name balances."""


class NotHaltedError(ClientError):
    code = "not_halted"


def halt_market(result: Execution | AmendmentRefused | MarketChanged, reason: str) -> None:
    """Settle nothing of the market of `result` from it on; in the settlement's transaction."""
    about = {} if isinstance(result, MarketChanged) else {"order_id": result.order_id}
    _halt(result.market, result.epoch, result.offset, reason, **about)


def halt_unrecovered(partition: int, market: str, reason: str) -> None:
    """Settle nothing more of `market`, because its book cannot be built from what is settled.

    Whatever its engine makes of an empty book is left out. A market that has stopped already
    stays as it is.
    """
    with transaction.atomic(durable=True):
        checkpoint = lock_checkpoints({partition})[partition]
        if not MarketHalt.objects.filter(pk=market).exists():
            _halt(market, checkpoint.epoch, checkpoint.offset + 1, reason)


def _halt(market: str, epoch: int, offset: int, reason: str, **about: int) -> None:
    MarketHalt.objects.create(market_id=market, epoch_id=epoch, offset=offset, reason=reason[:500])
    orders.halt_market(market=market, reason=MARKET_STOPPED, in_place_of=PARTITION_STOPPED)
    logger.critical(
        "market_halted", market=market, epoch=epoch, offset=offset, reason=reason, **about
    )


def halt_partition(partition: int, reason: str, *, offset: int | None = None) -> None:
    """Settle nothing more of `partition`, and take no more orders on its markets.

    `offset`: only if the partition is still settled up to there.
    """
    with transaction.atomic():
        running = Checkpoint.objects.filter(pk=partition, halted_reason="")
        if offset is not None:
            running = running.filter(offset=offset)
        if not running.update(halted_reason=reason[:500]):
            return
        for market in _markets_on(partition):
            orders.halt_market(market=market, reason=PARTITION_STOPPED)
    logger.critical("partition_halted", partition=partition, reason=reason)


def resume_market(*, market: str, note: str, actor_id: int | None = None) -> PastHalt:
    """Settle `market` again, and take orders on it. `note`: what was found and mended.

    Pending orders and cancels that were left out are published again by the relay, in the order
    in which they were accepted.

    Raises:
        NotHaltedError: its settlement has not stopped, or its whole partition has.
        LogError: Kafka is away.
    """
    identity = _identity()
    partition = partition_for(market.partition("-")[0])
    with transaction.atomic(durable=True):
        epoch, checkpoints = begin_epoch_for_resume(identity, f"{market} resumed")
        halt = MarketHalt.objects.filter(pk=market).first()
        if halt is None:
            raise NotHaltedError(f"The settlement of {market} has not stopped: nothing to resume.")
        _require_running(partition)
        past = PastHalt.objects.create(
            market_id=market,
            epoch=halt.epoch,
            offset=halt.offset,
            resumed_epoch_id=epoch,
            last_offset=checkpoints[partition],
            reason=halt.reason,
            halted_at=halt.halted_at,
            resumed_by_id=actor_id,
            note=note[:200],
        )
        halt.delete()
        orders.reopen_market(market=market, halted_for=MARKET_STOPPED)
    logger.warning("market_resumed", market=market, epoch=epoch, actor_id=actor_id, note=note)
    return past


def resume_partition(*, partition: int, note: str, actor_id: int | None = None) -> None:
    """Settle `partition` again from its checkpoint on; its results are made again.

    Its markets take orders again, but for those whose own settlement has stopped and those that
    an operator has halted.

    Raises:
        NotHaltedError: it has not stopped.
        LogError: Kafka is away.
    """
    identity = _identity()
    with transaction.atomic(durable=True):
        epoch, _ = begin_epoch_for_resume(identity, f"partition {partition} resumed: {note}"[:200])
        halted = Checkpoint.objects.filter(pk=partition).exclude(halted_reason="")
        if not halted.update(halted_reason="", gap_offset=None):
            raise NotHaltedError(f"Partition {partition} has not stopped: nothing to resume.")
        for market in _markets_on(partition):
            if not MarketHalt.objects.filter(pk=market).exists():
                orders.reopen_market(market=market, halted_for=PARTITION_STOPPED)
    logger.warning(
        "partition_resumed", partition=partition, epoch=epoch, actor_id=actor_id, note=note
    )


def _identity() -> LogIdentity:
    """Return which log this is, the present epoch's in any case."""
    with Log() as log:
        ensure_epoch(log)
        return log.identity()


def _require_running(partition: int) -> None:
    halted = Checkpoint.objects.filter(pk=partition).exclude(halted_reason="").first()
    if halted is not None:
        raise NotHaltedError(
            f"Partition {partition} as a whole is halted ({halted.halted_reason}): resume it first."
        )


def _markets_on(partition: int) -> list[str]:
    markets = Market.objects.values_list("symbol", "base_id")
    return [symbol for symbol, base in markets if partition_for(base) == partition]
