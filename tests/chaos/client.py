"""The exchange over HTTP, as a careful client sees it. The only module here that knows addresses.

A request that gets no answer, or 503, is sent again until it is answered: an order names its
client_order_id, so that is harmless. Any other answer than those that belong to the request is
raised, never passed over.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import requests

from tests.chaos.journal import Journal, Rules, Sent

TIMEOUT_SECONDS = 15
RETRY_SECONDS = 0.2
MOST_FILLS = 500
"""Of an order that is asked for its fees: as many as a page can have."""
BUSY = (429, 502, 503, 504)
"""Statuses that promise nothing: the request is sent again."""


class StoppedError(Exception):
    """The run is over: nobody waits for this answer any more."""


class NoAnswerError(Exception):
    """No answer within the time that the caller had."""


class UnexpectedAnswerError(Exception):
    """An answer that this request must never get."""


@dataclass(frozen=True)
class Answer:
    """An answer that belongs to its request."""

    status: int
    body: dict[str, Any]
    source: str = ""
    """Of a balance: cache or database."""

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.body.get("code", ""))


Balances = dict[str, tuple[Decimal, Decimal]]
"""Available and held, by asset; assets of which there is nothing are left out."""


class Client:
    """One client with connections of its own, kept alive. One thread at a time."""

    def __init__(
        self, urls: Mapping[str, str], *, journal: Journal, stopping: threading.Event
    ) -> None:
        self._urls = urls
        self._journal = journal
        self._stopping = stopping
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy on the way to loopback
        self._session.headers["Accept"] = "application/json"

    def place(self, order: Sent, *, until: float | None = None) -> Answer:
        """Place an order. 201 and 200 mean that it is there, 422 that it was refused.

        `until`: when to give up, by the monotonic clock; never by default.

        Raises:
            NoAnswerError, StoppedError, UnexpectedAnswerError
        """
        body = _written(order)
        return self._insist("POST", "orders", "/orders", body, expect=(200, 201, 422), until=until)

    def place_batch(self, orders: Sequence[Sent]) -> list[Answer]:
        """Place orders with one request; return an answer for each, as `place` has it.

        Raises:
            StoppedError, UnexpectedAnswerError
        """
        body = {"orders": [_written(order) for order in orders]}
        answer = self._insist("POST", "orders", "/orders/batch", body, expect=(200,))
        results = answer.body["results"]
        return [Answer(one["status"], one.get("order") or one["error"]) for one in results]

    def cancel(self, order: int | str, *, until: float | None = None) -> Answer:
        """Ask for a cancel: 202 means that the order will finish, 422 that it had finished.

        `order`: its number, or `client:` and its client_order_id.
        """
        path = f"/orders/{order}"
        return self._insist("DELETE", "orders", path, expect=(202, 422), until=until)

    def amend(self, order_id: int, price: Decimal, quantity: Decimal) -> Answer:
        """Ask for an amendment: 202 means that it will be applied or refused, 422 that it cannot."""
        body = {"price": f"{price:f}", "quantity": f"{quantity:f}"}
        return self._insist("PATCH", "orders", f"/orders/{order_id}", body, expect=(202, 422))

    def cancel_all(self, user_id: int) -> int:
        """Ask for the cancel of all that a user has placed so far; all of it will finish.

        Returns of how many the cancel was asked for by this.

        Raises:
            StoppedError, UnexpectedAnswerError
        """
        path, asked, more = f"/orders?user_id={user_id}", 0, True
        while more:
            body = self._insist("DELETE", "orders", path, expect=(202,)).body
            asked, more = asked + int(body["cancel_requested"]), body["more"]
            if more:
                self.rest(RETRY_SECONDS)
        return asked

    def order(self, order_id: int, *, until: float | None = None) -> dict[str, Any]:
        """Look at an order."""
        return self._insist(
            "GET", "orders", f"/orders/{order_id}", expect=(200,), until=until
        ).body  # fmt: skip

    def fees(self, order_id: int) -> Decimal:
        """Return what was taken of what an order has received."""
        path = f"/orders/{order_id}/fills?limit={MOST_FILLS}"
        body = self._insist("GET", "orders", path, expect=(200,)).body
        if body["next"] is not None:
            raise UnexpectedAnswerError(f"order {order_id} has more than {MOST_FILLS} fills")
        return sum((Decimal(fill["fee"]) for fill in body["results"]), Decimal(0))

    def balances(self, user_id: int, *, until: float | None = None) -> tuple[Balances, str]:
        """Return a user's balances, and which store answered."""
        path = f"/balance/{user_id}"
        answer = self._insist("GET", "balances", path, expect=(200,), until=until)
        found = {
            asset: (Decimal(amounts["available"]), Decimal(amounts["held"]))
            for asset, amounts in answer.body["balances"].items()
        }
        return {asset: both for asset, both in found.items() if any(both)}, answer.source

    def rest(self, seconds: float) -> None:
        """Wait before asking again.

        Raises:
            StoppedError: the run is over.
        """
        if self._stopping.wait(seconds):
            raise StoppedError

    def ready(self, service: str) -> Answer | None:
        """Ask a service whether all is well, once; None when nobody answers."""
        try:
            return self._ask("GET", service, "/health/ready", None)
        except requests.RequestException:
            return None

    def _insist(
        self,
        method: str,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        expect: tuple[int, ...],
        until: float | None = None,
    ) -> Answer:
        while True:
            try:
                answer = self._ask(method, service, path, body)
            except requests.RequestException:
                answer = None
            if answer is not None and answer.status in expect:
                return answer
            if answer is not None and answer.status not in BUSY:
                raise UnexpectedAnswerError(
                    f"{method} {path} was answered with {answer.status}: {answer.body}"
                )
            self._journal.no_answer()
            if until is not None and time.monotonic() > until:
                raise NoAnswerError(f"{method} {path}: no answer in time")
            self.rest(RETRY_SECONDS)

    def _ask(
        self, method: str, service: str, path: str, body: Mapping[str, Any] | None
    ) -> Answer:  # fmt: skip
        answer = self._session.request(
            method, f"{self._urls[service]}{path}", json=body, timeout=TIMEOUT_SECONDS
        )
        try:
            content = answer.json()
        except requests.JSONDecodeError:
            content = {"text": answer.text[:500]}
        return Answer(answer.status_code, content, answer.headers.get("X-Balance-Source", ""))


def _written(order: Sent) -> dict[str, Any]:
    """Return the body that places an order; what the API assumes anyway is left out."""
    rules = order.rules._asdict()
    amounts = {
        name: f"{amount:f}"
        for name in ("price", "stop_price", "quantity", "quote_amount", "visible_quantity")
        if (amount := getattr(order, name)) is not None
    }
    return {
        "client_order_id": order.client_order_id,
        "user_id": order.user_id,
        "market": order.market,
        "side": order.side,
        **({} if order.type == "limit" else {"type": order.type}),
        **amounts,
        **{name: rules[name] for name in rules if rules[name] != Rules._field_defaults[name]},
        **({} if order.expires_at is None else {"expires_at": order.expires_at.isoformat()}),
    }


ClientMaker = Callable[[], Client]
"""Makes a client of one's own: connections are not shared between threads."""
