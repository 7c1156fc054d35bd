"""The drill of docs/operations.md: a dump, restored on an empty Kafka, goes on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.embedded.postgres import Postgres
from tests.e2e.client import Exchange, await_that

pytestmark = pytest.mark.e2e


def run(exchange: Exchange, program: str, *arguments: str) -> None:
    postgres = next(s for s in exchange.stack.servers if isinstance(s, Postgres))
    command = [str(postgres.tool(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def processes(exchange: Exchange) -> Iterator[list[str]]:
    """Every process of the exchange by name; all run again after the test."""
    names = [process.name for process in exchange.stack.processes]
    yield names
    for name in names:
        if exchange.stack.supervisor.state_of(name)["statename"] != "RUNNING":
            exchange.stack.start_process(name)


def test_a_restored_dump_goes_on_with_an_empty_log(
    exchange: Exchange, processes: list[str], tmp_path: Path
) -> None:
    # Given resting orders, a trade, and an order that was accepted but never matched
    resting = exchange.place(1, "buy", 10, 1.9)
    exchange.place(2, "sell", 4, 1.9)
    exchange.await_settled()
    exchange.stack.stop_process("matching-worker")
    waiting = exchange.place(2, "sell", 3, 1.9)
    database, dump = exchange.stack.addresses()["DATABASE_URL"], str(tmp_path / "exchange.dump")
    run(exchange, "pg_dump", "--format=custom", f"--file={dump}", database)

    # When more happens after the dump, and then the database is restored from it
    exchange.stack.start_process("matching-worker")
    lost = exchange.place(2, "sell", 5, 1.9)
    exchange.await_settled()
    assert exchange.order(resting)["status"] == "filled"
    await_that(
        lambda: exchange.get("balances", "/balance/1").headers["X-Balance-Source"] == "cache"
    )
    for name in processes:
        exchange.stack.stop_process(name)
    run(
        exchange, "pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={database}", dump
    )
    printed = exchange.manage("after_restore", "--yes")
    assert "2 unfinished orders" in printed
    for name in processes:
        exchange.stack.start_process(name)
    exchange.await_ready()

    # Then it goes on from the dump: the waiting order is matched, nothing else has happened
    exchange.await_settled()
    assert exchange.order(waiting)["status"] == "filled"
    assert exchange.order(resting)["filled_quantity"] == "7"
    assert exchange.get("orders", f"/orders/{lost}").status_code == 404
    assert exchange.balances(1)["USDT"] == {"available": "981", "held": "5.7", "total": "986.7"}
    again = exchange.place(2, "sell", 3, 1.9)
    exchange.await_settled()
    assert exchange.order(again)["status"] == exchange.order(resting)["status"] == "filled"
    assert exchange.differences() == []
    assert "The books balance" in exchange.manage("audit", "--no-cache")
