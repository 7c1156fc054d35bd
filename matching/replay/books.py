"""Two engines of one partition, market by market: are their books the same?"""

from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from exchange.money import format_amount
from matching.engine import BUY, Engine, OrderBook
from matching.recovery import Scale
from matching.replay.tally import Tally


class _Resting(NamedTuple):
    """An order as a person compares it. `place`: its rank among all of its side and price."""

    user_id: int
    side: str
    price: Decimal
    remaining: Decimal
    place: int


def compare_books(
    replayed: Engine, settled: Engine, scales: Mapping[str, Scale], tally: Tally
) -> None:
    """Compare each market's book; name the orders in which two books differ."""
    for market in settled.markets:
        ours, theirs = replayed.book(market), settled.book(market)
        tally.looked_at += len(theirs)
        for what, of in (("state", Engine.state_of), ("change of state", Engine.change_of)):
            if of(replayed, market) != of(settled, market):
                tally.add(market, None, what, of(replayed, market), of(settled, market))
        if book_hash(ours) == book_hash(theirs):
            continue
        if ours.last_trade_id != theirs.last_trade_id:
            tally.add(market, None, "last trade number", ours.last_trade_id, theirs.last_trade_id)
        _name_orders(market, ours, theirs, scales[market], tally)


def book_hash(book: OrderBook) -> str:
    """Return the SHA-256 (hex) of a book: its last trade number, its orders by priority."""
    digest = sha256(f"{book.last_trade_id} {len(book)}\n".encode())
    for order in book.orders():
        digest.update((" ".join(map(str, order)) + "\n").encode())
    return digest.hexdigest()


def _name_orders(
    market: str, ours: OrderBook, theirs: OrderBook, scale: Scale, tally: Tally
) -> None:
    by_log, settled = _resting(ours, scale), _resting(theirs, scale)
    for order_id in sorted(by_log.keys() | settled.keys()):
        left, right = by_log.get(order_id), settled.get(order_id)
        if left is None or right is None:
            tally.add(market, order_id, "live", _written(left), _written(right))
            continue
        for name, a, b in zip(_Resting._fields, left, right, strict=True):
            # The place of an order behind one that is missing differs too: that says nothing new.
            if a != b and (name != "place" or by_log.keys() == settled.keys()):
                tally.add(market, order_id, name, a, b)


def _resting(book: OrderBook, scale: Scale) -> dict[int, _Resting]:
    found: dict[int, _Resting] = {}
    level, place = (0, 0), 0
    for order in book.orders():
        place = place + 1 if (order.side, order.price) == level else 1
        level = (order.side, order.price)
        found[order.order_id] = _Resting(
            order.user_id,
            "buy" if order.side == BUY else "sell",
            order.price * scale.tick,
            order.remaining * scale.lot,
            place,
        )
    return found


def _written(order: _Resting | None) -> str:
    if order is None:
        return "not live"
    return f"{order.side} {format_amount(order.remaining)} at {format_amount(order.price)}"
