"""A matching worker's books, read again from Postgres: 100,000 and 1,000,000 live orders.

All of them are on one market, so on one partition: the worst case. The ceiling is reading those
rows through psycopg2, in the same order, and doing nothing with them.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import running_exchange, worker_names
from exchange.kafka import partition_for

SIZES = (100_000, 1_000_000)
TRIES = 3
LIMIT_SECONDS = 5.0

FILL = """
INSERT INTO orders_order (id, user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, epoch, "offset", created_at)
  SELECT n, u.id, 'BTC-USDT', CASE n %% 2 WHEN 0 THEN 'sell' ELSE 'buy' END, 'limit', 'gtc',
    60000 + CASE n %% 2 WHEN 0 THEN 1 ELSE -1 END * (1 + n %% 9973) * 0.01, 0.001, 0, 0, 'open',
    '', '', (SELECT max(number) FROM balances_logepoch), n, now()
  FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM orders_order), %s) n
  JOIN (SELECT id, row_number() OVER (ORDER BY id) AS k FROM exchange_user
    WHERE username LIKE 'trader%%') u ON u.k = n %% 200 + 1;
ANALYZE orders_order;
"""
READ = """
SELECT id, user_id, market_id, side, price, quantity, filled_quantity FROM orders_order
WHERE market_id = 'BTC-USDT' AND status IN ('open', 'partially_filled')
ORDER BY coalesce(queue_epoch, epoch), coalesce(queue_offset, "offset"), coalesce(queue_rank, 0)
"""


def measure(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    with running_exchange(kafka=options.kafka) as stack:
        for name in worker_names(stack):
            stack.stop_process(name)
        from django.db import connection

        from exchange.postgres import lift_time_limits
        from matching.recovery import recover

        lift_time_limits(local=False)
        for size in SIZES:
            live = options.scaled(size)
            with connection.cursor() as cursor:
                cursor.execute(FILL, [live])
            took = _median(lambda: recover(partition_for("BTC")))
            ceiling = _median(read_rows)
            limit = LIMIT_SECONDS if size == SIZES[0] else None
            figures.append(
                Figure(
                    "recovery", f"books of {live:,} live orders", "s", (took,),
                    "reading the rows", (ceiling,), Goal(at_most=limit, ratio_at_most=3),
                )
            )  # fmt: skip
    return figures


def _median(step: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        began = perf_counter()
        step()
        seconds.append(perf_counter() - began)
    return median(seconds)


def read_rows() -> None:
    """Read the live orders through psycopg2, a piece at a time."""
    import psycopg2
    from django.db import connection

    bare = psycopg2.connect(**connection.get_connection_params())
    with bare, bare.cursor("live") as cursor:
        cursor.itersize = 5_000
        cursor.execute(READ)
        for _ in cursor:
            pass
    bare.close()
