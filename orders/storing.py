"""The rows of new orders: made, inserted, and taken away again by the transaction that made them.

Only `orders.services` and `orders.batches` come here. What a row must be is said by `Order`; the
statements are written out, because the framework takes longer to make one than Postgres to run it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connection

from exchange.arrays import array, columns
from orders.models import Order

_BLANK = {field.attname: field.get_default() for field in Order._meta.concrete_fields}
_FIELDS = list(_BLANK)


def new_order(
    *,
    user_id: int,
    market: str,
    side: str,
    order_type: str,
    price: Decimal,
    stop_price: Decimal | None,
    quantity: Decimal,
    time_in_force: str,
    post_only: bool,
    self_trade_prevention: str,
    expires_at: datetime | None,
    quote_amount: Decimal | None,
    visible_quantity: Decimal | None,
    client_order_id: str | None,
    request_id: str,
    created_at: datetime,
    maker_fee_rate: Decimal,
    taker_fee_rate: Decimal,
) -> Order:
    """Return an order that is not stored yet, and has no number.

    The rates are the market's; the user's tier may make them lower when it is inserted.
    """
    given = {
        "user_id": user_id,
        "market_id": market,
        "side": side,
        "order_type": order_type,
        "price": price,
        "stop_price": stop_price,
        "quantity": quantity,
        "time_in_force": time_in_force,
        "post_only": post_only,
        "self_trade_prevention": self_trade_prevention,
        "expires_at": expires_at,
        "quote_amount": quote_amount,
        "visible_quantity": visible_quantity,
        "client_order_id": client_order_id,
        "request_id": request_id,
        "created_at": created_at,
        "maker_fee_rate": maker_fee_rate,
        "taker_fee_rate": taker_fee_rate,
    }
    return Order.from_db(connection.alias, _FIELDS, list((_BLANK | given).values()))


def insert(orders: Sequence[Order]) -> set[int]:
    """Number and insert the orders, but for those whose client's id is taken.

    Returns the numbers of those that were inserted; they have got their users' fee rates. Numbers
    ascend in the order given. The rows are made in the order of the clients' ids: two batches with
    the same ids wait for each other one way.
    """
    for order, number in zip(orders, _next_numbers(len(orders)), strict=True):
        order.pk = number
    rows = [
        (
            order.pk, order.user_id, order.market_id, order.side, order.price, order.quantity,
            order.time_in_force, order.post_only, order.self_trade_prevention,
            order.client_order_id, order.request_id, order.created_at.isoformat(),
            order.maker_fee_rate, order.taker_fee_rate,
            None if order.expires_at is None else order.expires_at.isoformat(), order.order_type,
            order.quote_amount, order.stop_price, order.visible_quantity,
        )
        for order in sorted(orders, key=lambda o: (o.user_id, o.client_order_id or ""))
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_ALL, columns(rows))
        rates = {row[0]: row[1:] for row in cursor.fetchall()}
    for order in orders:
        if order.pk in rates:
            order.maker_fee_rate, order.taker_fee_rate = rates[order.pk]
    return set(rates)


def insert_one(order: Order) -> None:
    """Insert the order, and give it its number and its user's fee rates.

    Raises:
        IntegrityError: the client's id is taken.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_ONE,
            [
                order.user_id, order.market_id, order.side, order.price, order.quantity,
                order.time_in_force, order.post_only, order.self_trade_prevention,
                order.client_order_id, order.request_id, order.created_at, order.maker_fee_rate,
                order.taker_fee_rate, order.expires_at, order.order_type, order.quote_amount,
                order.stop_price, order.visible_quantity, order.user_id,
            ],
        )  # fmt: skip
        row = cursor.fetchone()
    assert row is not None
    order.pk, order.maker_fee_rate, order.taker_fee_rate = row


def take_away(numbers: Iterable[int]) -> None:
    """Delete orders that this very transaction has inserted: nobody has seen them."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM orders_order WHERE id = ANY(%s::bigint[])", [array(numbers)])


def _next_numbers(count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('orders_order_id_seq') FROM generate_series(1, %s)", [count])
        return sorted(row[0] for row in cursor.fetchall())


_COLUMNS = (
    "user_id, market_id, side, price, quantity, time_in_force, post_only, self_trade_prevention,"
    " client_order_id, request_id, created_at, maker_fee_rate, taker_fee_rate, expires_at,"
    " order_type, quote_amount, stop_price, visible_quantity"
)
_OTHERS = "filled_quantity, filled_quote, prevented_quantity, status, reason"
_THEIRS = "0, 0, 0, 'pending', ''"

# A rate is the market's, or that of the user's tier if it has one that is lower: least() passes
# NULL by. Looked up in the statement that is needed anyway, so no order waits for another one.
_INSERT_ONE = f"""
INSERT INTO orders_order ({_COLUMNS}, {_OTHERS})
SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, least(%s, t.maker_rate),
  least(%s, t.taker_rate), %s::timestamptz, %s, %s::numeric,
  %s::numeric, %s::numeric, {_THEIRS}
FROM (SELECT) AS one
  LEFT JOIN exchange_user u ON u.id = %s LEFT JOIN exchange_feetier t ON t.name = u.fee_tier_id
RETURNING id, maker_fee_rate, taker_fee_rate
"""  # noqa: S608 - columns of this module

_INSERT_ALL = f"""
INSERT INTO orders_order (id, {_COLUMNS}, {_OTHERS})
SELECT n.id, n.user_id, n.market_id, n.side, n.price, n.quantity, n.time_in_force, n.post_only,
  n.self_trade_prevention, n.client_order_id, n.request_id, n.created_at,
  least(n.maker_rate, t.maker_rate), least(n.taker_rate, t.taker_rate), n.expires_at,
  n.order_type, n.quote_amount, n.stop_price, n.visible_quantity, {_THEIRS}
FROM unnest(%s::bigint[], %s::bigint[], %s::varchar[], %s::varchar[], %s::numeric[],
  %s::numeric[], %s::varchar[], %s::bool[], %s::varchar[], %s::varchar[], %s::varchar[],
  %s::timestamptz[], %s::numeric[], %s::numeric[], %s::timestamptz[], %s::varchar[],
  %s::numeric[], %s::numeric[], %s::numeric[])
  WITH ORDINALITY AS n(id, user_id, market_id, side, price, quantity, time_in_force, post_only,
  self_trade_prevention, client_order_id, request_id, created_at, maker_rate, taker_rate,
  expires_at, order_type, quote_amount, stop_price, visible_quantity, place)
  LEFT JOIN exchange_user u ON u.id = n.user_id
  LEFT JOIN exchange_feetier t ON t.name = u.fee_tier_id
ORDER BY n.place
ON CONFLICT (user_id, client_order_id) WHERE client_order_id IS NOT NULL DO NOTHING
RETURNING id, maker_fee_rate, taker_fee_rate
"""  # noqa: S608 - as above
