"""A trader who has one order at a time, and so knows to the last digit what the balance has to be.

After each answer that says what has been committed (the order is accepted; the order is finished,
with these fills) the balance service must say the same: an older balance is a broken promise.
"""

import random
from decimal import Decimal
from typing import Any

from tests.chaos.client import Balances, ClientMaker, UnexpectedAnswerError
from tests.chaos.journal import Journal, Sent
from tests.chaos.load import SHAPES, Names, Shape

ZERO = Decimal(0)
READS = 3
"""Balance reads per state: the first may fill the cache, the later ones may come from it."""
UNFINISHED = ("pending", "open", "partially_filled")
POLL_SECONDS = 0.05


class StaleBalanceError(Exception):
    """A balance is not the one that has been committed."""


class Watcher:
    """One watching trader: a user that nobody else trades for."""

    def __init__(
        self, number: int, *, clients: ClientMaker, journal: Journal, user_id: int, seed: int
    ) -> None:
        self._client = clients()
        self._journal = journal
        self._user = user_id
        self._rng = random.Random(f"{seed}/watcher/{number}")
        self._names = Names(f"watch{number}")
        self._expected: dict[str, list[Decimal]] | None = None
        self.reads = {"cache": 0, "database": 0}

    def act(self) -> None:
        """Place one order, follow it to its end, and compare the balance at each known state.

        Raises:
            StaleBalanceError: the balance service answered with another state.
            UnexpectedAnswerError: an order was refused.
        """
        if self._expected is None:
            found, _ = self._client.balances(self._user)
            self._expected = {asset: list(both) for asset, both in found.items()}
        shape = self._rng.choice(SHAPES)
        side, price, quantity = shape.draw(self._rng)
        rests = self._rng.random() < 0.5
        if rests:
            price = shape.far(side)
        sent = Sent(self._names.new(), self._user, shape.symbol, side, price, quantity)
        answer = self._client.place(sent)
        if answer.status == 422:
            raise UnexpectedAnswerError(f"{sent} was refused: {answer.body}")
        entry = self._journal.accepted(sent, int(answer.body["id"]))
        if rests:  # nobody meets it, so its hold is there, whole, until we cancel
            asset, amount = _hold(shape, sent)
            self._move(asset, available=-amount, held=amount)
            self._compare(f"order {entry.order_id} was accepted")
            self._move(asset, available=amount, held=-amount)
        if self._client.cancel(entry.order_id).status == 202:
            self._journal.cancel_accepted(entry)
        finished = self._finished(entry.order_id)
        self._note_fills(shape, sent, finished)
        self._compare(f"order {entry.order_id} was {finished['status']}")

    def pace(self) -> float:
        return self._rng.uniform(0.1, 0.5)

    def _finished(self, order_id: int) -> dict[str, Any]:
        while True:
            order = self._client.order(order_id)
            if order["status"] not in UNFINISHED:
                return order
            self._client.rest(POLL_SECONDS)

    def _note_fills(self, shape: Shape, sent: Sent, order: dict[str, Any]) -> None:
        base, _, quote = shape.symbol.partition("-")
        sign = 1 if sent.side == "buy" else -1
        self._move(base, available=sign * Decimal(order["filled_quantity"]))
        self._move(quote, available=-sign * Decimal(order["filled_quote"]))
        fees = self._client.fees(order["id"])
        self._move(base if sent.side == "buy" else quote, available=-fees)

    def _move(self, asset: str, *, available: Decimal, held: Decimal = ZERO) -> None:
        assert self._expected is not None
        both = self._expected.setdefault(asset, [ZERO, ZERO])
        both[0] += available
        both[1] += held

    def _compare(self, after: str) -> None:
        assert self._expected is not None
        expected: Balances = {
            asset: (available, held) for asset, (available, held) in self._expected.items()
        }
        for _ in range(READS):
            found, source = self._client.balances(self._user)
            self.reads[source] += 1
            if found != {asset: both for asset, both in expected.items() if any(both)}:
                raise StaleBalanceError(
                    f"user {self._user} after {after}: the {source} says {found}, not {expected}"
                )


def _hold(shape: Shape, sent: Sent) -> tuple[str, Decimal]:
    base, _, quote = shape.symbol.partition("-")
    assert sent.price is not None, "a watcher knows its price"
    assert sent.quantity is not None, "and its quantity"
    return (quote, sent.price * sent.quantity) if sent.side == "buy" else (base, sent.quantity)
