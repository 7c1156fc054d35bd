"""The exchange as its users see it: HTTP and `manage.py`. Postgres is read only to compare."""

import inspect
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import requests

from balances.audit import CHECKS, parameters, run_check
from exchange.embedded.server import wait_until
from exchange.kafka import partition_for
from exchange.stack.stack import Stack
from tests.support import described

SETTLE_SECONDS = 60.0


@dataclass
class Exchange:
    """A running stack."""

    stack: Stack
    output: Path

    def reset(self) -> None:
        """Back to a fresh seed, and wait until every bridge runs."""
        self.manage("reset", "--yes")
        self.manage("seed")
        self.await_ready()

    def manage(self, *arguments: str) -> str:
        """Run a `manage.py` command on this stack and return what it printed.

        Raises:
            StackError: it failed.
        """
        self.output.write_text("")
        self.stack.command(*arguments, output=self.output).check()
        return self.output.read_text()

    def get(self, service: str, path: str, **params: Any) -> requests.Response:
        return requests.get(
            f"{self.stack.url_of(service)}{path}",
            params=params,
            headers={"Accept": "application/json"},
            timeout=15,
        )

    def place(self, user_id: int, side: str, quantity: Any, price: Any, asset: str = "ADA") -> int:
        """Place an order over HTTP; return its id once it is accepted.

        Tried again when no answer comes: the client's own id makes that harmless.
        """
        body = {
            "client_order_id": uuid.uuid4().hex,
            "user_id": user_id,
            "asset": asset,
            "quantity": quantity,
            "price": price,
            "order_type": side,
        }
        accepted: list[int] = []

        def is_accepted() -> bool:
            answer = requests.post(f"{self.stack.url_of('orders')}/orders", json=body, timeout=15)
            assert answer.status_code in (200, 201, 503), answer.text
            if answer.status_code != 503:
                accepted.append(int(answer.json()["id"]))
            return bool(accepted)

        await_that(is_accepted)
        return accepted[0]

    def cancel(self, order_id: int) -> int:
        """Ask for a cancel, again when no answer comes; return the status code."""
        url = f"{self.stack.url_of('orders')}/orders/{order_id}"
        codes: list[int] = []

        def is_answered() -> bool:
            codes.append(requests.delete(url, timeout=15).status_code)
            return codes[-1] != 503

        await_that(is_answered)
        return codes[-1]

    def order(self, order_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.get("orders", f"/orders/{order_id}").json()
        return found

    def balances(self, user_id: int) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = self.get("balances", f"/balance/{user_id}").json()[
            "balances"
        ]
        return found

    def await_ready(self) -> None:
        """Wait until `/health/ready` says so."""
        await_that(lambda: self.get("orders", "/health/ready").status_code == 200)

    def await_settled(self) -> None:
        """Wait until no order is pending and no cancel is waiting for the engine."""
        await_that(lambda: not self.query(_UNSETTLED))

    def outcome(self) -> list[tuple[Any, ...]]:
        """Everything that matching and settling decide, and nothing that a clock does."""
        return self.query(_ORDERS) + self.query(_TRADES) + self.query(_BALANCES)

    def differences(self) -> list[str]:
        """Return every way in which the books do not balance."""
        assets = [row[0] for row in self.query("SELECT symbol FROM orders_asset")]
        given = parameters({asset: partition_for(asset) for asset in assets})
        with self.cursor() as cursor:
            return described(run_check(cursor, check, given, 0) for check in CHECKS.values())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    @contextmanager
    def cursor(self) -> Iterator[psycopg2.extensions.cursor]:
        """Give a cursor on the stack's database, in one snapshot."""
        connection = psycopg2.connect(self.stack.addresses()["DATABASE_URL"])
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


def await_that(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; a service that is down for a moment is not ready yet."""

    def holds() -> bool:
        try:
            return condition()
        except (requests.ConnectionError, psycopg2.OperationalError):
            return False

    assert wait_until(holds, timeout_seconds=SETTLE_SECONDS), (
        f"not within {SETTLE_SECONDS:g} s: {inspect.getsource(condition).strip()}"
    )


_UNSETTLED = """
SELECT id FROM orders_order WHERE status = 'pending'
  OR (cancel_requested_at IS NOT NULL AND finished_at IS NULL)
"""
_ORDERS = "SELECT id, status, filled_quantity, filled_quote FROM orders_order ORDER BY id"
_TRADES = """
SELECT market_id, trade_id, buy_order_id, sell_order_id, price, quantity, taker_side
FROM balances_trade ORDER BY 1, 2
"""
_BALANCES = """
SELECT user_id, asset_id, available, held FROM balances_balance
WHERE available + held > 0 ORDER BY 1, 2
"""
