"""All checks on one snapshot of Postgres, several at a time.

One transaction is opened and exported; each worker reads in it over a connection of its own, so
all checks see the same moment. They read only and lock nothing that a change needs; the exchange
goes on meanwhile. What a check may cost is bounded: time, memory, and the processes it takes.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from balances.audit.check import Check, Outcome, parameters, run_check
from exchange.kafka import partition_for
from exchange.postgres import lift_time_limits
from orders.models import Asset

STATEMENT_TIMEOUT_SECONDS = 900
WORK_MEM = "192MB"
"""Of each worker's sorts and hashes; what needs more goes to disk."""
WORKERS = 2


@dataclass(frozen=True)
class Snapshot:
    """A moment of Postgres: its name for other connections, and the size of each table."""

    name: str
    rows: Mapping[str, int]


def partitions_of_assets() -> dict[str, int]:
    """Return the partition of each base asset: what a statement in SQL cannot know."""
    return {symbol: partition_for(symbol) for symbol in Asset.objects.values_list("pk", flat=True)}


def run_checks(
    checks: Sequence[Check],
    *,
    workers: int = WORKERS,
    fail_fast: bool = False,
    started: Callable[[str], None] = lambda _: None,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run `checks` and return their outcomes, in the order of `checks`.

    `fail_fast`: begin none after one that has found differences; those are missing in the result.
    `started` and `done` are told what happens, `started` by the worker's thread.

    Raises:
        DatabaseError: Postgres is away, or a check took longer than it may.
    """
    outcomes: dict[str, Outcome] = {}
    with _exported_snapshot({check.looks_at for check in checks}) as (snapshot, given):
        crew = _Crew(snapshot, given, fail_fast, started)
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(crew.run, check) for check in checks]
            try:
                for future in as_completed(futures):
                    if (outcome := future.result()) is not None:
                        outcomes[outcome.name] = outcome
                        done(outcome)
            except BaseException:
                crew.abort()
                raise
    return [outcomes[check.name] for check in checks if check.name in outcomes]


class _Crew:
    """The workers: each check on a connection of its own, all in the same snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        given: Mapping[str, str],
        fail_fast: bool,
        started: Callable[[str], None],
    ) -> None:
        self._snapshot = snapshot
        self._given = given
        self._fail_fast = fail_fast
        self._started = started
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._running: list[Any] = []

    def run(self, check: Check) -> Outcome | None:
        """Run `check` in this thread; None if the crew has been stopped before."""
        if self._stopped.is_set():
            return None
        self._started(check.name)
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                with self._lock:
                    self._running.append(connection.connection)
                _begin(cursor)
                cursor.execute("SET TRANSACTION SNAPSHOT %s", [self._snapshot.name])
                rows = self._snapshot.rows[check.looks_at]
                outcome = run_check(cursor, check, self._given, rows)
            if self._fail_fast and outcome.found and outcome.finds == "difference":
                self._stopped.set()
            return outcome
        finally:
            with self._lock:
                self._running = [c for c in self._running if c is not connection.connection]
            connection.close()

    def abort(self) -> None:
        """Begin no more checks, and have Postgres end those under way."""
        self._stopped.set()
        with self._lock:
            for running in self._running:
                running.cancel()


@contextmanager
def _exported_snapshot(tables: set[str]) -> Iterator[tuple[Snapshot, dict[str, str]]]:
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        _begin(cursor)
        cursor.execute("SELECT pg_export_snapshot()")
        row = cursor.fetchone()
        assert row is not None
        rows = {table: _count(cursor, table) for table in sorted(tables)}
        yield Snapshot(row[0], rows), parameters(partitions_of_assets())


def _begin(cursor: Any) -> None:
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    lift_time_limits()
    cursor.execute(
        "SET LOCAL idle_in_transaction_session_timeout = 0;"
        f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s';"
        f"SET LOCAL work_mem = '{WORK_MEM}';"
        # One process for each worker, and no more: the exchange needs the others.
        "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
    )


def _count(cursor: Any, table: str) -> int:
    cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a table of ours
    row = cursor.fetchone()
    return int(row[0])
