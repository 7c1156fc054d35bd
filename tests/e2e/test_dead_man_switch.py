"""The dead-man switch in the running exchange: in time, and after a worker was killed, too."""

import signal
from datetime import datetime

import pytest
import requests

from tests.e2e.client import Exchange, await_that

pytestmark = pytest.mark.e2e
PROMISED_SECONDS = 3.0
"""Late by so much at most while the trades worker runs (docs/operations.md)."""


def arm(exchange: Exchange, user_id: int) -> datetime:
    answer = requests.put(
        f"{exchange.stack.url_of('orders')}/dead-man-switch",
        json={"user_id": user_id, "timeout_seconds": 5},
        timeout=15,
    )
    assert answer.status_code == 200, answer.text
    return datetime.fromisoformat(answer.json()["expires_at"])


def fired_at(exchange: Exchange, user_id: int) -> datetime | None:
    said = exchange.get("orders", "/dead-man-switch", user_id=user_id).json()["fired_at"]
    return None if said is None else datetime.fromisoformat(said)


def test_it_fires_in_time_and_not_while_it_is_renewed(exchange: Exchange) -> None:
    mine, theirs = exchange.place(1, "buy", 1, 1.9), exchange.place(2, "sell", 1, 2)
    due = arm(exchange, 1)
    arm(exchange, 2)

    def has_fired() -> bool:
        arm(exchange, 2)
        return fired_at(exchange, 1) is not None

    await_that(has_fired)
    fired = fired_at(exchange, 1)
    assert fired is not None
    assert 0 <= (fired - due).total_seconds() < PROMISED_SECONDS
    await_that(lambda: exchange.order(mine)["status"] == "canceled")
    assert fired_at(exchange, 2) is None
    assert exchange.order(theirs)["status"] == "open"
    assert exchange.differences() == []


def test_it_fires_when_nobody_was_there_to_look(exchange: Exchange) -> None:
    mine = exchange.place(1, "buy", 1, 1.9)
    exchange.await_settled()
    due = arm(exchange, 1)
    exchange.stack.kill("trades-worker", signal.SIGKILL)
    exchange.stack.kill("beat", signal.SIGKILL)
    await_that(lambda: exchange.order(mine)["status"] == "canceled")
    fired = fired_at(exchange, 1)
    assert fired is not None
    assert fired > due
    exchange.await_settled()
    assert exchange.balances(1)["USDT"]["held"] == "0"
    assert exchange.differences() == []
