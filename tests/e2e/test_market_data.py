"""Candles follow the trades over HTTP, and every process says what it counts, also after a kill."""

import signal
import urllib.request
from typing import Any

import pytest

from exchange.stack.stack import Stack
from tests.e2e.client import Exchange, await_that

pytestmark = pytest.mark.e2e


def trade(exchange: Exchange, count: int) -> None:
    for _ in range(count):
        exchange.place(1, "buy", 1, "1.9")
        exchange.place(2, "sell", 1, "1.9")


def ticker(exchange: Exchange) -> dict[str, Any]:
    found: dict[str, Any] = exchange.get("matching", "/markets/ADA-USDT/ticker").json()
    return found


def traded(exchange: Exchange) -> int:
    return len(exchange.query("SELECT FROM balances_trade WHERE market_id = 'ADA-USDT'"))


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def silent(stack: Stack) -> list[int]:
    """Return the ports on which nobody says anything."""
    found = []
    for port in (port for ports in stack.metrics_ports.values() for port in ports):
        try:
            metrics(port)
        except OSError:
            found.append(port)
    return found


def test_candles_follow_the_trades_also_after_a_kill(exchange: Exchange) -> None:
    trade(exchange, 3)
    await_that(lambda: ticker(exchange)["trades"] == 3)

    exchange.stack.kill("market-data-worker", signal.SIGKILL)
    trade(exchange, 2)
    exchange.await_settled()
    assert traded(exchange) == 5
    await_that(lambda: ticker(exchange)["trades"] == 5)

    candles = exchange.get("matching", "/markets/ADA-USDT/candles", interval="1d").json()
    assert candles["last_trade_id"] == 5
    assert sum(candle["trades"] for candle in candles["candles"]) == 5
    assert exchange.manage("rebuild_market_data", "--market", "ADA-USDT") == "ADA-USDT: 5 trades\n"
    assert exchange.differences() == []
    exchange.await_ready()


def test_every_process_says_what_it_counts_also_after_a_kill(exchange: Exchange) -> None:
    stack = exchange.stack
    await_that(lambda: silent(stack) == [])
    trade(exchange, 1)
    exchange.await_settled()
    assert "exchange_trades_settled_total" in metrics(stack.metrics_ports["trades-worker"][0])

    for name in stack.metrics_ports:
        stack.kill(name, signal.SIGKILL)
    await_that(lambda: silent(stack) == [])

    exchange.await_ready()
    assert 'exchange_state_known{store="postgres"} 1.0' in metrics(stack.metrics_ports["orders"][0])
