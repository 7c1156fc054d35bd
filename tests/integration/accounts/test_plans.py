"""On filled tables every list is read by an index, whatever it is narrowed by."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from benchmarks.audit import fill
from orders.canceling import request_cancel_of_all
from tests.api import ApiClient

ORDERS = 20_000
LARGE = ("balances_ledgerentry", "orders_order", "balances_trade", "balances_transfer")
ADDRESSES = [
    f"{path}&{span}".rstrip("&")
    for path in (
        "/balance/7/ledger?limit=50",
        "/balance/7/ledger?asset=USDT",
        "/balance/7/ledger?kind=trade",
        "/balance/7/ledger?kind=deposit",
        "/balance/7/ledger?asset=C1&kind=release",
        "/balance/7/ledger?order_id={order}",
        "/balance/7/ledger?order_id={order}&asset=USDT",
        "/balance/7/ledger?order_id={order}&kind=hold",
        "/balance/7/ledger?order_id={order}&asset=USDT&kind=hold",
        "/fills?user_id=7",
        "/fills?user_id=7&market=C1-USDT",
        "/fills?user_id=7&order_id={order}",
        "/fills?user_id=7&order_id={order}&market=C1-USDT",
        "/orders?user_id=7",
        "/orders?user_id=7&market=C1-USDT",
        "/orders?user_id=7&side=buy",
        "/orders?user_id=7&status=filled,canceled",
        "/orders?user_id=7&client_order_id=none",
        "/orders?user_id=7&market=C1-USDT&side=buy&status=open",
        "/transfers?user_id=7",
        "/transfers?user_id=7&kind=deposit&asset=USDT",
        "/transfers?user_id=7&status=requested",
        "/transfers?user_id=7&status=approved,rejected",
        "/transfers?user_id=7&external_reference=r7",
    )
    for span in ("", "from=2000-01-01T00:00:00Z", "to=2000-01-01T00:00:00Z")
] + ["/orders/{order}/fills"]


TRANSFERS = """
SET session_replication_role = replica;
INSERT INTO balances_transfer (user_id, asset_id, kind, amount, external_reference, status,
    requested_at, decided_at, decided_by_id, note)
  SELECT n % 1000 + 1, 'USDT', 'deposit', 1, 'r' || n, status, now(),
    CASE WHEN status = 'approved' THEN now() END, CASE WHEN status = 'approved' THEN 1001 END,
    CASE WHEN status = 'approved' THEN 'seen' ELSE '' END
  FROM generate_series(1, 20000) n,
    LATERAL (SELECT CASE WHEN n % 3000 = 6 THEN 'requested' ELSE 'approved' END AS status) s;
ANALYZE balances_transfer;
"""


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[int]:
    """An exchange with a thousand users and twenty thousand orders; an order of user 7."""
    with django_db_blocker.unblock():
        fill(ORDERS)
        with connection.cursor() as cursor:
            cursor.execute(TRANSFERS)
            cursor.execute("SELECT max(id) FROM orders_order WHERE user_id = 7")
            ((order,),) = cursor.fetchall()
        yield order
        call_command("flush", interactive=False)
        connection.close()  # with what `fill` has set


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def reads(sql: str) -> list[dict[str, Any]]:
    """The parts of the plan in which a large table is read, with what was read."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        ((answer,),) = cursor.fetchall()
    plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
    return [
        node
        for node in nodes(plan)
        if node.get("Relation Name") in LARGE and node["Node Type"] != "ModifyTable"
    ]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_list_is_read_by_an_index(filled: int, db: None, address: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = ApiClient().get(address.format(order=filled))
    assert response.status_code == 200
    if "to=" not in address and "none" not in address and "status=open" not in address:
        assert response.json()["results"] or re.search("hold|C1|r7", address)
    asked = [q["sql"] for q in queries if re.search("|".join(LARGE), q["sql"])]
    assert asked
    for sql in asked:
        for node in reads(sql):
            assert node["Node Type"] != "Seq Scan", (sql, node)
            removed = node.get("Rows Removed by Filter", 0)
            assert (node["Actual Rows"] + removed) * node["Actual Loops"] < 1_000, (sql, node)


def test_a_long_past_is_not_read_to_cancel_what_is_left(filled: int, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE orders_order SET user_id = 71 WHERE finished_at IS NOT NULL")
        assert cursor.rowcount > ORDERS / 10
        cursor.execute("ANALYZE orders_order")
    with CaptureQueriesContext(connection) as queries:
        asked, _ = request_cancel_of_all(user_id=71)
    assert asked
    chosen = [q["sql"] for q in queries if "user_id = 71 AND status IN" in q["sql"]]
    assert len(chosen) == 2  # the orders, and whether others remain
    for sql in chosen:
        of_orders = [node for node in reads(sql) if node["Relation Name"] == "orders_order"]
        assert "order_unfinished_by_user" in {node.get("Index Name") for node in of_orders}
