"""What the clients have sent and what they were told: the one side of the accounting.

Memory only. It is told from many threads; it never asks anybody.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple


class Rules(NamedTuple):
    """What an order says besides side and amounts; as it stands here, what the API assumes."""

    time_in_force: str = "gtc"
    post_only: bool = False
    self_trade_prevention: str = "cancel_taker"


PLAIN = Rules()


@dataclass(frozen=True, slots=True)
class Sent:
    """An order as its client wrote it.

    `price`, `stop_price`: quote per base; without a price it is at the market, with a stop price it
    waits for that. `quantity`: base, None: by the `quote_amount` (quote) to spend. An iceberg shows
    `visible_quantity` (base) at a time.
    """

    client_order_id: str
    user_id: int
    market: str
    side: str
    price: Decimal | None
    quantity: Decimal | None
    rules: Rules = PLAIN
    expires_at: datetime | None = None
    """Of an order that is good till a date."""
    quote_amount: Decimal | None = None
    stop_price: Decimal | None = None
    visible_quantity: Decimal | None = None

    @property
    def is_plain_and_rests(self) -> bool:
        """Return whether it may be amended while it is live."""
        return (
            self.type == "limit"
            and self.visible_quantity is None
            and self.rules.time_in_force in ("gtc", "gtd")
        )

    @property
    def type(self) -> str:
        """Return its `type` in the API."""
        if self.stop_price is None:
            return "limit" if self.price is not None else "market"
        return "stop_limit" if self.price is not None else "stop_market"


@dataclass(slots=True)
class Told:
    """An order that was answered with 201 or 200: what was sent, and what the client knows since.

    `window`: how many faults had been injected when the answer came.
    """

    sent: Sent
    order_id: int
    window: int
    cancel_accepted: bool = False


class Wanted(NamedTuple):
    """An amendment that was answered as accepted: the order's new price and total quantity."""

    amendment_id: int
    order_id: int
    price: Decimal
    quantity: Decimal
    window: int


@dataclass
class Journal:
    """Everything that was answered, in the order of the answers."""

    told: list[Told] = field(default_factory=list)
    window: int = 0
    """How many faults have been injected so far."""
    cancels: int = 0
    wanted: list[Wanted] = field(default_factory=list)
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def accepted(self, sent: Sent, order_id: int) -> Told:
        """Note that an order was answered as accepted."""
        with self._lock:
            entry = Told(sent, order_id, self.window)
            self.told.append(entry)
        return entry

    def amendment_accepted(
        self, entry: Told, amendment_id: int, price: Decimal, quantity: Decimal
    ) -> None:
        """Note that an amendment was answered as accepted: it has to be applied or refused."""
        with self._lock:
            self.wanted.append(Wanted(amendment_id, entry.order_id, price, quantity, self.window))

    def cancel_accepted(self, entry: Told) -> None:
        """Note that a cancel was answered as accepted: the order has to finish."""
        with self._lock:
            entry.cancel_accepted = True
            self.cancels += 1

    def cancel_of_all_accepted(self, entries: Sequence[Told], asked: int) -> None:
        """Note that the cancel of all of a user's orders was answered: all of them have to finish.

        `asked`: of how many the exchange says that they had not finished.
        """
        with self._lock:
            for entry in entries:
                entry.cancel_accepted = True
            self.cancels += asked

    def no_answer(self) -> None:
        """Note that a request got no answer, or 503, and is sent again."""
        with self._lock:
            self.unanswered += 1

    def since(self, window: int) -> list[Told]:
        """Return what was answered from this window on."""
        with self._lock:
            recent = []
            for entry in reversed(self.told):
                if entry.window < window:
                    break
                recent.append(entry)
        return recent

    def all(self) -> list[Told]:
        with self._lock:
            return list(self.told)
