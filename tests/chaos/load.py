"""The load: traders who place orders around a price and take some of them back, by seed.

Which orders a thread sends is decided by its seed alone; when they meet, and whom, and when those that
are good till a date expire, is not.
"""

import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.chaos.client import Answer, ClientMaker, UnexpectedAnswerError
from tests.chaos.crew import Crew
from tests.chaos.journal import PLAIN, Journal, Rules, Sent, Told

THREADS = 8
CANCELS = 0.25
"""The part of all requests that ask for a cancel."""
CANCELS_OF_ALL = 0.005
"""The part of all requests that ask for the cancel of all that a user has."""
BATCHES = 0.02
"""The part of all requests that place a batch."""
AMENDMENTS = 0.08
"""The part of all requests that amend an order."""
NOT_AMENDED = {
    "order_finished", "cancel_requested", "nothing_to_amend", "quantity_already_filled",
    "amendment_waiting", "expires_at_not_in_future",
}  # fmt: skip
"""Why an amendment may be refused although nothing is wrong."""
BATCH = (2, 8)
"""Orders in a batch."""
SAME_PRICE = 0.5
"""The part of the amendments that leave the price as it was sent."""
RULED = 0.4
"""The part of all orders that are not plain."""
MARKET_ORDERS = 0.5
"""The part of those that are immediate or cancel which name no price."""
BY_AMOUNT = 0.5
"""The part of the market orders that buy which say what they may spend."""
STOPS = 0.1
"""The part of all orders, at the market or not, that wait for a price."""
ICEBERGS = 0.2
"""The part of the limit orders that may rest which hide most of themselves."""
PARTS = (2, 12)
"""In how many parts an iceberg comes, about."""
REMEMBERED = 50
"""A thread's latest orders, of which it cancels one."""


@dataclass(frozen=True)
class Shape:
    """How the orders of a market look: prices within `spread` steps of `middle`, in lots."""

    symbol: str
    middle: Decimal
    step: Decimal
    lot: Decimal
    most_lots: int
    spread: int = 20

    def draw(self, rng: random.Random) -> tuple[str, Decimal, Decimal]:
        """Return side, price and quantity of an order that others may meet."""
        price = self.middle + rng.randint(-self.spread, self.spread) * self.step
        return rng.choice(("buy", "sell")), price, self.lot * rng.randint(1, self.most_lots)

    def far(self, side: str) -> Decimal:
        """Return a price at which nobody else trades."""
        return self.step if side == "buy" else self.middle * 3


SHAPES = (
    Shape("ADA-USDT", Decimal("1.9"), Decimal("0.001"), Decimal("0.01"), 5000),
    Shape("ADA-BTC", Decimal("0.00004"), Decimal("0.0000001"), Decimal(1), 50),
    Shape("BTC-USDT", Decimal(50_000), Decimal(5), Decimal("0.0001"), 50),
    Shape("ETH-USDT", Decimal(3_000), Decimal(1), Decimal("0.0001"), 1000),
    Shape("SOL-USDT", Decimal(150), Decimal("0.1"), Decimal("0.001"), 500),
)
"""The seeded markets. ADA has two of them: one partition, two books."""


KINDS = (
    Rules(time_in_force="ioc"),
    Rules(time_in_force="fok"),
    Rules(time_in_force="gtd"),
    Rules(post_only=True),
    *(
        Rules(self_trade_prevention=prevention)
        for prevention in ("none", "cancel_maker", "cancel_both", "decrement_and_cancel")
    ),
    Rules("ioc", self_trade_prevention="decrement_and_cancel"),
    Rules("fok", self_trade_prevention="none"),
)
"""What an order that is not plain says."""


GOOD_FOR = (3.0, 15.0)
"""Seconds for which an order that is good till a date may rest: before the books are balanced all
of them have to be gone."""


def draw_rules(rng: random.Random) -> Rules:
    """Return what an order says besides its amounts: mostly nothing."""
    return rng.choice(KINDS) if rng.random() < RULED else PLAIN


class Names:
    """Ids that no client has used before, in this run or in another with the same data."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        with self._lock:
            self._count += 1
            return f"{self._prefix}-{self._count}"


class Trader:
    """One thread's worth of load. Nobody else trades for its `users`."""

    def __init__(
        self,
        number: int,
        *,
        clients: ClientMaker,
        journal: Journal,
        users: Sequence[int],
        seed: int,
    ) -> None:
        self._client = clients()
        self._journal = journal
        self._users = users
        self._rng = random.Random(f"{seed}/trader/{number}")
        self._names = Names(f"load{number}")
        self._recent: deque[Told] = deque(maxlen=REMEMBERED)
        self._of_user: dict[int, list[Told]] = {}
        """Each user's orders since the last cancel of all."""

    def act(self) -> None:
        """Place an order or a batch, amend one, or cancel one order or all of a user.

        Raises:
            UnexpectedAnswerError: an order was refused, although nothing is wrong with any.
        """
        chance = self._rng.random()
        if self._recent and chance < CANCELS:
            self._cancel()
        elif chance > 1 - CANCELS_OF_ALL:
            self._cancel_all()
        elif chance > 1 - CANCELS_OF_ALL - BATCHES:
            self._place_batch()
        elif self._recent and chance > 1 - CANCELS_OF_ALL - BATCHES - AMENDMENTS:
            self._amend()
        else:
            sent = self._draw()
            self._note(sent, self._client.place(sent))

    def pace(self, seconds: float) -> float:
        """Return when to act again, on average after `seconds`."""
        return self._rng.uniform(0.5, 1.5) * seconds

    def _draw(self) -> Sent:
        shape = self._rng.choice(SHAPES)
        side, price, quantity = shape.draw(self._rng)
        user = self._rng.choice(self._users)
        rules = draw_rules(self._rng)
        at_market = rules.time_in_force == "ioc" and self._rng.random() < MARKET_ORDERS
        good_for = timedelta(seconds=self._rng.uniform(*GOOD_FOR))
        sent = Sent(
            self._names.new(), user, shape.symbol, side, None if at_market else price, quantity, rules,
            expires_at=datetime.now(UTC) + good_for if rules.time_in_force == "gtd" else None,
        )  # fmt: skip
        if self._rng.random() < STOPS:
            return replace(sent, stop_price=shape.draw(self._rng)[1])
        if at_market and side == "buy" and self._rng.random() < BY_AMOUNT:
            return replace(sent, quantity=None, quote_amount=price * quantity)
        if rules.time_in_force in ("gtc", "gtd") and self._rng.random() < ICEBERGS:
            part = quantity // shape.lot // self._rng.randint(*PARTS) * shape.lot
            return replace(sent, visible_quantity=part or None)
        return sent

    def _place_batch(self) -> None:
        batch = [self._draw() for _ in range(self._rng.randint(*BATCH))]
        for sent, answer in zip(batch, self._client.place_batch(batch), strict=True):
            self._note(sent, answer)

    def _note(self, sent: Sent, answer: Answer) -> None:
        if _came_too_late(sent, answer) or _came_too_early(sent, answer):
            return
        if answer.status not in (200, 201):
            raise UnexpectedAnswerError(f"{sent} was refused: {answer.body}")
        entry = self._journal.accepted(sent, int(answer.body["id"]))
        self._recent.append(entry)
        self._of_user.setdefault(sent.user_id, []).append(entry)

    def _amend(self) -> None:
        """Give an order that may rest another quantity, or another price, too."""
        may_rest = [entry for entry in self._recent if entry.sent.is_plain_and_rests]
        if not may_rest:
            return
        entry = self._rng.choice(may_rest)
        sent = entry.sent
        shape = next(shape for shape in SHAPES if shape.symbol == sent.market)
        _, price, quantity = shape.draw(self._rng)
        assert sent.price is not None, "it is no market order"
        price = sent.price if self._rng.random() < SAME_PRICE else price
        answer = self._client.amend(entry.order_id, price, quantity)
        if answer.status == 202:
            self._journal.amendment_accepted(entry, int(answer.body["id"]), price, quantity)
        elif answer.code not in NOT_AMENDED:
            raise UnexpectedAnswerError(f"amendment of {entry.order_id}: {answer.body}")

    def _cancel_all(self) -> None:
        user = self._rng.choice(self._users)
        asked = self._client.cancel_all(user)
        self._journal.cancel_of_all_accepted(self._of_user.pop(user, []), asked)

    def _cancel(self) -> None:
        entry = self._recent[self._rng.randrange(len(self._recent))]
        self._recent.remove(entry)
        own_name = f"client:{entry.sent.client_order_id}?user_id={entry.sent.user_id}"
        name = self._rng.choice((entry.order_id, own_name))
        answer = self._client.cancel(name)
        if answer.status == 202:
            self._journal.cancel_accepted(entry)
        elif answer.code != "order_finished":
            raise UnexpectedAnswerError(f"cancel of {entry.order_id}: {answer.body}")


def _came_too_late(sent: Sent, answer: Answer) -> bool:
    """Whether an order was refused because it had expired before somebody took it."""
    has_expired = sent.expires_at is not None and sent.expires_at < datetime.now(UTC)
    return has_expired and answer.status == 422 and answer.code == "expires_at_not_in_future"


def _came_too_early(sent: Sent, answer: Answer) -> bool:
    """Whether a market order was refused because its market has had no trade yet."""
    return sent.price is None and answer.status == 422 and answer.code == "no_reference_price"


def add_load(
    crew: Crew,
    *,
    clients: ClientMaker,
    journal: Journal,
    users: Sequence[int],
    seed: int,
    per_second: float,
) -> None:
    """Add the threads that send `per_second` requests together."""
    for number in range(THREADS):
        trader = Trader(
            number, clients=clients, journal=journal, users=users[number::THREADS], seed=seed
        )
        crew.add(
            f"trader {number}",
            trader.act,
            seconds=lambda trader=trader: trader.pace(THREADS / per_second),  # type: ignore[misc]
        )
