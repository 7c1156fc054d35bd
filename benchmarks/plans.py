"""The query plans of the hot statements on a large past, as a document.

    python -m benchmarks.plans [--orders N] [--users N] [--output docs/query-plans.md]

Fills scratch servers with a long past (`benchmarks.audit`) and many users who only have balances,
lets the exchange's own code work on it, and has Postgres explain each statement on its way, with
its real parameters, right before it is sent: EXPLAIN ANALYZE in a transaction, or up to a
savepoint, that is rolled back. Exit status 1 if a large table is read whole.
"""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.audit import USERS
from benchmarks.hot_statements import BATCH, BATCHES, HOT, Hot
from benchmarks.pipeline import without_triggers
from benchmarks.plan_outline import document, tables_read_whole
from exchange.embedded.postgres import Postgres
from exchange.embedded.tansu import Tansu
from exchange.embedded.valkey import Valkey

PROJECT = Path(__file__).resolve().parents[1]
MARKETS = ("C0-USDT", "C1-USDT", "C2-USDT", "C3-USDT")
FEWEST = 100 * USERS
PRICE = Decimal(101)
"""A buyer's limit above whatever is offered: each order trades."""
PYTHON_OF = str(PROJECT) + os.sep

# The numbers of the users go on behind those of `benchmarks.audit`.
IDLE = """
INSERT INTO exchange_user (id, password, is_superuser, username, first_name, last_name, email,
    is_staff, is_active, date_joined)
  SELECT u, '', false, 'idle' || u, '', '', '', false, true, now()
  FROM generate_series({users} + 1, {users} + {idle}) u;
INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change, held_change,
    available_after, held_after, note, created_at)
  SELECT u, symbol, 'deposit', 1000, 0, 1000, 0, 'seed', now()
  FROM generate_series({users} + 1, {users} + {idle}) u, orders_asset;
INSERT INTO balances_balance (user_id, asset_id, available, held, version)
  SELECT u, symbol, 1000, 0, 1
  FROM generate_series({users} + 1, {users} + {idle}) u, orders_asset;
"""


class Explained(NamedTuple):
    """A statement that was sent, from where, and its plan as Postgres tells it (JSON)."""

    step: str
    path: str
    function: str
    sql: str
    answer: dict[str, Any]


def explain_hot(orders: int, idle_users: int) -> list[tuple[Hot, Explained]]:
    """Fill the database with so many orders, work on it, and return each hot statement's plan.

    `idle_users`: so many have balances and nothing else.

    Needs Django, empty stores with their tables, and no running workers.

    Raises:
        LookupError: one was not sent from where it is said to be.
    """
    _fill(orders, idle_users)
    explained: list[Explained] = []
    for step, work in _steps():
        with _explaining(step, explained):
            work()
    return [(hot, _find(hot, explained)) for hot in HOT]


def _find(hot: Hot, explained: Sequence[Explained]) -> Explained:
    for found in explained:
        place = (found.step, found.path, found.function)
        if place == (hot.step, hot.path, hot.function) and hot.marker in found.sql:
            return found
    sent = sorted({f"{e.path} {e.function}" for e in explained if e.step == hot.step})
    raise LookupError(f"{hot.title}: nothing like it was sent in {hot.step!r}, only by {sent}")


def _fill(orders: int, idle_users: int) -> None:
    """Make a long past, on a log that has just begun."""
    from django.db import connection

    from balances.checkpoints import ensure_epoch
    from benchmarks.audit import fill
    from exchange.kafka import Log

    fill(orders)
    with without_triggers(connection) as cursor:
        cursor.execute(IDLE.format(users=USERS, idle=idle_users))
    with connection.cursor() as cursor:
        for table, key in (("orders_order", "id"), ("balances_logepoch", "number")):
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), max({key}))"
                f" FROM {table}"
            )
        cursor.execute("VACUUM ANALYZE")
    connection.close()  # with what `fill` has set
    with Log() as log:
        log.create_topics()
        ensure_epoch(log)


def _steps() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the work to be explained, each on what the one before has left."""
    from balances import cache
    from balances.selectors import get_balances
    from benchmarks.pipeline import record_settlement
    from orders import backlog, batches, outbox, relay, services
    from orders.canceling import request_cancel_of_all, request_cancels

    wishes = _wishes()
    relay.relay()  # notes where the log ends before anything comes
    place: Callable[[], object] = lambda: services.place_order(**next(wishes)._asdict())  # noqa: E731
    place()  # connects, and asks what is asked only once
    yield "single", place
    for _ in range(BATCHES - 1):
        batches.place_orders(wishes=list(itertools.islice(wishes, BATCH)))
    yield "batch", lambda: batches.place_orders(wishes=list(itertools.islice(wishes, BATCH)))
    yield "backlog", backlog.count_pending
    yield "relay", relay.relay
    outbox.flush()
    yield "settle", record_settlement
    live = _live_orders()
    yield "cancel", lambda: services.request_cancel(order_id=live[0][0])
    yield (
        "cancels",
        lambda: request_cancels(order_ids=[number for number, _ in live[1 : BATCH + 1]]),
    )
    yield "cancel all", lambda: request_cancel_of_all(user_id=live[-1][1])
    outbox.flush()
    outbox.close()
    cache.forget_everything()
    yield "balance", lambda: get_balances(user_id=7)
    pages: dict[str, Any] = {}
    yield "orders", lambda: pages.update(_get("/orders?user_id=7"))
    yield "orders later", lambda: _get(pages["next"])
    yield "ledger", lambda: _get("/balance/7/ledger")


def _wishes() -> Iterator[Any]:
    """Yield orders without end: each buys one lot of whoever offers, for another user."""
    from orders.rules import Wish

    for number in itertools.count():
        market = MARKETS[number % len(MARKETS)]
        yield Wish(number * 7 % USERS + 1, market, "buy", PRICE, Decimal(1))


def _live_orders() -> list[tuple[int, int]]:
    """Return numbers and users of live orders, the oldest first."""
    from orders.models import LIVE_STATUSES, Order

    live = Order.objects.filter(status__in=LIVE_STATUSES).order_by("id")
    return list(live.values_list("id", "user_id")[: BATCH + 2])


def _get(address: str) -> dict[str, Any]:
    from django.test import Client

    answer = Client(SERVER_NAME="127.0.0.1").get(address)
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    assert body["results"], "an empty page says nothing about a plan"
    return body


@contextmanager
def _explaining(step: str, explained: list[Explained]) -> Iterator[None]:
    """Have each statement explained right before it is sent."""
    from django.db import connection

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, more: Any) -> Any:
        if (
            sql.lstrip(" (\n").startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
            and not many
        ):
            path, function = _sender()
            explained.append(Explained(step, path, function, sql, _explain(sql, params)))
        return execute(sql, params, many, more)

    with connection.execute_wrapper(explain):
        yield


def _explain(sql: str, params: Any) -> dict[str, Any]:
    """Run a statement as Postgres explains it, and take back what it did.

    Foreign keys are checked at its end rather than at the commit, or nothing would be told of them.
    """
    from django.db import connection

    connection.ensure_connection()
    inside = connection.in_atomic_block
    with connection.connection.cursor() as bare:
        bare.execute("SAVEPOINT explained" if inside else "BEGIN")
        try:
            bare.execute("SET CONSTRAINTS ALL IMMEDIATE")
            bare.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
            ((answer,),) = bare.fetchall()
        finally:
            bare.execute("ROLLBACK TO SAVEPOINT explained" if inside else "ROLLBACK")
    found: dict[str, Any] = (json.loads(answer) if isinstance(answer, str) else answer)[0]
    return found


def _sender() -> tuple[str, str]:
    """Return file and function of the exchange that is sending a statement."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_code.co_filename.removeprefix(PYTHON_OF)
        if name.startswith(("orders/", "balances/", "matching/", "exchange/")):
            return name, frame.f_code.co_name
    return "", ""


def count_rows() -> dict[str, int]:
    """Return how large the past is."""
    from balances.models import Balance, LedgerEntry, Trade
    from exchange.models import User
    from orders.models import Order

    return {
        "orders": Order.objects.count(), "trades": Trade.objects.count(),
        "entries": LedgerEntry.objects.count(), "balances": Balance.objects.count(),
        "users": User.objects.count(), "pending": BATCH * BATCHES,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=1_000_000, help=f"at least {FEWEST:,}")
    parser.add_argument("--users", type=int, default=200_000, help="who only have balances")
    parser.add_argument("--output", type=Path, default=PROJECT / "docs" / "query-plans.md")
    options = parser.parse_args()
    if options.orders < FEWEST:
        parser.error(f"--orders: at least {FEWEST:,}, so that a user has more than a page of them")
    folder = Path(tempfile.mkdtemp(prefix="plans-benchmark-"))
    servers = (
        Postgres(folder / "postgres", durable=False), Valkey(folder / "valkey"),
        Tansu(folder / "tansu"),
    )  # fmt: skip
    os.environ |= {server.address_variable: server.url for server in servers}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "exchange.settings", "EXCHANGE_DEMO": "True"}
    os.environ["LOG_LEVEL"] = "ERROR"
    postgres, valkey, tansu = servers
    try:
        with postgres, valkey, tansu:
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            found = explain_hot(options.orders, options.users)
            options.output.write_text(
                document([(hot, explained.answer) for hot, explained in found], count_rows())
            )
    finally:
        for server in servers:
            server.discard()
        shutil.rmtree(folder, ignore_errors=True)
    whole = [hot.title for hot, explained in found if tables_read_whole(explained.answer)]
    print(f"{len(found)} plans: {options.output}")
    if whole:
        print(f"A large table is read whole by: {', '.join(whole)}")
    return int(bool(whole))


if __name__ == "__main__":
    sys.exit(main())
