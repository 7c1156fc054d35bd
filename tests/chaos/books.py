"""What Postgres holds, read past the exchange: the other side of the accounting. Only reads."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg2

from tests.chaos.client import Balances
from tests.chaos.journal import PLAIN, Rules


@dataclass(frozen=True, slots=True)
class Stored:
    """An order's row, and what the trades and the ledger say of it."""

    order_id: int
    client_order_id: str
    user_id: int
    market: str
    side: str
    price: Decimal
    """As it came, before any amendment; `quantity`, too."""
    quantity: Decimal
    status: str
    filled: Decimal
    traded: Decimal
    """The sum of its trades (base)."""
    holds: int
    """How many times money was put on hold for it, but for its amendments."""
    rules: Rules = PLAIN
    expires_at: datetime | None = None
    order_type: str = "limit"
    quote_amount: Decimal | None = None
    stop_price: Decimal | None = None
    visible_quantity: Decimal | None = None
    amended_quantity: Decimal | None = None
    """What its quantity is now, if it has been amended."""


class StoredAmendment(NamedTuple):
    """An amendment's row. `price`, `quantity`: what was asked for."""

    amendment_id: int
    order_id: int
    price: Decimal
    quantity: Decimal
    status: str


class Books:
    """Questions to the database of the running stack, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def in_flight(self, among: Sequence[int] | None = None) -> list[int]:
        """Return the orders, of all or of some, that are accepted and not settled yet."""
        if among is None:
            rows = self.query("SELECT id FROM orders_order WHERE status = 'pending'")
        else:
            rows = self.query(_PENDING_AMONG, {"ids": list(among)})
        return [row[0] for row in rows]

    def unsettled(self) -> int:
        """Return how many orders are pending, or wait for a cancel, expiry, trigger or amendment."""
        return int(self.query(_UNSETTLED)[0][0])

    def cache_is_distrusted(self) -> bool:
        """Return whether the balances are read from Postgres alone, because Redis was away."""
        return bool(self.query(_DISTRUSTED)[0][0])

    def orders(self, ids: Sequence[int] | None = None) -> list[Stored]:
        """Return these orders, or all."""
        if ids is None:
            rows = self.query(
                _ORDERS.format(orders="true", buys="true", sells="true", holds="true")
            )
        else:
            among = "{} = ANY(%(ids)s)".format
            sql = _ORDERS.format(
                orders=among("o.id"),
                buys=among("buy_order_id"),
                sells=among("sell_order_id"),
                holds=among("order_id"),
            )
            rows = self.query(sql, {"ids": list(ids)})
        return [Stored(*(*row[:-9], Rules(*row[-9:-6]), *row[-6:])) for row in rows]

    def amendments(self) -> list[StoredAmendment]:
        rows = self.query("SELECT id, order_id, price, quantity, status FROM orders_amendment")
        return [StoredAmendment._make(row) for row in rows]

    def balances(self) -> dict[int, Balances]:
        """Return every user's balances, those of nothing left out."""
        found: dict[int, Balances] = {}
        for user_id, asset, available, held in self.query(_BALANCES):
            found.setdefault(user_id, {})[asset] = (available, held)
        return found

    def traders(self) -> list[int]:
        """Return the ids of the users that `manage.py seed --users` has made."""
        rows = self.query("SELECT id FROM exchange_user WHERE username LIKE 'trader%' ORDER BY id")
        return [row[0] for row in rows]

    def trades(self) -> int:
        return int(self.query("SELECT count(*) FROM balances_trade")[0][0])

    def version(self) -> str:
        return str(self.query("SHOW server_version")[0][0])

    def situation(self) -> list[str]:
        """Return what somebody who looks for the cause of a failure asks first."""
        lines = []
        for name, sql in _SITUATION.items():
            lines += [f"{name}: {row}" for row in self.query(sql)]
        return lines

    def query(self, sql: str, arguments: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement.

        Raises:
            psycopg2.OperationalError: the database does not answer.
        """
        with (
            closing(psycopg2.connect(self._url, connect_timeout=5)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, arguments)
            return cursor.fetchall()


_UNSETTLED = """
SELECT (SELECT count(*) FROM orders_amendment WHERE status = 'waiting') + count(*)
FROM orders_order WHERE status = 'pending'
  OR ((cancel_requested_at IS NOT NULL OR time_in_force = 'gtd') AND finished_at IS NULL)
  OR (status = 'untriggered' AND elected_at IS NOT NULL)
"""
_PENDING_AMONG = """
SELECT id FROM orders_order WHERE status = 'pending' AND id = ANY(%(ids)s)
"""
_DISTRUSTED = "SELECT distrusted_at IS NOT NULL FROM balances_cachetrust"
_BALANCES = """
SELECT user_id, asset_id, available, held FROM balances_balance WHERE available + held > 0
"""
_ORDERS = """
WITH fills AS (
  SELECT id, sum(quantity) AS quantity FROM (
    SELECT buy_order_id AS id, quantity FROM balances_trade WHERE {buys}
    UNION ALL SELECT sell_order_id, quantity FROM balances_trade WHERE {sells}
  ) both_sides GROUP BY id
), holds AS (
  SELECT order_id AS id, count(*) AS times FROM balances_ledgerentry
  WHERE kind = 'hold' AND {holds} GROUP BY order_id
)
SELECT o.id, coalesce(o.client_order_id, ''), o.user_id, o.market_id, o.side,
  coalesce(o.first_price, o.price), coalesce(o.first_quantity, o.quantity),
  o.status, o.filled_quantity, coalesce(f.quantity, 0), coalesce(h.times, 0)
    - (SELECT count(*) FROM orders_amendment a WHERE a.order_id = o.id AND a.held > 0),
  o.time_in_force, o.post_only, o.self_trade_prevention, o.expires_at,
  o.order_type, o.quote_amount, o.stop_price, o.visible_quantity,
  CASE WHEN o.first_quantity IS NOT NULL THEN o.quantity END
FROM orders_order o LEFT JOIN fills f USING (id) LEFT JOIN holds h USING (id)
WHERE {orders}
"""
_SITUATION = {
    "epoch": "SELECT * FROM balances_logepoch ORDER BY number DESC LIMIT 10",
    "checkpoint": "SELECT * FROM balances_checkpoint ORDER BY partition",
    "market halt": "SELECT * FROM balances_markethalt",
    "market not open": "SELECT symbol, state, state_reason FROM orders_market WHERE state <> 'open'",
    "cache trust": "SELECT * FROM balances_cachetrust",
    "unsettled": "SELECT id, market_id, side, status, epoch, \"offset\", created_at,"
    " cancel_requested_at, relayed_at FROM orders_order WHERE status = 'pending'"
    " OR (cancel_requested_at IS NOT NULL AND finished_at IS NULL) ORDER BY id LIMIT 50",
}  # fmt: skip
