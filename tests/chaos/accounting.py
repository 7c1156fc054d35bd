"""The journal against the books: is every order that was answered there, and there once?

Pure: told what the clients know and what Postgres holds, it says what does not agree. It must
never explain anything away.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tests.chaos.books import Stored, StoredAmendment
from tests.chaos.journal import Told, Wanted

Kind = Literal["lost", "doubled", "wrong"]


class Finding(NamedTuple):
    """One order with which something is wrong. `window`: when its client was answered."""

    kind: Kind
    order: str
    what: str
    window: int

    def __str__(self) -> str:
        return f"{self.kind}: order {self.order}: {self.what}"


def account(told: Sequence[Told], stored: Sequence[Stored]) -> list[Finding]:
    """Compare what was answered with the rows of these orders, at any moment."""
    rows = {row.order_id: row for row in stored}
    found = [finding for entry in told for finding in _compare(entry, rows.get(entry.order_id))]
    windows = {entry.order_id: entry.window for entry in told}
    for row in stored:
        found += _matched_twice(row, windows.get(row.order_id, 0))
    return found


def account_at_rest(told: Sequence[Told], stored: Sequence[Stored]) -> list[Finding]:
    """Compare everything that was ever answered with all orders, when nothing is under way.

    Then every request has been answered, nothing is pending, and each cancel has been done.
    """
    found = account(told, stored)
    answered = {entry.order_id: entry for entry in told}
    times = Counter(row.client_order_id for row in stored)
    for row in stored:
        name = f"{row.order_id} ({row.client_order_id})"
        entry = answered.get(row.order_id)
        if times[row.client_order_id] > 1:
            window = entry.window if entry else 0
            found.append(Finding("doubled", name, "its client_order_id is there twice", window))
        elif entry is None:
            found.append(Finding("wrong", name, "nobody was told of it", 0))
        elif row.status == "pending":
            found.append(Finding("lost", name, "it is still pending", entry.window))
        elif entry.cancel_accepted and row.status not in {"filled", "canceled"}:
            found.append(
                Finding("lost", name, f"its cancel was accepted: {row.status}", entry.window)
            )
        elif row.status not in _at_rest(row):
            found.append(Finding("lost", name, f"it may not rest: {row.status}", entry.window))
    return found


def account_amendments(
    wanted: Sequence[Wanted], stored: Sequence[StoredAmendment]
) -> list[Finding]:
    """Compare the amendments that were answered with their rows, when nothing is under way."""
    rows = {row.amendment_id: row for row in stored}
    found = []
    for entry in wanted:
        row = rows.get(entry.amendment_id)
        asked = (entry.order_id, entry.price, entry.quantity)
        if row is None or row[1:4] != asked or row.status == "waiting":
            what = f"amendment {entry.amendment_id}, {asked}, was accepted; there: {row}"
            found.append(Finding("lost", str(entry.order_id), what, entry.window))
    return found


def _at_rest(row: Stored) -> set[str]:
    """Return how an order may stand when nothing is under way; no price has come that it waits for."""
    finished = {"filled", "canceled"}
    if row.rules.time_in_force == "gtd":
        return finished
    waiting = {"untriggered"} if row.stop_price is not None else set()
    resting = {"open", "partially_filled"} if row.rules.time_in_force == "gtc" else set()
    return finished | waiting | resting


def _compare(entry: Told, row: Stored | None) -> list[Finding]:
    sent = entry.sent
    name = f"{entry.order_id} ({sent.client_order_id})"
    if row is None:
        return [Finding("lost", name, "it was answered and is not there", entry.window)]
    wrote = (
        sent.client_order_id, sent.user_id, sent.market, sent.side, sent.price, sent.quantity,
        sent.rules, sent.expires_at, sent.type, sent.quote_amount, sent.stop_price,
        sent.visible_quantity,
    )  # fmt: skip
    there = (
        row.client_order_id, row.user_id, row.market, row.side,
        row.price if sent.price is not None else None,  # the exchange has given it one
        row.quantity if sent.quantity is not None else None,  # as above
        row.rules, row.expires_at, row.order_type, row.quote_amount, row.stop_price,
        row.visible_quantity,
    )  # fmt: skip
    if wrote != there:
        return [Finding("lost", name, f"sent as {wrote}, there as {there}", entry.window)]
    if row.status == "rejected":
        return [Finding("lost", name, "it was accepted and then rejected", entry.window)]
    return []


def _matched_twice(row: Stored, window: int) -> list[Finding]:
    name = f"{row.order_id} ({row.client_order_id})"
    if row.holds > 1:
        return [Finding("doubled", name, f"its money was held {row.holds} times", window)]
    quantity = row.quantity if row.amended_quantity is None else row.amended_quantity
    if row.traded > row.filled or row.filled > quantity:
        what = f"of {quantity}, {row.filled} filled, {row.traded} traded"
        return [Finding("doubled", name, what, window)]
    if row.traded < row.filled or row.holds < 1:
        what = f"{row.filled} filled, {row.traded} traded, held {row.holds} times"
        return [Finding("wrong", name, what, window)]
    return []
