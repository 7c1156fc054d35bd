"""What cancels leave behind in a book is bounded by its live orders.

These tests look inside the book on purpose: the bound is a promise that no answer shows.
"""

import random

import pytest

from matching.engine import BUY, SELL, OrderBook
from matching.engine.levels import SLACK, BookSide

EVENTS = 100_000


def entries_held(side: BookSide) -> int:
    """Return the size of everything that grows in one side, tombstones and stale keys included."""
    queued = sum(len(level.queue) for level in side.levels.values())
    return queued + len(side.keys) + len(side.levels) + len(side.stale)


def assert_bounded(book: OrderBook) -> None:
    """A live order: itself, a tombstone and SLACK more in its queue, its key in three places."""
    held = entries_held(book._bids) + entries_held(book._asks)
    assert held <= (2 + SLACK + 6) * len(book) + 4 * SLACK, (held, len(book))


@pytest.mark.parametrize("live", [1, 10, 1_000])
def test_place_and_cancel_at_one_price(live: int) -> None:
    rng = random.Random(live)
    book = OrderBook()
    order_ids: list[int] = []
    for order_id in range(1, EVENTS + 1):
        book.place(order_id, 1, SELL, 100, 1)
        order_ids.append(order_id)
        if len(order_ids) > live:
            book.cancel(order_ids.pop(rng.randrange(live)))
        assert len(book._asks.levels[100].queue) <= 2 * len(book) + SLACK

    assert len(book) == live
    book.validate()
    assert_bounded(book)


def test_place_and_cancel_behind_an_order_that_stays() -> None:
    book = OrderBook()
    book.place(1, 1, SELL, 100, 1)

    for order_id in range(2, EVENTS):
        book.place(order_id, 1, SELL, 100, 1)
        book.cancel(order_id)
        assert len(book._asks.levels[100].queue) <= 2 + SLACK

    book.validate()


def test_place_and_cancel_each_at_a_price_of_its_own() -> None:
    book = OrderBook()
    book.place(1, 1, BUY, 10**9, 1)

    for order_id in range(2, EVENTS):
        book.place(order_id, 1, BUY, order_id, 1)
        book.cancel(order_id)
        assert len(book._bids.keys) <= 2 + 1 + SLACK

    book.validate()


def test_what_trades_leave_behind_among_tombstones() -> None:
    # Given a queue with as many tombstones as live orders, the tombstones at its end,
    # and as many empty levels as live ones, the empty ones out of reach
    book = OrderBook()
    for order_id in range(1, 2_001):
        book.place(order_id, 1, SELL, 100, 1)
        book.place(order_id + 10_000, 1, SELL, 100 + order_id, 1)
    for order_id in range(1_001, 2_001):
        book.cancel(order_id)
        book.cancel(order_id + 10_000)

    # When trades take nearly all the live orders
    book.place(50_000, 2, BUY, 100, 999)
    assert len(book._asks.levels[100].queue) <= 2 + SLACK
    assert_bounded(book)
    book.place(50_001, 2, BUY, 100 + 999, 1_000)

    # Then nothing of that size stays
    assert len(book) == 1
    book.validate()
    assert_bounded(book)


def test_a_random_flow_stays_bounded() -> None:
    rng = random.Random(5)
    book = OrderBook()
    for order_id in range(1, 20_001):
        side = rng.choice((BUY, SELL))
        book.place(order_id, 1, side, 1_000 - side * rng.randint(-1, 300), rng.randint(1, 5))
        for _ in range(2):
            book.cancel(rng.randint(max(1, order_id - 500), order_id))
        if order_id % 200 == 0:
            assert_bounded(book)
            book.validate()
