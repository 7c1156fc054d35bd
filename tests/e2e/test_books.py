"""`audit` and `replay` against a running stack, as `make audit` and `make replay` run them."""

import json
from pathlib import Path

import pytest

from tests.e2e.client import Exchange

pytestmark = pytest.mark.e2e


def test_the_books_of_a_running_exchange_are_proved(exchange: Exchange, tmp_path: Path) -> None:
    buy = exchange.place(1, "buy", 10, 1.9)
    exchange.place(2, "sell", 4, 1.9)
    exchange.await_settled()
    exchange.balances(1)

    audit = json.loads(exchange.manage("audit", "--json", "--no-cache"))
    assert audit["verdict"] == "agrees"
    archive = tmp_path / "checkpoint.gz"
    assert "The checkpoint is in" in exchange.manage("replay", "--archive", str(archive))

    exchange.cancel(buy)
    exchange.await_settled()
    replay = json.loads(exchange.manage("replay", "--json", "--from", str(archive)))
    assert replay["verdict"] == "agrees"
    assert sum(partition["records"] for partition in replay["partitions"]) == 1


def test_the_cache_of_a_running_exchange_is_compared(exchange: Exchange) -> None:
    exchange.balances(1)
    exchange.place(1, "buy", 10, 1.9)
    exchange.await_settled()
    exchange.balances(1)
    audit = json.loads(exchange.manage("audit", "--json"))
    (cache,) = (check for check in audit["checks"] if check["name"] == "cache")
    assert (cache["found"], cache["not_checked"]) == (0, "")
