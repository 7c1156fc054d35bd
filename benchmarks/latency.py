"""How long an order takes: from its 201 until the settled balance can be read, under a steady load.

Two traders trade with each other on a market that nobody else uses, while others place 200 orders a
second on the other markets. The ceiling is a record through the broker and back, plus one commit:
what no order on a log and in a database escapes.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from statistics import median, quantiles
from typing import Any

from benchmarks.accept import random_orders, trader_ids
from benchmarks.http_load import Connection, ask_all, request_bytes
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import require_sound_books, running_exchange, wait_until
from benchmarks.waiting import count_pending
from exchange.stack.stack import Stack

ORDERS_PER_SECOND = 200
CLIENTS = 8
PROBES = 300
MARKET, BASE = "ADA-BTC", "ADA"
LOOK_SECONDS = 0.004
"""Between two looks at a balance: it adds half of this to each figure. Without a pause the one who
looks would take a processor of two."""


def measure(options: Options) -> list[Figure]:
    probes = options.scaled(PROBES, least=20)
    with running_exchange(kafka=options.kafka) as stack:
        maker, taker, *others = trader_ids()
        stop = threading.Event()
        load = threading.Thread(
            target=lambda: ask_all(
                stack.ports["orders"], paced(others, stop, ORDERS_PER_SECOND), clients=CLIENTS,
                expect=201, seconds=3_600,
            )
        )  # fmt: skip
        load.start()
        try:
            with closing(Probe(stack, maker, taker)) as probe:
                took = [probe.seconds() * 1e3 for _ in range(probes)]
        finally:
            stop.set()
            load.join()
        bare = bare_times(probes)
        wait_until(lambda: count_pending() == 0)
        require_sound_books(stack)
    where = f"under {ORDERS_PER_SECOND} orders/s, {options.kafka}"
    return [
        Figure(
            "latency", f"201 to settled balance, {name}, {where}", "ms", (share_of(took, share),),
            "a record there and back, a commit", (share_of(bare, share),), Goal(at_most=limit),
        )
        for name, share, limit in (("median", 50, 20.0), ("99th percentile", 99, 120.0))
    ]  # fmt: skip


def share_of(values: list[float], share: int) -> float:
    """Return the value that `share` percent of `values` do not pass."""
    return median(values) if share == 50 else quantiles(values, n=100)[share - 1]


def paced(users: list[int], stop: threading.Event, per_second: float) -> Iterator[bytes]:
    """Yield so many orders a second, evenly, until told to stop; those that are late at once."""
    due = time.monotonic()
    for order in random_orders(users):
        if stop.wait(max(due - time.monotonic(), 0)):
            return
        due += 1 / per_second
        yield request_bytes("POST", "/orders", json.dumps(order).encode())


class Probe:
    """Lets `taker` buy from `maker`, and watches for it in the taker's balance."""

    def __init__(self, stack: Stack, maker: int, taker: int) -> None:
        self._orders = Connection(stack.ports["orders"])
        self._balances = Connection(stack.ports["balances"])
        self._maker, self._taker = maker, taker
        self._look = request_bytes("GET", f"/balance/{taker}")

    def close(self) -> None:
        self._orders.close()
        self._balances.close()

    def seconds(self) -> float:
        """Return the seconds from the 201 of an order that trades to its balance."""
        before = self._total()
        self._place(self._maker, "sell")
        self._place(self._taker, "buy")
        began = time.perf_counter()
        while self._total() == before:
            time.sleep(LOOK_SECONDS)
        return time.perf_counter() - began

    def _place(self, user_id: int, side: str) -> None:
        order = {
            "user_id": user_id, "market": MARKET, "side": side, "type": "limit",
            "price": "0.00003", "quantity": "1",
        }  # fmt: skip
        self._orders.ask(request_bytes("POST", "/orders", json.dumps(order).encode()), expect=201)

    def _total(self) -> Decimal:
        answer: Any = json.loads(self._balances.ask(self._look, expect=200))
        return Decimal(answer["balances"][BASE]["total"])


def bare_times(probes: int) -> list[float]:
    """Return the milliseconds of the ceiling, as often as there are probes.

    Once for each database: it makes a table and a topic.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE benchmark (at timestamptz)")
    bare = _Bare()
    try:
        return [_record_and_commit(bare) * 1e3 for _ in range(probes)]
    finally:
        bare.close()


class _Bare:
    """A topic of its own, with a client that writes and one that reads."""

    TOPIC = "benchmark"

    def __init__(self) -> None:
        from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
        from kafka.admin import NewTopic

        from exchange.kafka.connect import connect

        admin: Any = connect(KafkaAdminClient)
        admin.create_topics([NewTopic(self.TOPIC, 1, 1)])
        admin.wait_for_topics([self.TOPIC])
        admin.close()
        self.producer: Any = connect(KafkaProducer, acks="all")
        self.consumer: Any = connect(KafkaConsumer, group_id=None, fetch_max_wait_ms=100)
        partition = TopicPartition(self.TOPIC, 0)
        self.consumer.assign([partition])
        self.consumer.seek(partition, 0)

    def close(self) -> None:
        self.producer.close()
        self.consumer.close()


def _record_and_commit(bare: _Bare) -> float:
    """Return the seconds for a record through the broker and one row committed."""
    from django.db import connection

    began = time.perf_counter()
    bare.producer.send(bare.TOPIC, b"x" * 200, partition=0).get(timeout=10)
    while not bare.consumer.poll(timeout_ms=100):
        pass
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO benchmark VALUES (now())")
    return time.perf_counter() - began
