"""Order books drawn as text, to be read in a test as a trader reads a ladder.

One line per price level, asks above bids, the best prices in the middle; in a level the oldest
order first, each as `#order_id:remaining`:

    sell 102  #4:5
    sell 101  #2:3 #3:1
    buy   99  #1:7
"""

from textwrap import dedent

from matching.engine import BUY, SELL, OrderBook

USER = 100
"""The user of order n is n + USER: so a test sees at once whose order it was."""

EMPTY = ""

LADDER = """
    sell 103  #4:5
    sell 101  #2:3 #3:2
    buy   99  #1:5 #5:1
    buy   97  #6:4
"""

TAKER = 9


def book_of(drawing: str, last_trade_id: int = 0) -> OrderBook:
    """Return the drawn book; levels are restored from the bottom up, orders from left to right."""
    book = OrderBook(last_trade_id)
    for line in reversed(drawn(drawing).splitlines()):
        side, price, *orders = line.split()
        for order in orders:
            order_id, remaining = (int(part) for part in order.removeprefix("#").split(":"))
            book.restore(
                order_id, order_id + USER, BUY if side == "buy" else SELL, int(price), remaining
            )
    book.validate()
    return book


def draw(book: OrderBook) -> str:
    """Return the drawing of a book, checked from inside."""
    book.validate()
    levels: dict[tuple[int, int], list[str]] = {}
    for order in book.orders():
        orders = levels.setdefault((order.side, order.price), [])
        orders.append(f"#{order.order_id}:{order.remaining}")
    rows = [
        (price, f"{'buy' if side == BUY else 'sell':<4} {price:>3}  {' '.join(orders)}")
        for (side, price), orders in levels.items()
    ]
    return "\n".join(row for _, row in sorted(rows, reverse=True))


def drawn(drawing: str) -> str:
    """Return a drawing as `draw` would return it, from an indented one."""
    return dedent(drawing).strip("\n").rstrip()


def fills_of(
    book: OrderBook, side: int, price: int, quantity: int
) -> tuple[int, list[tuple[int, int, int, int]]]:
    """Place order #9; return (remaining, [(trade, maker order, price, quantity)])."""
    remaining, fills = book.place(TAKER, TAKER + USER, side, price, quantity)
    assert all(fill.maker_user_id == fill.maker_order_id + USER for fill in fills)
    return remaining, [
        (fill.trade_id, fill.maker_order_id, fill.price, fill.quantity) for fill in fills
    ]
