"""A stored order as the API shows it, written out.

The same as `OrderOutput` (`orders.api`), which the schema is made of, at a tenth of its cost; a
test holds the two against each other.
"""

from datetime import datetime
from typing import Any

from exchange.money import format_amount
from orders.models import Order


def render_order(order: Order) -> dict[str, Any]:
    """Return what `OrderOutput(order).data` says."""
    return {
        "id": order.pk,
        "client_order_id": order.client_order_id,
        "user_id": order.user_id,
        "market": order.market_id,
        "side": str(order.side),
        "type": order.order_type,
        "time_in_force": order.time_in_force,
        "post_only": order.post_only,
        "self_trade_prevention": order.self_trade_prevention,
        "expires_at": None if order.expires_at is None else _moment(order.expires_at),
        "price": format_amount(order.price),
        "stop_price": None if order.stop_price is None else format_amount(order.stop_price),
        "quantity": format_amount(order.quantity),
        "quote_amount": None if order.quote_amount is None else format_amount(order.quote_amount),
        "visible_quantity": None
        if order.visible_quantity is None
        else format_amount(order.visible_quantity),
        "filled_quantity": format_amount(order.filled_quantity),
        "prevented_quantity": format_amount(order.prevented_quantity),
        "remaining_quantity": format_amount(order.remaining_quantity),
        "filled_quote": format_amount(order.filled_quote),
        "maker_fee_rate": format_amount(order.maker_fee_rate),
        "taker_fee_rate": format_amount(order.taker_fee_rate),
        "status": order.status,
        "reason": order.reason,
        "cancel_requested": order.cancel_requested_at is not None,
        "created_at": _moment(order.created_at),
        "elected_at": None if order.elected_at is None else _moment(order.elected_at),
        "triggered_at": None if order.triggered_at is None else _moment(order.triggered_at),
        "finished_at": None if order.finished_at is None else _moment(order.finished_at),
    }


def _moment(moment: datetime) -> str:
    text = moment.isoformat()  # Django's times are in UTC
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text
