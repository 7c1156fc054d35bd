"""Measure the replay: a log of a million orders and what is settled of it, on scratch servers.

    python -m benchmarks.replay [--orders N]

Fills an embedded PostgreSQL set by set, writes the same orders to an embedded broker, and runs
`manage.py replay` as a process of its own. Beside it stands the ceiling: reading the log and doing
nothing with it.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from exchange.embedded.postgres import Postgres
from exchange.embedded.tansu import Tansu

PARTITIONS = 4
GROUP = 5
BATCH = 5_000

# Group g is on market g mod 4. Of ten groups one rests far from the price; in the others one order
# sells 4 lots and four buy one each, the last two with a limit above the price.
FILL = """
SET session_replication_role = replica;
INSERT INTO exchange_user (id, password, is_superuser, username, first_name, last_name, email,
    is_staff, is_active, date_joined)
  SELECT u, '', false, 'bench' || u, '', '', '', false, true, now() FROM generate_series(1, 1000) u;
INSERT INTO orders_asset (symbol, name, decimals)
  SELECT symbol, '', 8 FROM unnest(%(bases)s::varchar[] || ARRAY['USDT']::varchar[]) symbol;
INSERT INTO orders_market (symbol, base_id, quote_id, tick_size, lot_size, state, state_reason)
  SELECT base || '-USDT', base, 'USDT', 0.01, 1, 'open', '' FROM unnest(%(bases)s) base;
INSERT INTO balances_checkpoint (partition, epoch_id, "offset", halted_reason, updated_at)
  SELECT p, %(epoch)s, %(groups)s / 4 * 5 - 1, '', now() FROM generate_series(0, 3) p;
INSERT INTO orders_order (id, user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, epoch, "offset", created_at,
    finished_at, finished_epoch)
  SELECT g * 5 + j + 1, (g * 7 + j * 13) %% 1000 + 1, (%(bases)s)[g %% 4 + 1] || '-USDT',
    CASE WHEN rests AND j %% 2 = 0 OR j = 0 THEN 'sell' ELSE 'buy' END, 'limit', 'gtc',
    CASE WHEN rests AND j %% 2 = 0 THEN 500 + p WHEN rests THEN 1 + p
      WHEN j > 2 THEN 100.05 + p ELSE 100 + p END,
    CASE WHEN j = 0 AND NOT rests THEN 4 ELSE 1 END,
    CASE WHEN rests THEN 0 WHEN j = 0 THEN 4 ELSE 1 END,
    CASE WHEN rests THEN 0 WHEN j = 0 THEN 4 ELSE 1 END * (100 + p),
    CASE WHEN rests THEN 'open' ELSE 'filled' END, '', '', %(epoch)s, g / 4 * 5 + j, now(),
    CASE WHEN NOT rests THEN now() END, CASE WHEN NOT rests THEN %(epoch)s END
  FROM generate_series(0, %(groups)s - 1) g, generate_series(0, 4) j,
    LATERAL (SELECT (g %% 97) * 0.01 AS p, g %% 10 = 0 AS rests) kind;
INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side, buy_order_id,
    sell_order_id, buyer_id, seller_id, executed_at)
  SELECT b.market_id, row_number() OVER (PARTITION BY b.market_id ORDER BY b.id), s.price, 1, 'buy',
    b.id, s.id, b.user_id, s.user_id, now()
  FROM orders_order b JOIN orders_order s ON s.id = (b.id - 1) / 5 * 5 + 1
  WHERE b.status = 'filled' AND b.side = 'buy';
"""


def fill(orders: int) -> None:
    """Make the topics, and in Postgres everything that settling the log would have made."""
    from django.db import connection

    from balances.models import LogEpoch
    from exchange.kafka import Log
    from exchange.postgres import lift_time_limits

    with Log() as log:
        log.create_topics()
        identity = log.identity()
    epoch = LogEpoch.objects.create(
        order_topic_id=identity.order_topic_id,
        trade_topic_id=identity.trade_topic_id,
        reason="the first log",
    )
    groups = orders // GROUP // PARTITIONS * PARTITIONS
    lift_time_limits(local=False)
    with connection.cursor() as cursor:
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(FILL, {"bases": _bases(), "epoch": epoch.pk, "groups": groups})
        cursor.execute("VACUUM ANALYZE orders_order, balances_trade")


def publish() -> None:
    """Write each order's record to the log, in the order of their ids."""
    from exchange.kafka import OutgoingRecord, Publisher
    from orders.models import Order
    from orders.outbox import new_order_record

    publisher = Publisher(delivery_timeout_ms=60_000, linger_ms=5)
    batch: list[OutgoingRecord] = []
    for order in Order.objects.order_by("id").iterator(chunk_size=BATCH):
        batch.append(new_order_record(order))
        if len(batch) == BATCH:
            publisher.publish(batch)
            batch = []
    publisher.publish(batch)
    publisher.close()


def _bases() -> list[str]:
    """Return an asset for each partition."""
    from exchange.kafka import partition_for

    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        found.setdefault(partition_for(f"C{number}"), f"C{number}")
        number += 1
    return [found[partition] for partition in range(PARTITIONS)]


def read_log() -> float:
    """Return how long it takes to read the log and do nothing."""
    from balances.models import Checkpoint
    from exchange.kafka import ORDER_EVENTS, TopicScan

    started = perf_counter()
    with TopicScan(ORDER_EVENTS) as scan:
        for partition, last in Checkpoint.objects.values_list("partition", "offset"):
            for _ in scan.read(partition, 0, last):
                pass
    return perf_counter() - started


def measure(orders: int) -> None:
    """Run the command and the ceiling, and print what each took."""
    started = perf_counter()
    finished = subprocess.run(
        [sys.executable, "manage.py", "replay", "--json"], stdout=subprocess.PIPE, check=False
    )
    seconds = perf_counter() - started
    report = json.loads(finished.stdout)
    for check in report["checks"]:
        print(f"{check['name']:<24}{check['rows']:>12,} rows, {check['found']} differences")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{'replay':<24}{seconds:>12.1f} s {orders / seconds:>10,.0f} records/s")
    print(f"{'  processor, memory':<24}{used.ru_utime + used.ru_stime:>12.1f} s", end="")
    print(f" {used.ru_maxrss // 1024:>10,} MB")
    seconds = read_log()
    print(f"{'reading the log alone':<24}{seconds:>12.1f} s {orders / seconds:>10,.0f} records/s")


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1_000_000)
    orders = parser.parse_args().orders
    folder = Path(tempfile.mkdtemp(prefix="replay-benchmark-"))
    postgres, broker = Postgres(folder / "postgres", durable=False), Tansu(folder / "tansu")
    os.environ |= {
        "DATABASE_URL": postgres.url,
        "KAFKA_BOOTSTRAP_SERVERS": broker.url,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "DJANGO_SETTINGS_MODULE": "exchange.settings",
    }
    try:
        with postgres, broker:
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            fill(orders)
            publish()
            measure(orders)
    finally:
        postgres.discard()
        broker.discard()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
