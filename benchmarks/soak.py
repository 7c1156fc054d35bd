"""A million orders through the running system: does anything grow that should not?

Clients place orders over HTTP, 200 in a batch, and take each batch out of the book again some
batches later, as market makers do: so what is live stays as much, and memory has no reason to grow.
They wait while much is pending. Memory is sampled all the time, and compared at the end with what
it was after the first tenth; so are the tables and their indexes.

The memory is PSS (`/proc/…/smaps_rollup`): what a process has alone, and its share of what it has
together with others. The sum over a family (a server and its children) is then what the family
takes; by RSS each connection of Postgres would count the shared buffers once more.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accept import random_orders, trader_ids
from benchmarks.batch import ORDERS as BATCH
from benchmarks.http_load import Connection, request_bytes, work_all
from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import families, require_sound_books, running_exchange, wait_until
from benchmarks.waiting import count_pending
from exchange.stack.stack import Stack

ORDERS = 1_000_000
SETTLED_IN = 0.1
"""The share of the orders after which nothing is to grow any more: 100,000."""
CLIENTS = 4
BATCHES_LIVE = 20
"""So many of its batches a client leaves in the book."""
MOST_PENDING = 4_000
"""The clients wait while more orders than these are pending."""
SAMPLE_SECONDS = 3.0
"""How often memory is read: the condition is time itself. A look takes some milliseconds."""
LOOK_SECONDS = 0.05
FLAT, FLAT_MIB = 1.1, 16.0
"""Memory counts as flat within a tenth and 16 MiB: what allocators and caches move by."""
KEPT_IN_MEMORY = ("tansu", "apache-kafka")
"""The brokers have no bound here: one keeps the log in memory, the other maps its files."""
APPENDED = ("orders_order", "balances_trade", "balances_ledgerentry")
"""Tables that grow with the orders: compared by the order."""
CHANGED = ("balances_balance", "balances_checkpoint")
"""Tables whose rows are changed again and again: they are to stay as small as they are."""
UPDATED = ("orders_order", *CHANGED)
CHANGED_MIB = 8.0
"""What such a table and its indexes may grow by, until the vacuum comes round."""


def measure(options: Options) -> list[Figure]:
    orders = options.scaled(ORDERS // BATCH, least=20) * BATCH
    with running_exchange(kafka=options.kafka) as stack:
        run = _Run(stack, orders, options.advance)
        seconds = run.go()
        wait_until(lambda: count_pending() == 0)
        if not run.at_first:  # a run so short that nobody has looked
            run.look_first()
        run.look()
        end = read_tables()
        require_sound_books(stack)
        trades, canceled, buffers = count_trades(), count_canceled(), shared_buffers_mib()
    options.details.update(
        orders=orders, seconds=seconds, trades=trades, canceled=canceled, memory=run.samples,
        tables_at_first=_plain(run.tables_at_first), tables=_plain(end),
    )  # fmt: skip
    return [
        Figure("soak", f"{orders:,} orders, {CLIENTS} clients", "orders/s", (orders / seconds,)),
        Figure("soak", "trades an order", "", (trades / orders,)),
        Figure("soak", "orders canceled", "%", (100 * canceled / orders,)),
        Figure("soak", "orders refused", "", (float(run.refused),), goal=Goal(at_most=0)),
        *_memory_figures(run, buffers),
        *_table_figures(run, end),
    ]


class Table(NamedTuple):
    """A table at a moment: bytes, rows, and how its rows have been changed since the start."""

    table_bytes: int
    index_bytes: int
    live_rows: int
    dead_rows: int
    updates: int
    hot_updates: int


@dataclass
class Sample:
    """The PSS of each server and process, in MiB, when so many orders had been accepted."""

    seconds: float
    orders: int
    mib: dict[str, float]


class _Run:
    """The clients, and who watches the memory meanwhile."""

    def __init__(self, stack: Stack, orders: int, advance: Callable[[float], None]) -> None:
        self._stack, self._orders, self._advance = stack, orders, advance
        self._first = int(orders * SETTLED_IN)
        self._lock = threading.Lock()
        self._accepted = 0
        self._done = threading.Event()
        self._room = threading.Event()
        self._began = time.monotonic()
        self._watch_error: BaseException | None = None
        self.refused = 0
        self.samples: list[dict[str, Any]] = []
        self.at_first: dict[str, float] = {}
        self.orders_at_first = 0
        self.tables_at_first: dict[str, Table] = {}

    def go(self) -> float:
        """Place all orders; return the seconds until the last one was accepted."""
        users = trader_ids()
        orders = random_orders(users)
        batches: Iterator[list[dict[str, object]]] = (
            list(islice(orders, BATCH)) for _ in range(self._orders // BATCH)
        )
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            load = work_all(self._client, batches, clients=CLIENTS, seconds=float("inf"))
        finally:
            self._done.set()
            watcher.join()
            if self._watch_error is not None:
                raise self._watch_error
        return load.seconds

    def _client(self) -> "_Client":
        return _Client(Connection(self._stack.ports["orders"]), self._wait_for_room, self._count)

    def _wait_for_room(self) -> None:
        """Wait while much is pending; who watches says when that is over."""
        while not self._room.wait(1.0):
            if self._done.is_set():
                raise RuntimeError("the watcher has ended")

    def _count(self, accepted: int, refused: int) -> None:
        with self._lock:
            self._accepted += accepted
            self.refused += refused

    def _watch(self) -> None:
        try:
            due = 0.0
            while not self._done.wait(LOOK_SECONDS):
                self._keep_bounded()
                if self._accepted >= self._first and not self.at_first:
                    self.look_first()
                if time.monotonic() >= due:
                    due = time.monotonic() + SAMPLE_SECONDS
                    self._advance(self._accepted / self._orders)
                    self.look()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits for this thread
            self._watch_error = error
            self._done.set()
        finally:
            from django.db import connection

            connection.close()  # that of this thread

    def _keep_bounded(self) -> None:
        if count_pending() > MOST_PENDING:
            self._room.clear()
        else:
            self._room.set()

    def look(self) -> Sample:
        """Sample the memory."""
        seconds = round(time.monotonic() - self._began, 1)
        sample = Sample(seconds, self._accepted, memory_of(self._stack))
        self.samples.append(vars(sample))
        return sample

    def look_first(self) -> None:
        """Let everything be settled, and keep what the end is held against."""
        self._room.clear()
        wait_until(lambda: count_pending() == 0)
        sample = self.look()
        self.at_first, self.orders_at_first = sample.mib, sample.orders
        self.tables_at_first = read_tables()


class _Client:
    """Places a batch, and takes out of the book the one that has been there longest."""

    def __init__(
        self,
        connection: Connection,
        wait_for_room: Callable[[], None],
        count: Callable[[int, int], None],
    ) -> None:
        self._connection, self._wait_for_room, self._count = connection, wait_for_room, count
        self._placed: deque[list[int]] = deque()

    def __enter__(self) -> Callable[[list[dict[str, object]]], None]:
        return self._place

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def _place(self, orders: list[dict[str, object]]) -> None:
        self._wait_for_room()
        answers = self._ask("/orders/batch", {"orders": orders})
        numbers = [answer["order"]["id"] for answer in answers if answer["status"] == 201]
        self._count(len(numbers), len(answers) - len(numbers))
        self._placed.append(numbers)
        if len(self._placed) > BATCHES_LIVE:
            # Those that are filled by now are answered so, each by itself.
            self._ask("/orders/batch/cancel", {"order_ids": self._placed.popleft()})

    def _ask(self, path: str, body: dict[str, object]) -> list[dict[str, Any]]:
        request = request_bytes("POST", path, json.dumps(body).encode())
        answer: dict[str, list[dict[str, Any]]] = json.loads(
            self._connection.ask(request, expect=200)
        )
        return answer["results"]


def memory_of(stack: Stack) -> dict[str, float]:
    """Return the PSS of each running server and process with its children, in MiB."""
    return {
        name: round(sum(_pss(process.pid) for process in family) / 2**10, 1)
        for name, family in families(stack).items()
    }


def _pss(pid: int) -> int:
    """Return the KiB of a process; none if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def read_tables() -> dict[str, Table]:
    """Return the tables of orders and money, by name."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_live_tup, n_dead_tup,"
            " n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ANY(%s)",
            [[*APPENDED, *CHANGED]],
        )
        return {row[0]: Table(*row[1:]) for row in cursor.fetchall()}


def shared_buffers_mib() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_bytes(current_setting('shared_buffers'))")
        row = cursor.fetchone()
    assert row is not None
    return float(row[0]) / 2**20


def count_trades() -> int:
    from balances.models import Trade

    return Trade.objects.count()


def count_canceled() -> int:
    from orders.models import Order

    return Order.objects.filter(status=Order.Status.CANCELED).count()


def _plain(tables: dict[str, Table]) -> dict[str, dict[str, int]]:
    return {name: table._asdict() for name, table in tables.items()}


def _memory_figures(run: _Run, buffers_mib: float) -> list[Figure]:
    """Postgres may take its shared buffers, whenever it comes to use them."""
    last = run.samples[-1]["mib"]
    return [
        Figure(
            "soak", f"memory of {name}", "MiB", (last[name],),
            f"at {run.orders_at_first:,} orders", (mib,),
            Goal()
            if name in KEPT_IN_MEMORY
            else Goal(ratio_at_most=FLAT, slack=buffers_mib if name == "postgres" else FLAT_MIB),
        )
        for name, mib in run.at_first.items()
    ]  # fmt: skip


def _table_figures(run: _Run, end: dict[str, Table]) -> list[Figure]:
    first, orders = run.tables_at_first, run.samples[-1]["orders"]
    earlier = f"at {run.orders_at_first:,} orders"
    figures = []
    for name in APPENDED:
        for what, now, before in _sizes(end[name], first[name]):
            figures.append(
                Figure(
                    "soak", f"{what} of {name}", "bytes/order", (now / orders,), earlier,
                    (before / run.orders_at_first,), Goal(ratio_at_most=FLAT),
                )
            )  # fmt: skip
    for name in CHANGED:
        for what, now, before in _sizes(end[name], first[name]):
            figures.append(
                Figure(
                    "soak", f"{what} of {name}", "MiB", (now / 2**20,), earlier,
                    (before / 2**20,), Goal(ratio_at_most=FLAT, slack=CHANGED_MIB),
                )
            )  # fmt: skip
    for name in (*APPENDED, *CHANGED):
        table = end[name]
        dead = 100 * table.dead_rows / max(table.live_rows + table.dead_rows, 1)
        figures.append(Figure("soak", f"dead rows of {name}", "%", (dead,)))
    for name in UPDATED:
        hot = 100 * end[name].hot_updates / max(end[name].updates, 1)
        figures.append(Figure("soak", f"updates of {name} in place (HOT)", "%", (hot,)))
    return figures


def _sizes(now: Table, before: Table) -> list[tuple[str, int, int]]:
    return [
        ("table", now.table_bytes, before.table_bytes),
        ("indexes", now.index_bytes, before.index_bytes),
    ]
