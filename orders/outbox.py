"""From the order row to `order-events`: right after the commit, without waiting.

The row is the outbox. What is not published here, because the log is away or the process dies,
is published by the relay; the engine drops what it has seen already.
"""

import threading
import time
from collections.abc import Sequence
from typing import cast

import structlog
from django.utils import timezone

from exchange.kafka import ORDER_EVENTS, LogError, OutgoingRecord, Publisher, partition_for
from exchange.middleware import current_request_id
from exchange.money import format_amount
from exchange.records import (
    AmendOrder,
    CancelOrder,
    ChangeMarket,
    NewOrder,
    OrderEvent,
    OrderTypeName,
    PreventionName,
    SideName,
    StateName,
    TimeInForceName,
    TriggerOrder,
    encode,
)
from orders.models import EXPIRED, Amendment, MarketChange, Order

logger = structlog.get_logger(__name__)

_RETRY_AFTER_SECONDS = 2.0
_OPENING_SECONDS = 1.0
"""How long a request waits for another one that connects for the first time; then the relay takes
its order."""


class _Outlet:
    """The process's publisher, left alone for a while after a failure so that no request waits."""

    def __init__(self) -> None:
        self._publisher = Publisher(delivery_timeout_ms=10_000)
        self._closed_until = 0.0
        self._opening = threading.Lock()
        self._open = False

    def publish_soon(self, records: Sequence[OutgoingRecord], order_ids: Sequence[int]) -> None:
        if self._open and not self._is_closed():
            self._send(records, order_ids)
        elif not self._is_closed() and self._opening.acquire(timeout=self._patience()):
            # One thread connects; the others find it connected, or closed.
            try:
                if not self._is_closed():
                    self._send(records, order_ids)
            finally:
                self._opening.release()

    def _patience(self) -> float:
        """How long to wait for another request to connect: not at all after an outage."""
        return 0.0 if self._closed_until else _OPENING_SECONDS

    def _is_closed(self) -> bool:
        return time.monotonic() < self._closed_until

    def _send(self, records: Sequence[OutgoingRecord], order_ids: Sequence[int]) -> None:
        failures: list[BaseException] = []

        def failed(error: BaseException) -> None:
            if not failures:  # one line for a batch: the relay finds those that are missing
                self._failed(order_ids, error)
            failures.append(error)

        try:
            self._publisher.publish_all_soon(records, failed)
            self._open = True
        except LogError as error:
            failed(error)

    def flush(self) -> None:
        self._publisher.flush()

    def close(self) -> None:
        self._open = False
        self._publisher.close()
        # What was given up just now says nothing about the log: no reason to leave it alone.
        self._closed_until = 0.0

    def _failed(self, order_ids: Sequence[int], error: BaseException) -> None:
        self._open = False
        self._closed_until = time.monotonic() + _RETRY_AFTER_SECONDS
        logger.warning(
            "publish_failed",
            order_id=order_ids[0],
            orders=len(order_ids),
            error=repr(error),
            action="The relay publishes what is missing.",
        )


_outlet = _Outlet()


def flush() -> None:
    """Wait until everything handed over so far is on the log, or has failed."""
    _outlet.flush()


def close() -> None:
    """Drop the connection to the log; the next order makes a new one."""
    _outlet.close()


def publish_soon(order: Order) -> None:
    """Publish a new order; returns at once and never fails: the relay is the net."""
    publish_all_soon([order])


def publish_all_soon(orders: Sequence[Order]) -> None:
    """Publish new orders, in this order; as `publish_soon`."""
    if orders:
        records = [new_order_record(order) for order in orders]
        _outlet.publish_soon(records, [order.pk for order in orders])


def publish_cancel_soon(order: Order) -> None:
    """Publish the wish to cancel `order`; returns at once and never fails."""
    publish_cancels_soon([order])


def publish_cancels_soon(orders: Sequence[Order]) -> None:
    """Publish the wishes to cancel `orders`; as `publish_cancel_soon`."""
    if orders:
        records = [cancel_record(order) for order in orders]
        _outlet.publish_soon(records, [order.pk for order in orders])


def publish_triggers_soon(orders: Sequence[Order]) -> None:
    """Publish the triggers of elected orders, in this order; returns at once and never fails."""
    if orders:
        records = [trigger_record(order) for order in orders]
        _outlet.publish_soon(records, [order.pk for order in orders])


def publish_amendment_soon(amendment: Amendment) -> None:
    """Publish the wish to amend an order; returns at once and never fails."""
    _outlet.publish_soon([amendment_record(amendment)], [amendment.order_id])


def publish_change_soon(change: MarketChange) -> None:
    """Publish an operator's change of a market; returns at once and never fails."""
    _outlet.publish_soon([market_record(change)], [change.pk])


def market_record(change: MarketChange) -> OutgoingRecord:
    """Return the record of a change of a market's state, the same each time it is published."""
    return _record(
        change,
        ChangeMarket(
            change_id=change.pk,
            market=change.market_id,
            state=cast(StateName, change.state),
            created_at=change.requested_at.isoformat(),
        ),
    )


def amendment_record(amendment: Amendment) -> OutgoingRecord:
    """Return the record of a wish to amend an order, the same each time it is published."""
    return _record(
        amendment,
        AmendOrder(
            amendment_id=amendment.pk,
            order_id=amendment.order_id,
            user_id=amendment.order.user_id,
            market=amendment.market_id,
            price=format_amount(amendment.price),
            quantity=format_amount(amendment.quantity),
            quantity_before=format_amount(amendment.quantity_before),
            held=format_amount(amendment.held),
            created_at=amendment.requested_at.isoformat(),
            request_id=amendment.request_id,
        ),
    )


def new_order_record(order: Order) -> OutgoingRecord:
    """Return the record of an accepted order, the same for each time it is published."""
    return _record(
        order,
        NewOrder(
            order_id=order.pk,
            user_id=order.user_id,
            market=order.market_id,
            side=cast(SideName, order.side),
            order_type=cast(OrderTypeName, order.order_type),
            time_in_force=cast(TimeInForceName, order.time_in_force),
            post_only=order.post_only,
            self_trade_prevention=cast(PreventionName, order.self_trade_prevention),
            price=format_amount(order.price),
            quantity=format_amount(order.quantity),
            created_at=order.created_at.isoformat(),
            request_id=order.request_id,
            maker_fee_rate=format_amount(order.maker_fee_rate),
            taker_fee_rate=format_amount(order.taker_fee_rate),
            expires_at="" if order.expires_at is None else order.expires_at.isoformat(),
            quote_amount="0" if order.quote_amount is None else format_amount(order.quote_amount),
            stop_price="" if order.stop_price is None else format_amount(order.stop_price),
            visible_quantity=""
            if order.visible_quantity is None
            else format_amount(order.visible_quantity),
        ),
    )


def trigger_record(order: Order) -> OutgoingRecord:
    """Return the record of an elected order's trigger, the same each time it is published."""
    assert order.elected_at is not None, order.pk
    return _record(
        order,
        TriggerOrder(
            order_id=order.pk,
            user_id=order.user_id,
            market=order.market_id,
            created_at=order.elected_at.isoformat(),
            request_id=order.request_id,
        ),
    )


def cancel_record(order: Order) -> OutgoingRecord:
    """Return the record of a wish to cancel `order`."""
    return _record(
        order,
        CancelOrder(
            order_id=order.pk,
            user_id=order.user_id,
            market=order.market_id,
            created_at=(order.cancel_requested_at or timezone.now()).isoformat(),
            request_id=current_request_id() or order.request_id,
            reason="expired" if order.cancel_reason == EXPIRED else "",
        ),
    )


def _record(subject: Order | Amendment | MarketChange, event: OrderEvent) -> OutgoingRecord:
    base, _, _ = subject.market_id.partition("-")
    return OutgoingRecord(ORDER_EVENTS, partition_for(base), base.encode(), encode(event))


def records_of(orders: Sequence[Order]) -> list[OutgoingRecord]:
    """Return what the log should hold of unfinished orders: new if pending, then the cancel if one
    was asked for, else the trigger if elected and not triggered."""
    records = []
    for order in orders:
        if order.status == Order.Status.PENDING:
            records.append(new_order_record(order))
        if order.cancel_requested_at is not None:
            records.append(cancel_record(order))
        elif order.status == Order.Status.UNTRIGGERED and order.elected_at is not None:
            records.append(trigger_record(order))
    return records
