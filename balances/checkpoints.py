"""Where on the log Postgres stands, and which life of the log that is.

A `Checkpoint` row per partition names the last result that has been settled. When the log is
lost or made anew, its offsets mean nothing any more: `ensure_epoch` begins the next epoch. What
had been settled stays; live orders are reloaded from Postgres and pending ones published again.
"""

from collections.abc import Mapping

import structlog
from django.db import connection, transaction

from balances.models import Checkpoint, LogEpoch
from exchange.kafka import ORDER_EVENTS, Log, LogIdentity
from exchange.records import NO_OFFSET

logger = structlog.get_logger(__name__)


LOST_END = "order-events has lost its end"


class EpochChangedError(Exception):
    """The log is another one than the present epoch's."""


_EPOCH_LOCK = 0x45504F4348  # "EPOCH": serialises the beginning of epochs


def ensure_epoch(log: Log) -> int:
    """Return the number of the epoch that `log` is in, beginning a new one if it has changed.

    Safe to call from several processes at once: one begins the epoch, the others find it.
    """
    identity, ends = log.identity(), log.end_offsets(ORDER_EVENTS)
    with transaction.atomic(durable=True):
        current, checkpoints = _locked()
        offsets, reason, is_new_log = _offsets_in(identity, ends, current, checkpoints)
        if reason == LOST_END:
            # What was settled since the ends were read may lie beyond them. Nothing is settled now.
            ends = _latest(ends, log.end_offsets(ORDER_EVENTS))
            offsets, reason, is_new_log = _offsets_in(identity, ends, current, checkpoints)
        if not reason:
            assert current is not None
            return current.number
        Checkpoint.objects.update(gap_offset=None)
        return _begin(identity, offsets, reason, is_new_log=is_new_log)


def is_on_present_log(epoch: int) -> bool:
    """Return whether offsets of `epoch` still mean the same: no other log has begun since."""
    return not LogEpoch.objects.filter(number__gt=epoch, is_new_log=True).exists()


def begin_epoch_for_gap(
    partition: int, epoch: int | None, identity: LogIdentity, *, offset: int | None = None
) -> bool:
    """Begin the next epoch where the present one stands, to have a missing result made again.

    `offset`: only if the partition is still settled up to there.
    Returns False if that has been tried at this very place: the gap is real.
    """
    with transaction.atomic(durable=True):
        current, checkpoints = _locked()
        if current is None or current.number != epoch or partition not in checkpoints:
            return True  # somebody has begun an epoch meanwhile
        place = checkpoints[partition].offset
        if offset is not None and place != offset:
            return True  # what was missing has come
        if checkpoints[partition].gap_offset == place:
            return False
        _begin_in_place(
            identity, checkpoints, f"results of partition {partition} after {place} missing"
        )
        Checkpoint.objects.filter(pk=partition).update(gap_offset=place)
        return True


def begin_epoch_for_resume(identity: LogIdentity, reason: str) -> tuple[int, dict[int, int]]:
    """Begin the next epoch where the present one stands; return its number and the checkpoints.

    In the caller's transaction, in which nothing can be settled from here on. Every matching
    worker then builds its books anew from what has been settled.

    Raises:
        EpochChangedError: `identity` is not the log of the present epoch; ask again.
    """
    current, checkpoints = _locked()
    if current is None or (current.order_topic_id, current.trade_topic_id) != (
        identity.order_topic_id, identity.trade_topic_id,
    ):  # fmt: skip
        raise EpochChangedError("the topics are not those of the present epoch")
    return _begin_in_place(identity, checkpoints, reason), {
        number: row.offset for number, row in checkpoints.items()
    }


def _latest(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    return {number: max(end, second.get(number, end)) for number, end in first.items()}


def _begin_in_place(
    identity: LogIdentity, checkpoints: Mapping[int, Checkpoint], reason: str
) -> int:
    offsets = {number: row.offset for number, row in checkpoints.items()}
    return _begin(identity, offsets, reason, is_new_log=False)


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
        return offsets, LOST_END, True
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
