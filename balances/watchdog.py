"""The watchdog: has results made again that were lost where no further result shows the gap.

The settlement sees a gap when the next result comes. Where none comes (the log has lost the end of
`trade-events`, or what stands there cannot be read), the last orders would wait for ever. So a
periodic task looks for partitions on which both bridges have read everything and the settlement
has still not reached the end of `order-events` for a while. It must never act on a guess: without
fresh reports of both bridges it does nothing.
"""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog
from django.core.cache import cache

from balances.checkpoints import begin_epoch_for_gap
from balances.halts import halt_partition
from balances.models import Checkpoint, LogEpoch
from exchange.bridge_status import BridgeReport, bridge_reports
from exchange.kafka import ORDER_EVENTS, Log, LogIdentity

logger = structlog.get_logger(__name__)

STALL_SECONDS = 20.0
"""How long a partition must stand still. Batches that take longer are not reported as running."""
_KEY = "balances:watchdog"


class Stall(NamedTuple):
    """A partition at a place on the log, with everything read and not everything settled."""

    epoch: int
    offset: int
    since: float


def watch() -> list[int]:
    """Have missing results made again; return the partitions for which that was begun.

    A partition on which they are still missing then is halted, as the settlement does at a gap.

    Raises:
        LogError, RedisError: a store is away; the next run looks again.
    """
    idle = _read_to_the_end(bridge_reports())
    epoch = LogEpoch.objects.first()
    # Read before the ends: they can only have grown since, so what is behind them is unsettled.
    settled = dict(
        Checkpoint.objects.filter(pk__in=idle, halted_reason="", epoch=epoch).values_list(
            "partition", "offset"
        )
    )
    with Log() as log:
        identity, ends = log.identity(), log.end_offsets(ORDER_EVENTS)
    if epoch is None or identity != LogIdentity(epoch.order_topic_id, epoch.trade_topic_id):
        return []  # the bridges are about to begin another one
    known: Mapping[int, Stall] = cache.get(_KEY, {})
    stalls = _stalls(epoch.number, settled, ends, known)
    cache.set(_KEY, stalls, timeout=600)
    begun = []
    for partition, stall in stalls.items():
        if time.time() - stall.since < STALL_SECONDS:
            continue
        if begin_epoch_for_gap(partition, stall.epoch, identity, offset=stall.offset):
            logger.error("results_missing", partition=partition, after=stall.offset)
            begun.append(partition)
            break  # the epoch is another one now: the others are looked at anew
        halt_partition(
            partition,
            f"The results after offset {stall.offset} are missing, and making them again did not "
            "help. manage.py replay says which.",
            offset=stall.offset,
        )
    return begun


def _stalls(
    epoch: int,
    settled: Mapping[int, int],
    ends: Mapping[int, int],
    known: Mapping[int, Stall],
) -> dict[int, Stall]:
    """Return the partitions that stand still, each since when it was first seen there."""
    found = {}
    for partition, offset in settled.items():
        if offset + 1 < ends.get(partition, 0):
            before = known.get(partition)
            same = before is not None and (before.epoch, before.offset) == (epoch, offset)
            found[partition] = before if same and before else Stall(epoch, offset, time.time())
    return found


def _read_to_the_end(reports: Iterable[BridgeReport]) -> set[int]:
    """Return the partitions of which both bridges freshly report: nothing left to read.

    Other bridges read results too, but nothing is settled by them.
    """
    read: dict[str, set[int]] = {"matching": set(), "trades": set()}
    behind: set[int] = set()
    for report in reports:
        if report.bridge not in read:
            continue
        if report.is_stale or report.state != "running":
            behind.update(report.partitions)
            continue
        for partition in report.partitions:
            if report.lag.get(str(partition)) == 0:
                read[report.bridge].add(partition)
            else:
                behind.add(partition)
    return (read["matching"] & read["trades"]) - behind
