"""Many orders that wait on the log: stored as pending with their holds, their records published.

What accepting them one by one would have left behind, made set by set. Needs Django, and an
exchange whose workers are stopped.
"""

from collections.abc import Callable

CHUNK = 5_000

# Prices within 100 ticks around the middle and 1 to 100 lots: that makes about 0.8 trades an order.
_FILL = """
SET work_mem = '256MB';
SELECT setseed(0.42);
DROP TABLE IF EXISTS filled, drawn;
CREATE TEMP TABLE drawn AS
  SELECT n AS id, n %% 4 AS k, 1 + floor(random() * %(users)s)::int AS trader,
    random() < 0.5 AS sells, floor(random() * 201) - 100 AS ticks,
    1 + floor(random() * 100) AS lots
  FROM generate_series(1, %(orders)s) n;
CREATE TEMP TABLE filled AS
  SELECT d.id, u.id AS user_id, m.market, (m.middle + d.ticks * m.tick)::numeric AS price,
    (d.lots * m.lot)::numeric AS quantity, CASE WHEN sells THEN 'sell' ELSE 'buy' END AS side,
    CASE WHEN sells THEN split_part(m.market, '-', 1) ELSE 'USDT' END AS asset,
    (d.lots * m.lot * CASE WHEN sells THEN 1 ELSE m.middle + d.ticks * m.tick END)::numeric AS held
  FROM drawn d
  JOIN (VALUES (0, 'ADA-USDT', 1.9, 0.0001, 0.01), (1, 'BTC-USDT', 60000, 0.01, 0.0001),
    (2, 'ETH-USDT', 3000, 0.01, 0.0001), (3, 'SOL-USDT', 150, 0.001, 0.001))
    m(k, market, middle, tick, lot) ON m.k = d.k
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS k FROM exchange_user
    WHERE username LIKE 'trader%%') u ON u.k = d.trader
  ORDER BY d.id;
INSERT INTO orders_order (id, user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, created_at)
  SELECT id, user_id, market, side, 'limit', 'gtc', price, quantity, 0, 0, 'pending', '', '', now()
  FROM filled ORDER BY id;
INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change, held_change,
    available_after, held_after, order_id, note, created_at)
  SELECT f.user_id, asset, 'hold', -f.held, f.held, b.available - sum(f.held) OVER earlier,
    b.held + sum(f.held) OVER earlier, f.id, '', now()
  FROM filled f JOIN balances_balance b ON b.user_id = f.user_id AND b.asset_id = f.asset
  WINDOW earlier AS (PARTITION BY f.user_id, asset ORDER BY f.id)
  ORDER BY f.id;
UPDATE balances_balance b SET available = available - h.held, held = b.held + h.held,
    version = version + 1
  FROM (SELECT user_id, asset, sum(held) AS held FROM filled GROUP BY 1, 2) h
  WHERE b.user_id = h.user_id AND b.asset_id = h.asset;
SELECT setval(pg_get_serial_sequence('orders_order', 'id'), %(orders)s);
ANALYZE orders_order, balances_balance;
"""


def fill(orders: int) -> None:
    """Store pending orders with their holds, numbered from 1; the same ones each time."""
    from django.db import connection

    from exchange.models import User
    from exchange.postgres import lift_time_limits

    lift_time_limits(local=False)
    users = User.objects.filter(username__startswith="trader").count()
    with connection.cursor() as cursor:
        cursor.execute(_FILL, {"orders": orders, "users": users})


def publish(orders: int, advance: Callable[[int], None] = lambda _: None) -> None:
    """Put the records of the orders 1 to `orders` on the log, in that order."""
    from exchange.kafka import Publisher
    from orders.models import Order
    from orders.outbox import records_of

    publisher = Publisher(delivery_timeout_ms=60_000)
    try:
        for first in range(1, orders + 1, CHUNK):
            found = Order.objects.filter(pk__gte=first, pk__lt=first + CHUNK).order_by("pk")
            publisher.publish(records_of(list(found)))
            advance(min(first + CHUNK - 1, orders))
    finally:
        publisher.close()


def count_pending() -> int:
    """Return how many orders wait to be settled."""
    from orders.models import Order

    return Order.objects.filter(status=Order.Status.PENDING).count()
