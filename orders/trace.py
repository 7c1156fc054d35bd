"""The way of an order with a time at each stage: accepted, published, matched, settled, cached.

Each time is that of whoever did it, noted where it was written anyway: the order's row, the record
on the log, a note in Redis. What nobody has noted, or cannot be asked for now, has no time but a
reason: nothing is guessed.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import structlog

from balances import cache
from balances.checkpoints import is_on_present_log
from balances.history import moved_balances
from exchange.kafka import ORDER_EVENTS, LogError, RecordLookup, partition_for
from exchange.records import NewOrder, RecordError, decode_order_event
from orders.models import UNFINISHED_STATUSES, Order

logger = structlog.get_logger(__name__)

StageName: TypeAlias = Literal["accepted", "published", "matched", "settled", "cached"]
Reason: TypeAlias = Literal[
    "not_yet",
    "not_recorded",
    "log_replaced",
    "log_unreachable",
    "nothing_to_cache",
    "not_noted",
    "finished_first",
]
REASONS: dict[Reason, str] = {
    "not_yet": "it is not there, or not known to be there before the result has been settled",
    "not_recorded": "nobody has written it down: of a cancel or a trigger, or of an order of an "
    "earlier version",
    "log_replaced": "the log on which it was is another one now",
    "log_unreachable": "the log does not answer",
    "nothing_to_cache": "the settlement changed no balance",
    "not_noted": "the note in Redis has expired or was lost, or the cache was not written",
    "finished_first": "the order was finished by something else",
}
"""Why a stage has no time."""


class Stage(NamedTuple):
    """A stage, and when; or, without a time, why there is none."""

    stage: StageName
    at: datetime | None
    reason: Reason | None = None


lookup = RecordLookup()


def trace_order(order: Order) -> list[Stage]:
    """Return the stages of an order's own event, in order."""
    return [
        Stage("accepted", order.created_at),
        _published(order),
        _noted("matched", order, order.matched_at),
        _noted("settled", order, order.settled_at),
        _cached(order),
    ]


def trace_trigger(order: Order) -> list[Stage]:
    """Return the stages of a stop order's trigger; none if the order has not been elected.

    It is accepted with the settlement that has elected the order.
    """
    if order.elected_at is None:
        return []
    if order.triggered_at is not None:
        settled = Stage("settled", order.triggered_at)
    elif order.status in UNFINISHED_STATUSES:
        settled = Stage("settled", None, "not_yet")
    else:
        settled = Stage("settled", None, "finished_first")
    return _wish(order.elected_at, settled)


def trace_cancel(order: Order) -> list[Stage]:
    """Return the stages of the wish to cancel an order; none if there is none."""
    if order.cancel_requested_at is None:
        return []
    if order.status in UNFINISHED_STATUSES:
        settled = Stage("settled", None, "not_yet")
    elif order.status == Order.Status.CANCELED:
        settled = Stage("settled", order.finished_at)
    else:
        settled = Stage("settled", None, "finished_first")
    return _wish(order.cancel_requested_at, settled)


def _wish(accepted: datetime, settled: Stage) -> list[Stage]:
    return [
        Stage("accepted", accepted),
        Stage("published", None, "not_recorded"),
        Stage("matched", None, "not_recorded"),
        settled,
        Stage("cached", None, "not_recorded"),
    ]


def _noted(stage: StageName, order: Order, at: datetime | None) -> Stage:
    if at is None:
        return Stage(stage, None, "not_yet" if order.epoch is None else "not_recorded")
    return Stage(stage, at)


def _published(order: Order) -> Stage:
    """Look the record up where the engine saw it, and make sure that it is the order's."""
    if order.epoch is None or order.offset is None:
        return Stage("published", None, "not_yet")
    if not is_on_present_log(order.epoch):
        return Stage("published", None, "log_replaced")
    partition = partition_for(order.market_id.partition("-")[0])
    try:
        found = lookup.find(ORDER_EVENTS, partition, order.offset)
    except (LogError, OSError) as error:
        logger.info("trace_without_log", order_id=order.pk, error=repr(error))
        return Stage("published", None, "log_unreachable")
    if found is None or not _is_of(order, found.value):
        return Stage("published", None, "log_replaced")
    if (found.timestamp_ms or 0) <= 0:  # what a client writes that knows no time
        return Stage("published", None, "not_recorded")
    return Stage("published", _1970 + timedelta(milliseconds=found.timestamp_ms or 0))


def _is_of(order: Order, value: bytes) -> bool:
    try:
        event = decode_order_event(value)
    except RecordError:
        return order.status == Order.Status.REJECTED  # what could not be read was the order's
    return isinstance(event, NewOrder) and event.order_id == order.pk


def _cached(order: Order) -> Stage:
    if order.settled_at is None:
        return Stage("cached", None, "not_yet" if order.epoch is None else "not_recorded")
    if not moved_balances(order_id=order.pk, at=order.settled_at):
        return Stage("cached", None, "nothing_to_cache")
    at = cache.noted_at(order.settled_at)
    return Stage("cached", at) if at else Stage("cached", None, "not_noted")


_1970 = datetime(1970, 1, 1, tzinfo=UTC)
