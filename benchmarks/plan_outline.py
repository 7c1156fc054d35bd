"""Plans as Postgres tells them (EXPLAIN as JSON), shortened to what matters, and as a document."""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.hot_statements import Hot

LARGE = (
    "orders_order", "balances_trade", "balances_ledgerentry", "balances_balance", "exchange_user",
)  # fmt: skip
"""Tables that grow with users or orders: none of them is to be read whole."""
MANY_IN_VAIN = 10_000
"""Rows that a node reads and leaves out, from which on it counts as if it read them all."""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def tables_read_whole(answer: dict[str, Any]) -> list[str]:
    """Return the large tables that are read from first to last row, or by many rows in vain."""
    return sorted(
        {
            node["Relation Name"]
            for node in nodes(answer["Plan"])
            if node.get("Relation Name") in LARGE
            and (node["Node Type"] == "Seq Scan" or _left_out(node) >= MANY_IN_VAIN)
        }
    )


def _left_out(node: dict[str, Any]) -> float:
    return float(node.get("Rows Removed by Filter", 0) * node["Actual Loops"])


def outline(answer: dict[str, Any]) -> str:
    """Return a plan with what matters: the nodes, by which index, how many rows and buffers."""
    return "\n".join(_lines(answer["Plan"], 0))


def _lines(node: dict[str, Any], depth: int) -> Iterator[str]:
    name = node["Node Type"]
    if name == "ModifyTable":
        name = node["Operation"]
    if "Index Name" in node:
        name += f" by {node['Index Name']}"
        name += "" if "Index Cond" in node else " without condition"
    if "Relation Name" in node:
        name += f" on {node['Relation Name']}"
    elif "CTE Name" in node:
        name += f" on {node['CTE Name']}"
    elif "Function Name" in node:
        name += f" on {node['Function Name']}"
    told = [_counted(node["Actual Rows"], "row")]
    if node["Actual Loops"] != 1:
        told[0] += f", {node['Actual Loops']:,} times"
    if removed := node.get("Rows Removed by Filter"):
        told.append(f"{_number(removed)} left out")
    told.append(_counted(_buffers(node), "buffer"))
    subplan = f"{node['Subplan Name']}: " if "Subplan Name" in node else ""
    yield f"{'  ' * depth}{subplan}{name} ({', '.join(told)})"
    for inner in node.get("Plans", ()):
        yield from _lines(inner, depth + 1)


def _counted(number: float, what: str) -> str:
    return f"{_number(number)} {what}" + ("" if number == 1 else "s")


def _number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"


def _buffers(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"]) + int(node["Shared Read Blocks"])


def conclusion(answer: dict[str, Any]) -> str:
    """Return in words by which indexes the tables are read, what came of it, and what it took."""
    plan = answer["Plan"]
    indexes = sorted({node["Index Name"] for node in nodes(plan) if "Index Name" in node})
    parts = [f"By {', '.join(f'`{name}`' for name in indexes)}." if indexes else "By no index."]
    whole = tables_read_whole(answer)
    parts.append(f"READ WHOLE: {', '.join(whole)}." if whole else "No large table is read whole.")
    checks = [
        trigger["Calls"] for trigger in answer.get("Triggers", ()) if trigger.get("Constraint Name")
    ]
    if checks:
        parts.append(f"{_counted(sum(checks), 'check')} of foreign keys.")
    parts.append(f"{_counted(_buffers(plan), 'buffer')} of 8 KiB.")
    return " ".join(parts)


HEAD = """# Query plans

The hot statements on a long past: {orders:,} orders, {trades:,} trades, {entries:,} ledger
entries, {balances:,} balances, {users:,} users. Made by `python -m benchmarks.plans` from the
statements that the exchange's own code sends, with their real parameters, explained by Postgres
right before each was sent; what was explained is rolled back. It fails if one of these tables is
read whole.

Rows are those of one pass, buffers those of a node and all below it, in memory or not. A buffer
that is looked at twice counts twice: most of those of an insert are indexes and foreign keys.
Foreign keys are checked at the commit; here at the end of each statement, so that they can be
counted. "Without condition": an index is walked for what it holds; where it is a partial one, that
is only what is unfinished. {pending:,} orders are pending when the settlement begins.
"""


def document(found: Sequence[tuple[Hot, dict[str, Any]]], counts: dict[str, int]) -> str:
    """Return the document, with a section for each statement."""
    sections = [HEAD.format(**counts)]
    for hot, answer in found:
        sections.append(
            f"## {hot.title}\n\n{hot.purpose} `{hot.path}` `{hot.function}`.\n\n"
            f"```text\n{outline(answer)}\n```\n\n{conclusion(answer)}\n"
        )
    return "\n".join(sections)
