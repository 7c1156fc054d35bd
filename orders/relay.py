"""The relay: publishes again what should be on the log and is not.

An order is on the log, or is not yet known to be missing, as long as the engine has not come past
the place where it would stand. So each run notes where the log ends now; once the settlement has
reached that place, what was due before that moment and is still waiting has been lost on the way
(a process died between commit and publish, or the log was lost) and is published again. Under a
backlog nothing is published twice for being late. Losing the notes only delays.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from balances.checkpoints import settled_offsets
from exchange.kafka import ORDER_EVENTS, Log, OutgoingRecord, Publisher, partition_for
from orders.models import LIVE_STATUSES, Amendment, Market, MarketChange, Order
from orders.outbox import amendment_record, market_record, records_of

logger = structlog.get_logger(__name__)

GRACE = timedelta(seconds=2)
"""How long the first publish may take."""
MAX_ORDERS = 5_000
"""Published in one run at most; the next run goes on."""
_IN_TURN = (
    F("elected_epoch").asc(nulls_first=True), "elected_offset", "elected_rank", "id",
)  # fmt: skip
"""New orders and cancels by number, then triggers in the order of their election."""
_NOTES_KEY = "orders:relay:notes"
_MAX_NOTES = 120


class _Note(NamedTuple):
    """Where `order-events` ended at a moment: every record due before stands before that."""

    at: datetime
    ends: dict[int, int]


def relay() -> int:
    """Publish what is missing and return how many orders that were.

    Raises:
        LogError: the log is away. Nothing is marked as published; the next run tries again.
    """
    now = timezone.now()  # before the ends are read: what was due by then stands before them
    with Log() as log:
        ends = log.end_offsets(ORDER_EVENTS)
    notes: list[_Note] = cache.get(_NOTES_KEY, [])
    settled = settled_offsets()
    relayed = 0
    for partition, markets in _markets_by_partition().items():
        due_before = _passed(notes, partition, settled.get(partition, -1))
        if due_before is not None:
            relayed += _relay_partition(markets, due_before - GRACE)
            _relay_amendments(markets, due_before - GRACE)
            _relay_changes(markets, due_before - GRACE)
    notes = [*notes[-_MAX_NOTES:], _Note(now, ends)]
    cache.set(_NOTES_KEY, notes, timeout=600)
    return relayed


def _markets_by_partition() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    settled = Market.objects.filter(markethalt__isnull=True)  # nobody would take note of the others
    for symbol, base in settled.values_list("symbol", "base_id"):
        found.setdefault(partition_for(base), []).append(symbol)
    return found


def _passed(notes: list[_Note], partition: int, settled: int) -> datetime | None:
    """Return the latest noted moment whose end of the log has been settled."""
    return max(
        (note.at for note in notes if note.ends.get(partition, 0) <= settled + 1), default=None
    )


def _relay_partition(markets: list[str], due_before: datetime) -> int:
    missing = (
        Q(status=Order.Status.PENDING)
        | Q(status=Order.Status.UNTRIGGERED, elected_at__isnull=False)
        | Q(
            status__in=(Order.Status.UNTRIGGERED, *LIVE_STATUSES),
            cancel_requested_at__isnull=False,
            finished_at__isnull=True,
        )
    )
    with transaction.atomic():
        orders = list(
            Order.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(missing, market_id__in=markets, created_at__lt=due_before)
            .annotate(
                due=Greatest(
                    "created_at",
                    Coalesce("cancel_requested_at", F("created_at")),
                    Coalesce("elected_at", F("created_at")),
                    Coalesce("relayed_at", F("created_at")),
                )
            )
            .filter(due__lt=due_before)
            .order_by(*_IN_TURN)[:MAX_ORDERS]
        )
        if not orders:
            return 0
        Order.objects.filter(pk__in=[order.pk for order in orders]).update(
            relayed_at=timezone.now()
        )
    # After the commit, so that no row is locked while the log is slow. If it fails, these orders
    # are tried again once the settlement has passed the next note.
    _publish(records_of(orders))
    logger.warning("orders_relayed", count=len(orders), first=orders[0].pk, last=orders[-1].pk)
    return len(orders)


def _relay_amendments(markets: list[str], due_before: datetime) -> None:
    """Publish again the amendments that are missing on the log, after the orders that are."""
    with transaction.atomic():
        waiting = Amendment.objects.select_for_update(skip_locked=True, of=("self",))
        amendments = list(
            waiting.filter(status=Amendment.Status.WAITING, market_id__in=markets)
            .annotate(due=Coalesce("relayed_at", "requested_at"))
            .filter(due__lt=due_before)
            .select_related("order")
            .order_by("id")[:MAX_ORDERS]
        )
        if not amendments:
            return
        Amendment.objects.filter(pk__in=[row.pk for row in amendments]).update(
            relayed_at=timezone.now()
        )
    _publish([amendment_record(amendment) for amendment in amendments])
    logger.warning("amendments_relayed", count=len(amendments), first=amendments[0].pk)


def _relay_changes(markets: list[str], due_before: datetime) -> None:
    """Publish again the changes of markets that are missing on the log, in their order."""
    with transaction.atomic():
        waiting = MarketChange.objects.select_for_update(skip_locked=True)
        changes = list(
            waiting.filter(applied_at=None, market_id__in=markets)
            .annotate(due=Coalesce("relayed_at", "requested_at"))
            .filter(due__lt=due_before)
            .order_by("id")[:MAX_ORDERS]
        )
        if not changes:
            return
        MarketChange.objects.filter(pk__in=[change.pk for change in changes]).update(
            relayed_at=timezone.now()
        )
    _publish([market_record(change) for change in changes])
    logger.warning("market_changes_relayed", count=len(changes), first=changes[0].pk)


def _publish(records: list[OutgoingRecord]) -> None:
    publisher = Publisher(delivery_timeout_ms=settings.KAFKA_RELAY_TIMEOUT_MS)
    try:
        publisher.publish(records)
    finally:
        publisher.close()
