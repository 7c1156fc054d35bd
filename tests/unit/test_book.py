"""The rules of one order book, each shown on a small book (drawn as `drawn_book` says)."""

import pytest

from matching.engine import BUY, SELL, CrossedBook, DuplicateOrder, Fill, OrderBook, RestingOrder
from tests.unit.drawn_book import EMPTY, LADDER, TAKER, USER, book_of, draw, drawn, fills_of


def test_trade_ids_are_dense_across_orders_that_do_not_trade() -> None:
    book = OrderBook(last_trade_id=40)
    book.place(1, 1, SELL, 100, 5)
    trade_ids: list[int] = []
    for order_id, price in ((2, 100), (3, 90), (4, 100), (5, 100)):
        _, fills = book.place(order_id, 2, BUY, price, 1)
        trade_ids += [fill.trade_id for fill in fills]

    assert trade_ids == [41, 42, 43]
    assert book.last_trade_id == 43


def test_orders_of_one_user_trade_with_each_other() -> None:
    book = OrderBook()
    book.place(1, 7, SELL, 100, 5)

    _, fills = book.place(2, 7, BUY, 100, 5)

    assert fills == (Fill(trade_id=1, maker_order_id=1, maker_user_id=7, price=100, quantity=5),)


@pytest.mark.parametrize(
    ("canceled", "after", "makers"),
    [
        (1, "sell 100  #2:2 #3:3", [2, 3]),
        (2, "sell 100  #1:1 #3:3", [1, 3]),
        (3, "sell 100  #1:1 #2:2", [1, 2]),
    ],
    ids=["head", "middle", "tail"],
)
def test_cancel_takes_one_order_out_of_its_level(
    canceled: int, after: str, makers: list[int]
) -> None:
    book = book_of("sell 100  #1:1 #2:2 #3:3")

    order = book.cancel(canceled)

    assert order == RestingOrder(canceled, canceled + USER, SELL, 100, remaining=canceled)
    assert draw(book) == after
    assert book.depth() == ([], [(100, 6 - canceled)])
    assert canceled not in book
    assert len(book) == 2
    remaining, fills = fills_of(book, BUY, 100, 6 - canceled)
    assert remaining == 0
    assert [maker for _, maker, _, _ in fills] == makers
    assert draw(book) == EMPTY


def test_cancel_of_a_partly_filled_order_returns_what_remained() -> None:
    book = book_of("buy  100  #1:5")
    book.place(2, 2, SELL, 100, 3)

    assert book.cancel(1) == RestingOrder(1, 1 + USER, BUY, 100, remaining=2)

    assert draw(book) == EMPTY


def test_cancel_of_the_best_level_uncovers_the_next() -> None:
    book = book_of("""
        sell 101  #2:2
        sell 100  #1:1
    """)
    book.cancel(1)

    assert fills_of(book, BUY, 101, 1) == (0, [(1, 2, 101, 1)])
    assert draw(book) == "sell 101  #2:1"


def test_cancel_of_an_order_that_is_not_there_changes_nothing() -> None:
    book = book_of("sell 100  #1:1 #2:2")
    book.place(TAKER, TAKER, BUY, 100, 1)
    book.cancel(2)

    filled, canceled, unknown = book.cancel(1), book.cancel(2), book.cancel(3)

    assert (filled, canceled, unknown) == (None, None, None)
    assert draw(book) == EMPTY


def test_an_order_canceled_and_placed_again_at_its_price_has_lost_its_priority() -> None:
    book = book_of("sell 100  #1:1 #2:2")

    book.cancel(1)
    book.place(3, 1, SELL, 100, 1)

    assert draw(book) == "sell 100  #2:2 #3:1"
    _, fills = book.place(TAKER, TAKER, BUY, 100, 3)
    assert [fill.maker_order_id for fill in fills] == [2, 3]


def test_a_level_emptied_by_cancels_can_be_used_again() -> None:
    book = book_of("buy  100  #1:1")

    for order_id in range(10, 110):
        book.cancel(order_id - 1 if order_id > 10 else 1)
        book.place(order_id, 1, BUY, 100, order_id)
        book.validate()

    assert draw(book) == "buy  100  #109:109"


def test_restored_orders_have_the_priority_of_their_restoring() -> None:
    book = OrderBook()
    for order_id, price in ((8, 100), (3, 101), (5, 100)):
        book.restore(order_id, order_id, SELL, price, 1)

    assert draw(book) == drawn("""
        sell 101  #3:1
        sell 100  #8:1 #5:1
    """)


@pytest.mark.parametrize(("side", "price"), [(BUY, 101), (BUY, 102), (SELL, 99), (SELL, 98)])
def test_restore_refuses_an_order_that_would_trade(side: int, price: int) -> None:
    drawing = """
        sell 101  #2:3
        buy   99  #1:5
    """
    book = book_of(drawing)

    with pytest.raises(CrossedBook, match="order 3"):
        book.restore(3, 3, side, price, 1)

    assert draw(book) == drawn(drawing)
    assert 3 not in book


def test_restore_looks_past_a_level_emptied_by_a_cancel() -> None:
    book = book_of("""
        sell 101  #2:3
        sell 100  #1:5
    """)
    book.cancel(1)

    book.restore(3, 3, BUY, 100, 1)

    assert draw(book) == drawn("""
        sell 101  #2:3
        buy  100  #3:1
    """)


def test_an_id_that_is_in_the_book_is_refused() -> None:
    book = book_of("sell 100  #1:5")

    with pytest.raises(DuplicateOrder):
        book.restore(1, 1, SELL, 101, 1)
    with pytest.raises(DuplicateOrder):
        book.place(1, 1, BUY, 100, 1)

    assert draw(book) == "sell 100  #1:5"
    assert book.last_trade_id == 0


@pytest.mark.parametrize(
    ("side", "price", "quantity"),
    [(BUY, 0, 1), (SELL, -1, 1), (BUY, 1, 0), (SELL, 1, -1), (0, 1, 1)],
)
def test_an_order_that_no_validation_lets_through_stops_the_book(
    side: int, price: int, quantity: int
) -> None:
    book = book_of("sell 100  #1:5")

    with pytest.raises(AssertionError):
        book.place(2, 2, side, price, quantity)
    with pytest.raises(AssertionError):
        book.restore(2, 2, side, price, quantity)

    assert draw(book) == "sell 100  #1:5"


def test_depth_adds_up_levels_and_stops_where_asked() -> None:
    book = book_of(LADDER)

    assert book.depth() == ([(99, 6), (97, 4)], [(101, 5), (103, 5)])
    assert book.depth(1) == ([(99, 6)], [(101, 5)])
    assert book.depth(0) == ([], [])
    assert book.depth(9) == book.depth()


def test_amounts_beyond_64_bits_are_exact() -> None:
    price, quantity = 10**30 + 1, 2**100 + 1
    book = OrderBook()
    book.place(2**80, 1, SELL, price, quantity)

    remaining, fills = book.place(2**80 + 1, 2, BUY, price + 1, 2 * quantity + 1)

    assert fills == (Fill(1, 2**80, 1, price, quantity),)
    assert remaining == quantity + 1
    assert book.depth() == ([(price + 1, quantity + 1)], [])
    book.validate()


def test_validate_sees_a_book_that_contradicts_itself() -> None:
    book = book_of(LADDER)
    book._asks.levels[101].quantity += 1

    with pytest.raises(AssertionError, match="sum at 101"):
        book.validate()
