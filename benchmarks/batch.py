"""`POST /orders/batch`: 4 clients with 200 orders in each request, everything durable.

The workers match meanwhile; before the ceiling's turn they have caught up. The ceiling is the bulk
insert of such orders through psycopg2 into a table like that of the exchange, as many in a
transaction and by as many clients, with nothing held, no ledger and no log.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from benchmarks.accept import USERS, random_orders, trader_ids
from benchmarks.flows import SEED
from benchmarks.http_load import Load, ask_all, in_turns, request_bytes, work_all
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import require_sound_books, running_exchange, wait_until
from benchmarks.waiting import count_pending

ORDERS = 200
CLIENTS = 4
SECONDS = 4.0
TURNS = 3
INSERT = """
INSERT INTO bare.orders_order (user_id, market_id, side, price, quantity, order_type, time_in_force,
  filled_quantity, filled_quote, status, reason, request_id, created_at) VALUES %s
"""
TEMPLATE = (
    "(%(user_id)s, %(market)s, %(side)s, %(price)s, %(quantity)s, 'limit', 'gtc', 0, 0, 'pending',"
    " '', '', now())"
)


def measure(options: Options) -> list[Figure]:
    seconds = SECONDS * options.scale
    with running_exchange(kafka=options.kafka, users=USERS) as stack:
        make_bare_table()
        users = trader_ids()
        before, sent = count_orders(), 0

        def ask() -> Load:
            nonlocal sent
            bodies = (json.dumps({"orders": orders}).encode() for orders in batches(users))
            requests = (request_bytes("POST", "/orders/batch", body) for body in bodies)
            load = ask_all(
                stack.ports["orders"], requests, clients=CLIENTS, expect=200, seconds=seconds
            )
            sent += load.answers * ORDERS
            wait_until(lambda: count_pending() == 0)
            return load

        rates = in_turns({"exchange": ask, "bulk": lambda: insert_all(users, seconds)}, TURNS)
        require_sound_books(stack)
        assert count_orders() - before == sent, "orders of a batch were refused"
    return [
        Figure(
            "batch", f"POST /orders/batch, {ORDERS} orders each, {CLIENTS} clients", "orders/s",
            (rates["exchange"] * ORDERS,), "bulk insert through psycopg2",
            (rates["bulk"] * ORDERS,), Goal(at_least=4_000),
        )
    ]  # fmt: skip


def batches(users: Sequence[int]) -> Iterator[list[dict[str, object]]]:
    """Yield batches of orders without end, each of one user, as a trader's program sends it."""
    orders, rng = random_orders(users), random.Random(SEED)
    while True:
        user_id = rng.choice(users)
        yield [{**order, "user_id": user_id} for order in islice(orders, ORDERS)]


def count_orders() -> int:
    from orders.models import Order

    return Order.objects.count()


def insert_all(users: Sequence[int], seconds: float) -> Load:
    """Insert batches into the table beside the exchange's, by all clients at once."""

    @contextmanager
    def connected() -> Iterator[Callable[[list[dict[str, object]]], object]]:
        connection = connect()
        try:
            with connection.cursor() as cursor:

                def insert(rows: list[dict[str, object]]) -> None:
                    execute_values(cursor, INSERT, rows, TEMPLATE, page_size=ORDERS)
                    connection.commit()

                yield insert
        finally:
            connection.close()

    return work_all(connected, batches(users), clients=CLIENTS, seconds=seconds)


def make_bare_table() -> None:
    """Make a table with the columns, constraints and indexes of the exchange's orders."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bare")
        cursor.execute("CREATE TABLE bare.orders_order (LIKE orders_order INCLUDING ALL)")
        cursor.execute(
            "ALTER TABLE bare.orders_order ADD FOREIGN KEY (user_id) REFERENCES exchange_user,"
            " ADD FOREIGN KEY (market_id) REFERENCES orders_market"
        )


def connect() -> Any:
    from django.db import connection

    names = ("dbname", "user", "password", "host", "port")
    given = connection.get_connection_params()
    return psycopg2.connect(**{name: given[name] for name in names if name in given})
