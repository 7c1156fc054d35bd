"""Measure the audit: a consistent exchange of a million orders, and how long proving it takes.

    python -m benchmarks.audit [--orders N] [--workers N] [--keep DIRECTORY]

Fills a scratch database on an embedded PostgreSQL of its own, set by set, and runs every check on
it. Beside each time stands the ceiling: what it takes to read the same tables once, in order.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from exchange.embedded.postgres import Postgres

USERS = 1_000
GROUP = 5
"""Orders in a group: one sells, four buy from it; so there are four trades to five orders."""
TABLES = ("orders_order", "balances_trade", "balances_ledgerentry", "balances_balance")

# Group g is on market g mod 4. Its seller offers 4 lots at price p; each buyer takes one, the
# third and fourth with a limit above p. Of ten groups, in one the seller offers 5 and the rest
# stays, in one it is canceled.
FILL = """
SET session_replication_role = replica;
INSERT INTO exchange_user (id, password, is_superuser, username, first_name, last_name, email,
    is_staff, is_active, date_joined)
  SELECT u, '', false, 'bench' || u, '', '', '', false, true, now()
  FROM generate_series(1, {users}) u;
INSERT INTO orders_asset (symbol, name, decimals)
  SELECT symbol, '', 8 FROM unnest(ARRAY['USDT', 'C0', 'C1', 'C2', 'C3']) symbol;
INSERT INTO orders_market (symbol, base_id, quote_id, tick_size, lot_size, state, state_reason)
  SELECT 'C' || m || '-USDT', 'C' || m, 'USDT', 0.01, 1, 'open', '' FROM generate_series(0, 3) m;
INSERT INTO balances_logepoch (number, order_topic_id, trade_topic_id, reason, is_new_log,
    begin_offsets, started_at)
  VALUES (1, 'x', 'y', 'benchmark', true, '{{}}', now());
INSERT INTO balances_checkpoint (partition, epoch_id, "offset", halted_reason, updated_at)
  SELECT partition, 1, {groups} * 5, '', now() FROM generate_series(0, 3) partition;
INSERT INTO orders_order (id, user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, epoch, "offset", created_at,
    finished_at, finished_epoch)
  SELECT g * 5 + j + 1, (g * 7 + j * 13) % {users} + 1, 'C' || g % 4 || '-USDT',
    CASE j WHEN 0 THEN 'sell' ELSE 'buy' END, 'limit', 'gtc',
    p + CASE WHEN j > 2 THEN 0.05 ELSE 0 END,
    CASE WHEN j > 0 THEN 1 WHEN g % 10 < 2 THEN 5 ELSE 4 END,
    CASE j WHEN 0 THEN 4 ELSE 1 END, CASE j WHEN 0 THEN 4 ELSE 1 END * p,
    CASE WHEN j > 0 OR g % 10 > 1 THEN 'filled' WHEN g % 10 = 0 THEN 'partially_filled'
      ELSE 'canceled' END,
    '', '', 1, g * 5 + j, now(),
    CASE WHEN j > 0 OR g % 10 > 0 THEN now() END, CASE WHEN j > 0 OR g % 10 > 0 THEN 1 END
  FROM generate_series(0, {groups} - 1) g, generate_series(0, 4) j,
    LATERAL (SELECT 100 + (g % 97) * 0.01 AS p) price;
INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side, buy_order_id,
    sell_order_id, buyer_id, seller_id, executed_at)
  SELECT b.market_id, (b.id - 1) / 20 * 4 + (b.id - 1) % 5, s.price, 1, 'buy', b.id, s.id,
    b.user_id, s.user_id, now()
  FROM orders_order b JOIN orders_order s ON s.id = (b.id - 1) / 5 * 5 + 1
  WHERE b.side = 'buy' ORDER BY b.id;
"""

LEDGER = """
SET session_replication_role = replica;
CREATE UNLOGGED TABLE movement AS
  SELECT 0::bigint AS place, 0 AS step, u AS user_id, symbol::varchar AS asset_id,
    'deposit' AS kind,
    1000000000::numeric AS a, 0::numeric AS h, NULL::bigint AS order_id, NULL::bigint AS trade_id
  FROM generate_series(1, {users}) u, orders_asset
  UNION ALL
  SELECT id, 0, user_id, asset, 'hold', -held, held, id, NULL FROM (
    SELECT o.*, CASE side WHEN 'buy' THEN 'USDT' ELSE split_part(market_id, '-', 1) END AS asset,
      quantity * CASE side WHEN 'buy' THEN price ELSE 1 END AS held FROM orders_order o) o
  UNION ALL
  SELECT buy_order_id, step, CASE WHEN step IN (1, 2, 5) THEN buyer_id ELSE seller_id END,
    CASE WHEN step IN (1, 4, 5) THEN 'USDT' ELSE split_part(t.market_id, '-', 1) END,
    CASE step WHEN 5 THEN 'release' ELSE 'trade' END,
    CASE step WHEN 2 THEN t.quantity WHEN 4 THEN t.price * t.quantity
      WHEN 5 THEN (b.price - t.price) * t.quantity ELSE 0 END,
    CASE step WHEN 1 THEN -t.price * t.quantity WHEN 3 THEN -t.quantity
      WHEN 5 THEN -(b.price - t.price) * t.quantity ELSE 0 END,
    CASE WHEN step IN (1, 2, 5) THEN buy_order_id ELSE sell_order_id END, t.trade_id
  FROM balances_trade t JOIN orders_order b ON b.id = t.buy_order_id, generate_series(1, 5) step
  WHERE step < 5 OR b.price > t.price
  UNION ALL
  SELECT id + 4, 6, user_id, split_part(market_id, '-', 1), 'release', 1, -1, id, NULL
  FROM orders_order WHERE status = 'canceled';
INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change, held_change,
    available_after, held_after, order_id, trade_id, note, created_at)
  SELECT user_id, asset_id, kind, a, h, sum(a) OVER earlier, sum(h) OVER earlier, order_id,
    trade_id, CASE kind WHEN 'deposit' THEN 'seed' ELSE '' END, now()
  FROM movement
  WINDOW earlier AS (PARTITION BY user_id, asset_id ORDER BY place, step)
  ORDER BY place, step;
INSERT INTO balances_balance (user_id, asset_id, available, held, version)
  SELECT user_id, asset_id, sum(a), sum(h), count(*) FROM movement GROUP BY 1, 2;
DROP TABLE movement;
"""


def fill(orders: int) -> None:
    """Make users, markets, orders, trades, ledger and balances that belong together."""
    from django.db import connection

    from exchange.postgres import lift_time_limits

    lift_time_limits(local=False)
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '512MB'")
        for step in (FILL, LEDGER):
            cursor.execute(step.format(users=USERS, groups=orders // GROUP))
        cursor.execute("VACUUM ANALYZE")
        for table in TABLES:
            cursor.execute(
                f"SELECT count(*), pg_size_pretty(pg_table_size('{table}')) FROM {table}"
            )
            count, size = cursor.fetchone() or (0, "")
            print(f"{table:<24}{count:>12,} rows {size:>10}")


def ceiling() -> float:
    """Return how long it takes to read every row of the tables once, in one process."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
        started = perf_counter()
        for table in TABLES:
            cursor.execute(f"SELECT count(t) FROM {table} t WHERE t IS NOT NULL")
        return perf_counter() - started


def measure(workers: int) -> None:
    """Run every check, and print what each took."""
    from balances.audit import CHECKS
    from balances.audit.runner import run_checks

    started = perf_counter()
    outcomes = run_checks(list(CHECKS.values()), workers=workers)
    total = perf_counter() - started
    for outcome in outcomes:
        found: Any = f"{outcome.found:,} FOUND {outcome.first[:1]}" if outcome.found else "ok"
        seconds = outcome.seconds or 0
        print(f"{outcome.name:<24}{outcome.looked_at:>12,} rows {seconds:>8.1f} s  {found}")
    print(f"{'audit, ' + str(workers) + ' workers':<42}{total:>8.1f} s")
    print(f"{'reading the tables once':<42}{ceiling():>8.1f} s")


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where to leave the database for another run")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="audit-benchmark-"))
    filled = (folder / "postgres").exists()
    server = Postgres(folder / "postgres", durable=False)
    os.environ |= {"DATABASE_URL": server.url, "DJANGO_SETTINGS_MODULE": "exchange.settings"}
    try:
        with server:
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            if not filled:
                started = perf_counter()
                fill(arguments.orders)
                print(f"{'filled in':<42}{perf_counter() - started:>8.1f} s")
            measure(arguments.workers)
    finally:
        if arguments.keep is None:
            server.discard()
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
