"""The whole path behind the API: from records waiting on the log to settled and cached.

Orders are stored as pending and their records published while the workers are stopped; then the
workers are started, and the time runs from the first twentieth settled (so that the start of a
process is not counted) to the last. The ceiling is what settling the same orders costs Postgres
alone: the statements that the settlement sends, recorded beforehand with their parameters, sent
through psycopg2 in transactions of 500 trades, on the same server, with the same data.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchmarks.options import Options
from benchmarks.report import Figure, Goal
from benchmarks.system import (
    processor_seconds,
    require_sound_books,
    running_exchange,
    wait_until,
    worker_names,
)
from exchange.stack.stack import Stack

ORDERS = 40_000
TRADES_AT_ONCE = 500
STARTED = 0.05
"""The part of the orders that is settled when the clock starts."""
TABLES = (
    "orders_order", "orders_amendment", "balances_trade", "balances_decrement",
    "balances_ledgerentry", "balances_balance", "balances_checkpoint",
)  # fmt: skip

WORTH_SAYING = 2e-6
"""Seconds of processor time an order, below which a process is left out of the table."""

Statements = list[list[tuple[str, Any]]]
"""Of each transaction, its statements with their parameters."""


def measure(options: Options) -> list[Figure]:
    orders = options.scaled(ORDERS, least=1_000)
    with running_exchange(kafka=options.kafka, workers=options.workers) as stack:
        for name in worker_names(stack):
            stack.stop_process(name)
        from benchmarks import waiting

        waiting.fill(orders)
        waiting.publish(orders)
        keep_copy()
        transactions = record_settlement()
        restore_copy()
        ceiling = orders / run_statements(transactions)
        restore_copy()
        warm_cache()
        seconds, spent = settle_all(stack, orders)
        rate = orders / seconds
        require_cached()
        require_sound_books(stack)
        trades = count_trades()
    options.say(f"{trades / orders:.2f} trades an order")
    plural = f", {options.workers} workers of each kind" if options.workers > 1 else ""
    where = f"on {options.kafka}" + plural
    return [
        Figure(
            "pipeline", f"from the log to the balance, {where}", "orders/s", (rate,),
            "its statements through psycopg2", (ceiling,),
            Goal(at_least=4_000, ratio_at_least=0.35),
        ),
        *(
            Figure("pipeline", f"processor time of {name}", "µs/order", (took / orders * 1e6,))
            for name, took in sorted(spent.items(), key=lambda item: -item[1])
            if took / orders > WORTH_SAYING
        ),
    ]  # fmt: skip


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}


def settle_all(stack: Stack, orders: int) -> tuple[float, dict[str, float]]:
    """Start the workers, those that settle first; return the seconds that all orders would take.

    And the processor time that each process would take for them. If they are so few that all are
    settled at once, the start of the processes is counted.
    """
    began, done, before = perf_counter(), 0, processor_seconds(stack)
    for name in sorted(worker_names(stack), reverse=True):
        stack.supervisor.start_program(name)
    first = int(orders * STARTED)
    wait_until(lambda: settled() >= first)
    if (early := settled()) < orders:
        began, done, before = perf_counter(), early, processor_seconds(stack)
    wait_until(lambda: settled() >= orders)
    whole = orders / (orders - done)
    seconds = (perf_counter() - began) * whole
    spent = _difference(before, processor_seconds(stack))
    return seconds, {name: used * whole for name, used in spent.items()}


def settled() -> int:
    """Return how many events have been settled."""
    from balances.checkpoints import settled_offsets

    return sum(offset + 1 for offset in settled_offsets().values())


def count_trades() -> int:
    from balances.models import Trade

    return Trade.objects.count()


def warm_cache() -> None:
    """Have every balance in the cache, so that the settlement has to keep it right there."""
    from balances.selectors import get_balances
    from exchange.models import User

    for user_id in User.objects.values_list("pk", flat=True):
        get_balances(user_id=user_id)


def require_cached() -> None:
    """Make sure that every user's balances are read from the cache, and are those of Postgres."""
    from balances.audit.cached import compare_cache
    from balances.selectors import get_balances
    from exchange.models import User

    users = User.objects.filter(balances__isnull=False).distinct().values_list("pk", flat=True)

    def all_cached() -> bool:
        answers = [get_balances(user_id=user) for user in users]
        return all(answer is not None and answer.source == "cache" for answer in answers)

    # What was committed last is published after it, and the first to ask may have to vouch anew.
    wait_until(all_cached, timeout_seconds=10)
    compared = compare_cache()
    assert not compared.found, compared.first


def record_settlement() -> Statements:
    """Match everything that is on the log and settle it, and return each transaction's statements.

    Nothing is published: the workers are to do all this themselves afterwards.
    """
    from django.db import connection

    from balances.settle import Result, settle
    from balances.tasks import slices
    from exchange.kafka import ORDER_EVENTS, Log, TopicScan
    from matching.partition import PartitionMatcher, decode, facts_of
    from matching.recovery import recover

    transactions: Statements = []

    def keep(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        transactions[-1].append((sql, params))
        return execute(sql, params, many, context)

    with Log() as log:
        ends = log.end_offsets(ORDER_EVENTS)
    for partition, end in ends.items():
        if not end:
            continue
        matcher = PartitionMatcher(recover(partition))
        results: list[Result] = []
        with TopicScan(ORDER_EVENTS) as scan:
            for records in scan.read(partition, 0, end - 1):
                items = [decode(record) for record in records]
                facts = facts_of(items)
                results += [Result(partition, matcher.apply(item, facts).result) for item in items]
        for part in slices(results, TRADES_AT_ONCE):
            transactions.append([])
            with connection.execute_wrapper(keep):
                settle(part)
    return transactions


def run_statements(transactions: Statements) -> float:
    """Send the statements through psycopg2 and nothing else; return the seconds."""
    import psycopg2
    from django.db import connection

    with psycopg2.connect(**connection.get_connection_params()) as bare, bare.cursor() as cursor:
        began = perf_counter()
        for statements in transactions:
            for sql, params in statements:
                cursor.execute(sql, params)
            bare.commit()
        seconds = perf_counter() - began
    bare.close()
    return seconds


def keep_copy() -> None:
    """Remember the tables that a settlement changes."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"CREATE UNLOGGED TABLE copy_of_{table} AS TABLE {table}")


def restore_copy() -> None:
    """Put the tables back as they were when `keep_copy` was called, without dead rows."""
    from django.db import connection

    with without_triggers(connection) as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
        for table in TABLES:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM copy_of_{table}")
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(TABLES)}")
        cursor.execute("CHECKPOINT")


@contextmanager
def without_triggers(connection: Any) -> Iterator[Any]:
    from exchange.postgres import lift_time_limits

    lift_time_limits(local=False)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield cursor
        cursor.execute("RESET session_replication_role")
