"""Where on the log Postgres stands, and which life of the log that is.

A `Checkpoint` row per partition names the last result that has been settled. When the log is
lost or made anew, its offsets mean nothing any more: `ensure_epoch` begins the next epoch. What
had been settled stays; live orders are reloaded from Postgres and pending ones published again.
"""

from collections.abc import Mapping

import structlog
from django.db import connection, transaction

from balances.models import Checkpoint, LogEpoch
from exchange.kafka import LogIdentity, partition_for
from exchange.records import NO_OFFSET
from orders.models import Market
from orders.services import halt_market

logger = structlog.get_logger(__name__)

_EPOCH_LOCK = 0x45504F4348  # "EPOCH": serialises the beginning of epochs


def ensure_epoch(identity: LogIdentity, order_event_ends: Mapping[int, int]) -> int:
    """Return the number of the epoch that `identity` is, beginning a new one if it has changed.

    `order_event_ends`: per partition, the offset that the next order event will get. Safe to
    call from several processes at once: one begins the epoch, the others find it.
    """
    with transaction.atomic(durable=True):
        current, checkpoints = _locked()
        offsets, reason, is_new_log = _offsets_in(identity, order_event_ends, current, checkpoints)
        if not reason:
            assert current is not None
            return current.number
        Checkpoint.objects.update(gap_offset=None)
        return _begin(identity, offsets, reason, is_new_log=is_new_log)


def begin_epoch_for_gap(partition: int, epoch: int | None, identity: LogIdentity) -> bool:
    """Begin the next epoch where the present one stands, to have a missing result made again.

    Returns False if that has been tried at this very place: the gap is real.
    """
    with transaction.atomic(durable=True):
        current, checkpoints = _locked()
        if current is None or current.number != epoch or partition not in checkpoints:
            return True  # somebody has begun an epoch meanwhile
        place = checkpoints[partition].offset
        if checkpoints[partition].gap_offset == place:
            return False
        reason = f"results of partition {partition} after {place} missing"
        offsets = {number: row.offset for number, row in checkpoints.items()}
        _begin(identity, offsets, reason, is_new_log=False)
        Checkpoint.objects.filter(pk=partition).update(gap_offset=place)
        return True


def _locked() -> tuple[LogEpoch | None, dict[int, Checkpoint]]:
    """Lock out every other beginning of an epoch; return the present one and the checkpoints."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_EPOCH_LOCK])
    rows = Checkpoint.objects.select_for_update().order_by("partition")
    return LogEpoch.objects.first(), {row.partition: row for row in rows}


def _begin(
    identity: LogIdentity, offsets: Mapping[int, int], reason: str, *, is_new_log: bool
) -> int:
    epoch = LogEpoch.objects.create(
        order_topic_id=identity.order_topic_id,
        trade_topic_id=identity.trade_topic_id,
        reason=reason,
        is_new_log=is_new_log,
        begin_offsets={str(partition): offset for partition, offset in offsets.items()},
    )
    for partition, offset in offsets.items():
        Checkpoint.objects.update_or_create(
            partition=partition, defaults={"epoch": epoch, "offset": offset}
        )
    logger.warning("log_epoch_begun", epoch=epoch.number, reason=reason)
    return epoch.number


def _offsets_in(
    identity: LogIdentity,
    ends: Mapping[int, int],
    current: LogEpoch | None,
    checkpoints: Mapping[int, Checkpoint],
) -> tuple[dict[int, int], str, bool]:
    """Return each partition's checkpoint in this log, why it is a new epoch ("": it is not), and
    whether `order-events` is another log than before, or has been cut."""
    if current is None:
        return dict.fromkeys(ends, NO_OFFSET), "the first log", True
    if current.order_topic_id != identity.order_topic_id:
        return dict.fromkeys(ends, NO_OFFSET), "order-events was made anew", True
    known = {
        number: checkpoints[number].offset if number in checkpoints else NO_OFFSET
        for number in ends
    }
    offsets = {number: min(offset, ends[number] - 1) for number, offset in known.items()}
    if offsets != known:
        return offsets, "order-events has lost its end", True
    if current.trade_topic_id != identity.trade_topic_id:
        return offsets, "trade-events was made anew", False
    if len(checkpoints) < len(ends):
        return offsets, "order-events has more partitions", False
    return offsets, "", False


def settled_offsets() -> dict[int, int]:
    """Return, per partition, the offset of the last settled result in the present epoch."""
    return dict(Checkpoint.objects.values_list("partition", "offset"))


def current_epoch() -> int | None:
    """Return the number of the present epoch, or None before the first."""
    return LogEpoch.objects.values_list("number", flat=True).first()


def halt_partition(partition: int, reason: str) -> None:
    """Settle nothing more of `partition`, and take no more orders on its markets."""
    with transaction.atomic():
        running = Checkpoint.objects.filter(pk=partition, halted_reason="")
        if not running.update(halted_reason=reason[:500]):
            return
        for symbol, base in Market.objects.values_list("symbol", "base_id"):
            if partition_for(base) == partition:
                halt_market(market=symbol, reason=reason)
    logger.critical("partition_halted", partition=partition, reason=reason)
