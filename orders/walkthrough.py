"""The two walk-throughs: placed over HTTP, followed to settlement, compared to the last digit.

Nothing here looks into a store: it knows three addresses and speaks HTTP, as any client would,
except for the trade on `trade-events`, which it reads from the log.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase

from exchange.kafka import TRADE_EVENTS, read_topic
from exchange.records import Execution, decode_trade_event

SETTLE_SECONDS = 30.0
"""How long an order may take to be settled before the walk-through gives up."""
FINAL_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Services:
    """Where the three services answer, and what signs the requests to them."""

    balances: str
    orders: str
    matching: str
    auth: AuthBase | None = None


@dataclass(frozen=True)
class Step:
    """An order to place, and the status it is to reach before the next one is placed."""

    user_id: int
    side: str
    quantity: Any
    price: Any
    reaches: str

    def __str__(self) -> str:
        return f"user {self.user_id} {self.side}s {self.quantity} ADA at {self.price}"


@dataclass(frozen=True)
class Walkthrough:
    """Steps on a fresh seed, and everything that must be true after them."""

    title: str
    steps: tuple[Step, ...]
    balances: dict[int, dict[str, tuple[str, str, str]]]
    orders: tuple[tuple[str, str], ...]
    trades: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Line:
    """One fact: what was expected and what was found."""

    what: str
    expected: str
    found: str

    @property
    def agrees(self) -> bool:
        return self.expected == self.found


@dataclass
class Outcome:
    """Every fact compared."""

    lines: list[Line] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return all(line.agrees for line in self.lines)


WALKTHROUGHS = (
    Walkthrough(
        title="Walk-through 1: an order rests, then trades in part",
        steps=(
            Step(1, "buy", 10, 1.9, "open"),
            Step(2, "sell", 10, 2, "open"),
            Step(2, "sell", 1, 1.9, "filled"),
        ),
        # asset: (available, held, total)
        balances={
            1: {"ADA": ("1", "0", "1"), "USDT": ("981", "17.1", "998.1")},
            2: {"ADA": ("489", "10", "499"), "USDT": ("1.9", "0", "1.9")},
        },
        # (status, filled quantity) by order placed
        orders=(("partially_filled", "1"), ("open", "0"), ("filled", "1")),
        trades=({"buy": "0", "sell": "2", "quantity": "1", "price": "1.9"},),
    ),
    Walkthrough(
        title="Walk-through 2: two orders fill each other",
        steps=(Step(1, "buy", 100, 2, "open"), Step(2, "sell", 100, 2, "filled")),
        balances={
            1: {"ADA": ("100", "0", "100"), "USDT": ("800", "0", "800")},
            2: {"ADA": ("400", "0", "400"), "USDT": ("200", "0", "200")},
        },
        orders=(("filled", "100"), ("filled", "100")),
        trades=({"buy": "0", "sell": "1", "quantity": "100", "price": "2"},),
    ),
)


class WalkthroughError(Exception):
    """The system did not answer as it should; the message says what it said."""


def play(walkthrough: Walkthrough, services: Services, say: Callable[[str], None]) -> Outcome:
    """Place the orders one after the other and compare everything that follows.

    Raises:
        WalkthroughError: a request was refused, or an order was not settled in time.
    """
    order_ids: list[int] = []
    for step in walkthrough.steps:
        order_id = _place(services, step)
        order_ids.append(order_id)
        took = _await_status(services, order_id, step.reaches)
        say(f"{step}: order {order_id} is {step.reaches} after {took * 1000:.0f} ms")
    outcome = Outcome()
    _compare_orders(walkthrough, services, order_ids, outcome)
    _compare_balances(walkthrough, services, outcome)
    _compare_trades(walkthrough, order_ids, outcome)
    return outcome


def _place(services: Services, step: Step) -> int:
    body = {
        "user_id": step.user_id,
        "asset": "ADA",
        "quantity": step.quantity,
        "price": step.price,
        "order_type": step.side,
    }
    answer = requests.post(f"{services.orders}/orders", json=body, auth=services.auth, timeout=10)
    if answer.status_code != 201:
        raise WalkthroughError(f"{step}: {answer.status_code} {answer.text}")
    return int(answer.json()["id"])


def _await_status(services: Services, order_id: int, status: str) -> float:
    started = time.monotonic()
    while True:
        order = _get(services, f"{services.orders}/orders/{order_id}")
        elapsed = time.monotonic() - started
        if order["status"] == status:
            return elapsed
        if elapsed > SETTLE_SECONDS:
            raise WalkthroughError(
                f"order {order_id} is {order['status']} after {elapsed:.0f} s, not {status}"
            )
        time.sleep(FINAL_POLL_SECONDS)


def _get(services: Services, url: str) -> dict[str, Any]:
    answer = requests.get(
        url, headers={"Accept": "application/json"}, auth=services.auth, timeout=10
    )
    if answer.status_code != 200:
        raise WalkthroughError(f"GET {url}: {answer.status_code} {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


def _compare_orders(
    walkthrough: Walkthrough, services: Services, order_ids: list[int], outcome: Outcome
) -> None:
    for order_id, step, (status, filled) in zip(
        order_ids, walkthrough.steps, walkthrough.orders, strict=True
    ):
        order = _get(services, f"{services.orders}/orders/{order_id}")
        expected = f"{status}, {filled} of {step.quantity}"
        found = f"{order['status']}, {order['filled_quantity']} of {order['quantity']}"
        outcome.lines.append(Line(f"order {order_id}: {step}", expected, found))


def _compare_balances(walkthrough: Walkthrough, services: Services, outcome: Outcome) -> None:
    for user_id, expected in walkthrough.balances.items():
        found = _get(services, f"{services.balances}/balance/{user_id}")["balances"]
        for asset in sorted(expected.keys() | found.keys()):
            for index, kind in enumerate(("available", "held", "total")):
                outcome.lines.append(
                    Line(
                        f"user {user_id} {asset} {kind}",
                        expected[asset][index] if asset in expected else "nothing",
                        found[asset][kind] if asset in found else "nothing",
                    )
                )


def _compare_trades(walkthrough: Walkthrough, order_ids: list[int], outcome: Outcome) -> None:
    on_log = {
        f"buy order {trade.buy_order_id}, sell order {trade.sell_order_id}: "
        f"{trade.quantity} at {trade.price}"
        for record in read_topic(TRADE_EVENTS)
        if isinstance(event := decode_trade_event(record.value), Execution)
        for trade in event.trades
    }
    expected = {
        f"buy order {order_ids[int(trade['buy'])]}, sell order {order_ids[int(trade['sell'])]}: "
        f"{trade['quantity']} at {trade['price']}"
        for trade in walkthrough.trades
    }
    outcome.lines.append(
        Line("trades on trade-events", "; ".join(sorted(expected)), "; ".join(sorted(on_log)))
    )
