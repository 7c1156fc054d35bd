"""Two engines of one partition, market by market: are their books the same?"""

from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

from exchange.money import format_amount
from matching.engine import BUY, Engine, OrderBook, StopBook
from matching.recovery import Scale
from matching.replay.tally import Tally


class _Waiting(NamedTuple):
    """A stop order as a person compares it. `turn`: its rank among those that are next."""

    side: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal
    rules: str
    elected: bool
    turn: int


class _Resting(NamedTuple):
    """An order as a person compares it. `place`: its rank among all of its side and price.

    `part`: how much an iceberg shows at a time; 0: it is none.
    """

    user_id: int
    side: str
    price: Decimal
    remaining: Decimal
    part: Decimal
    place: int


def compare_books(
    replayed: Engine, settled: Engine, scales: Mapping[str, Scale], tally: Tally
) -> None:
    """Compare each market's book and its stop orders; name the orders in which they differ."""
    for market in settled.markets:
        ours, theirs = replayed.book(market), settled.book(market)
        _name_stops(market, replayed.stops(market), settled.stops(market), scales[market], tally)
        tally.looked_at += len(theirs)
        for what, of in (("state", Engine.state_of), ("change of state", Engine.change_of)):
            if of(replayed, market) != of(settled, market):
                tally.add(market, None, what, of(replayed, market), of(settled, market))
        if book_hash(ours) == book_hash(theirs):
            continue
        if ours.last_trade_id != theirs.last_trade_id:
            tally.add(market, None, "last trade number", ours.last_trade_id, theirs.last_trade_id)
        if ours.last_price != theirs.last_price:
            tally.add(market, None, "last price", ours.last_price, theirs.last_price)
        _name_orders(market, ours, theirs, scales[market], tally)


def book_hash(book: OrderBook) -> str:
    """Return the SHA-256 (hex) of a book: its last trade, its orders by priority."""
    digest = sha256(f"{book.last_trade_id} {book.last_price} {len(book)}\n".encode())
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


def _name_stops(market: str, ours: StopBook, theirs: StopBook, scale: Scale, tally: Tally) -> None:
    by_log, settled = _waiting(ours, scale), _waiting(theirs, scale)
    tally.looked_at += len(settled)
    for order_id in sorted(by_log.keys() | settled.keys()):
        left, right = by_log.get(order_id), settled.get(order_id)
        if left is None or right is None:
            what = "waits", "does not wait"
            tally.add(market, order_id, "stop", what[left is None], what[right is None])
            continue
        for name, a, b in zip(_Waiting._fields, left, right, strict=True):
            # As with the places in a book: only if no other difference explains it.
            if a != b and (name != "turn" or by_log.keys() == settled.keys()):
                tally.add(market, order_id, name, a, b)


def _waiting(stops: StopBook, scale: Scale) -> dict[int, _Waiting]:
    return {
        order.order_id: _Waiting(
            "buy" if order.side == BUY else "sell",
            order.quantity * scale.lot,
            order.price * scale.tick,
            order.stop_price * scale.tick,
            f"{order.time_in_force} {order.post_only} {order.prevention}",
            elected,
            turn,
        )
        for turn, (order, elected) in enumerate(stops.orders())
    }


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
            order.part * scale.lot,
            place,
        )
    return found


def _written(order: _Resting | None) -> str:
    if order is None:
        return "not live"
    return f"{order.side} {format_amount(order.remaining)} at {format_amount(order.price)}"
