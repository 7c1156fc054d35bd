"""Reads of orders and markets. Nothing here writes."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet

from exchange.arrays import array
from exchange.records import (
    ChangeMarket,
    OrderTypeName,
    PreventionName,
    SideName,
    TimeInForceName,
)
from orders.models import Amendment, Market, MarketChange, Order


class OrderFacts(NamedTuple):
    """What never changes of an order, and the place on the log once a result has settled it.

    `price`, `stop_price`: quote per base; `quantity`: base; as it came, before any amendment.
    `epoch` and `offset` are None before that. The fee rates are shares of what it receives.
    `quote_amount`: what it may spend, if that was asked. `visible_quantity`: of an iceberg.
    """

    order_id: int
    user_id: int
    market: str
    side: SideName
    price: Decimal
    quantity: Decimal
    time_in_force: TimeInForceName
    post_only: bool
    self_trade_prevention: PreventionName
    epoch: int | None
    offset: int | None
    maker_fee_rate: Decimal
    taker_fee_rate: Decimal
    expires_at: datetime | None
    order_type: OrderTypeName
    quote_amount: Decimal | None
    stop_price: Decimal | None
    visible_quantity: Decimal | None


def facts_of_orders(order_ids: Collection[int]) -> dict[int, OrderFacts]:
    """Return the facts of those of `order_ids` that exist, in one query."""
    if not order_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, user_id, market_id, side, coalesce(first_price, price),"
            " coalesce(first_quantity, quantity), time_in_force, post_only,"
            ' self_trade_prevention, epoch, "offset", maker_fee_rate, taker_fee_rate,'
            " expires_at, order_type, quote_amount, stop_price, visible_quantity"
            " FROM orders_order WHERE id = ANY(%s::bigint[])",
            [array(order_ids)],
        )
        return {row[0]: OrderFacts._make(row) for row in cursor.fetchall()}


class AmendmentFacts(NamedTuple):
    """What never changes of an amendment and its order; its place on the log once it is settled.

    Amounts as in `Amendment`. `epoch` and `offset` are None before that.
    """

    amendment_id: int
    order_id: int
    user_id: int
    market: str
    side: SideName
    price: Decimal
    quantity: Decimal
    quantity_before: Decimal
    held: Decimal
    post_only: bool
    self_trade_prevention: PreventionName
    epoch: int | None
    offset: int | None


def facts_of_amendments(numbers: Collection[int]) -> dict[int, AmendmentFacts]:
    """Return the facts of those of `numbers` that exist, in one query if there are any."""
    if not numbers:
        return {}
    rows = Amendment.objects.filter(pk__in=numbers).values_list(
        "id", "order_id", "order__user_id", "market_id", "order__side", "price", "quantity",
        "quantity_before", "held", "order__post_only", "order__self_trade_prevention",
        "epoch", "offset",
    )  # fmt: skip
    return {row[0]: AmendmentFacts._make(row) for row in rows}


def list_amendments(order: Order) -> QuerySet[Amendment]:
    """Return the amendments of an order, the newest first."""
    return Amendment.objects.filter(order=order).order_by("-id")


def list_orders(
    *,
    user_id: int | None = None,
    market: str | None = None,
    side: str | None = None,
    statuses: Collection[str] | None = None,
    client_order_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Order]:
    """Return orders, newest first; `since` (at or after) and `until` (before): when placed."""
    conditions = {
        "user_id": user_id, "market_id": market, "side": side, "status__in": statuses,
        "client_order_id": client_order_id, "created_at__gte": since, "created_at__lt": until,
    }  # fmt: skip
    given = {name: value for name, value in conditions.items() if value is not None}
    return Order.objects.filter(**given).order_by("-id")


def list_markets() -> QuerySet[Market]:
    """Return all markets with their rules, by symbol."""
    return Market.objects.order_by("symbol")


_MARKET_FIELDS = [field.attname for field in Market._meta.concrete_fields]


def rules_of(symbols: Collection[str]) -> dict[str, Market]:
    """Return those of the markets `symbols` that exist, as of now.

    Asked for with each order: without the framework's own work on a query, which costs three
    times what Postgres does.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(_MARKET_FIELDS)} FROM orders_market"  # noqa: S608 - own fields
            " WHERE symbol = ANY(%s::varchar[])",
            [array(symbols)],
        )
        return {
            row[0]: Market.from_db(connection.alias, _MARKET_FIELDS, row)
            for row in cursor.fetchall()
        }


def was_ordered(event: ChangeMarket) -> bool:
    """Return whether an operator has ordered this change: what is stored of it never changes."""
    return MarketChange.objects.filter(
        pk=event.change_id, market_id=event.market, state=event.state
    ).exists()


def count_stops(user_ids: Collection[int]) -> Counter[tuple[int, str]]:
    """Return how many stop orders these users have that wait, by (user, market)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT user_id, market_id, count(*) FROM orders_order"
            " WHERE user_id = ANY(%s::bigint[]) AND status IN ('pending', 'untriggered')"
            " AND stop_price IS NOT NULL GROUP BY 1, 2",
            [array(user_ids)],
        )
        return Counter({(user_id, market): count for user_id, market, count in cursor.fetchall()})


class Level(NamedTuple):
    """All that is wanted or offered at one price. `price`: quote per base; `quantity`: base."""

    price: Decimal
    quantity: Decimal


def get_order(*, order_id: int, user_id: int | None = None) -> Order | None:
    """Return one order, or None. `user_id`: only an order of this user."""
    orders = Order.objects.filter(pk=order_id)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    return orders.first()
