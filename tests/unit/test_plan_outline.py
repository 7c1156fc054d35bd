"""What `benchmarks.plans` says of a plan: what is read, by which index, and what that took."""

from typing import Any

import pytest

from benchmarks.hot_statements import HOT
from benchmarks.plan_outline import conclusion, document, outline, tables_read_whole


def node(kind: str, **more: Any) -> dict[str, Any]:
    told = {"Node Type": kind, "Actual Rows": 1.0, "Actual Loops": 1}
    return told | {"Shared Hit Blocks": 3, "Shared Read Blocks": 1} | more


def scan(table: str, **more: Any) -> dict[str, Any]:
    return node("Seq Scan", **{"Relation Name": table}, **more)


def by_index(**more: Any) -> dict[str, Any]:
    named = {"Relation Name": "orders_order", "Index Name": "order_by_user"}
    return node("Index Scan", **named, **more)


def test_a_plan_is_told_with_indexes_rows_and_buffers() -> None:
    inner = by_index(**{"Index Cond": "(user_id = 7)", "Actual Loops": 1_200})
    plan = node(
        "Nested Loop", Plans=[inner, scan("orders_market", **{"Rows Removed by Filter": 3})]
    )
    answer = {"Plan": plan, "Triggers": [{"Constraint Name": "fk", "Calls": 1_000}]}
    assert outline(answer).splitlines() == [
        "Nested Loop (1 row, 4 buffers)",
        "  Index Scan by order_by_user on orders_order (1 row, 1,200 times, 4 buffers)",
        "  Seq Scan on orders_market (1 row, 3 left out, 4 buffers)",
    ]
    assert conclusion(answer) == (
        "By `order_by_user`. No large table is read whole. 1,000 checks of foreign keys. "
        "4 buffers of 8 KiB."
    )


def test_an_index_that_is_walked_without_a_condition_is_told_so() -> None:
    assert "order_by_user without condition on" in outline({"Plan": by_index()})


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        (scan("orders_order"), ["orders_order"]),
        (scan("orders_market"), []),
        (by_index(**{"Rows Removed by Filter": 9_999}), []),
        (by_index(**{"Rows Removed by Filter": 10_000}), ["orders_order"]),
        (by_index(**{"Rows Removed by Filter": 100, "Actual Loops": 100}), ["orders_order"]),
    ],
)
def test_a_large_table_that_is_read_whole_is_found_wherever_it_is(
    found: dict[str, Any], whole: list[str]
) -> None:
    answer = {"Plan": node("Limit", Plans=[node("Sort", Plans=[found])])}
    assert tables_read_whole(answer) == whole
    assert ("READ WHOLE: orders_order." in conclusion(answer)) is bool(whole)


def test_each_statement_has_a_section_of_its_own() -> None:
    names = ("orders", "trades", "entries", "balances", "users", "pending")
    found = document(
        [(hot, {"Plan": scan("orders_market")}) for hot in HOT], dict.fromkeys(names, 5)
    )
    assert found.count("\n## ") == len({hot.title for hot in HOT}) == len(HOT)
