"""What the tables of damages are written in: the damage, the rows it is done to, what it finds."""

from typing import Any, NamedTuple


class Damage(NamedTuple):
    """SQL that breaks a promise, and the checks that find it, each with a row it must name.

    In a row, `ANY` stands for whatever is there; a row may be shorter than that of the check.
    """

    does: str
    sql: tuple[str, ...]
    found_by: dict[str, tuple[Any, ...]]


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()

ONE_TRADE = "market_id = 'ADA-USDT' AND trade_id = 3"
FEE_TRADE = "market_id = 'BTC-USDT' AND trade_id = 1"
A_FEE = (
    "id = (SELECT min(id) FROM balances_ledgerentry WHERE kind = 'fee' AND order_id IS NOT NULL)"
)
FEE_CREDIT = (
    "id = (SELECT min(id) FROM balances_ledgerentry WHERE kind = 'fee' AND order_id IS NULL)"
)
LAST_TRADE = (
    "market_id = 'ADA-USDT' AND trade_id ="
    " (SELECT max(trade_id) FROM balances_trade WHERE market_id = 'ADA-USDT')"
)
OPEN = "(SELECT min(id) FROM orders_order WHERE status = 'open' AND side = 'buy')"
LIVE = "status IN ('open', 'partially_filled')"
FILLED = "(SELECT min(id) FROM orders_order WHERE status = 'filled')"
CANCELED = "(SELECT min(id) FROM orders_order WHERE status = 'canceled')"
PENDING = "(SELECT min(id) FROM orders_order WHERE status = 'pending')"
LIMIT = "(SELECT min(id) FROM orders_order WHERE status = 'open' AND order_type = 'limit')"
WAITING = "(SELECT min(id) FROM orders_order WHERE status = 'untriggered' AND elected_at IS NULL)"
ELECTED = (
    "(SELECT min(id) FROM orders_order WHERE status = 'untriggered' AND elected_at IS NOT NULL)"
)
TRIGGERED = "(SELECT min(id) FROM orders_order WHERE status = 'open' AND triggered_at IS NOT NULL)"
ICEBERG = f"(SELECT min(id) FROM orders_order WHERE visible_quantity > 0 AND {LIVE})"
AMENDED = f"(SELECT min(id) FROM orders_order WHERE first_price IS NOT NULL AND {LIVE})"
APPLIED = "(SELECT {} FROM orders_amendment WHERE status = 'applied')"
BALANCE = "user_id = 1 AND asset_id = 'USDT'"
LAST_ENTRY = f"id = (SELECT max(id) FROM balances_ledgerentry WHERE {BALANCE} AND kind = 'trade')"


def entry(kind: str) -> str:
    """The first ledger entry of a kind that is of a finished order."""
    return (
        "id = (SELECT min(l.id) FROM balances_ledgerentry l JOIN orders_order o"
        f" ON o.id = l.order_id WHERE l.kind = '{kind}' AND o.finished_at IS NOT NULL)"
    )
