"""What a new order does to a book, case by case (drawn as `drawn_book` says).

Every case starts from the same ladder, whose latest trade is number 7, and places order #9.
"""

import pytest

from matching.engine import BUY, SELL
from tests.unit.drawn_book import LADDER, book_of, draw, drawn, fills_of


@pytest.mark.parametrize(
    ("name", "side", "price", "quantity", "remaining", "fills", "after"),
    [
        (
            "a buy below the best ask rests",
            BUY,
            100,
            4,
            4,
            [],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2
            buy  100  #9:4
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "a sell above the best bid rests behind the orders of its price",
            SELL,
            101,
            4,
            4,
            [],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2 #9:4
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "the oldest at the best price trades first, and keeps its place with what it has left",
            BUY,
            101,
            2,
            0,
            [(8, 2, 101, 2)],
            """
            sell 103  #4:5
            sell 101  #2:1 #3:2
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "an exact fill takes the maker out and leaves the taker nothing to rest",
            SELL,
            99,
            5,
            0,
            [(8, 1, 99, 5)],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2
            buy   99  #5:1
            buy   97  #6:4
            """,
        ),
        (
            "an exact fill of a whole level takes the level out",
            BUY,
            101,
            5,
            0,
            [(8, 2, 101, 3), (9, 3, 101, 2)],
            """
            sell 103  #4:5
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "a buy walks up the levels, each trade at the maker's price, never beyond its limit",
            BUY,
            103,
            7,
            0,
            [(8, 2, 101, 3), (9, 3, 101, 2), (10, 4, 103, 2)],
            """
            sell 103  #4:3
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "a sell walks down the levels",
            SELL,
            97,
            8,
            0,
            [(8, 1, 99, 5), (9, 5, 99, 1), (10, 6, 97, 2)],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2
            buy   97  #6:2
            """,
        ),
        (
            "price improvement: a limit far through the book still trades at the makers' prices",
            SELL,
            1,
            6,
            0,
            [(8, 1, 99, 5), (9, 5, 99, 1)],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2
            buy   97  #6:4
            """,
        ),
        (
            "what is left beyond the limit rests at the limit, between the levels",
            BUY,
            102,
            8,
            3,
            [(8, 2, 101, 3), (9, 3, 101, 2)],
            """
            sell 103  #4:5
            buy  102  #9:3
            buy   99  #1:5 #5:1
            buy   97  #6:4
            """,
        ),
        (
            "an order that takes the whole side rests with the remainder",
            SELL,
            96,
            100,
            90,
            [(8, 1, 99, 5), (9, 5, 99, 1), (10, 6, 97, 4)],
            """
            sell 103  #4:5
            sell 101  #2:3 #3:2
            sell  96  #9:90
            """,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_place(
    name: str,
    side: int,
    price: int,
    quantity: int,
    remaining: int,
    fills: list[tuple[int, int, int, int]],
    after: str,
) -> None:
    book = book_of(LADDER, last_trade_id=7)

    assert fills_of(book, side, price, quantity) == (remaining, fills), name

    assert draw(book) == drawn(after), name
    assert book.last_trade_id == 7 + len(fills)
