"""Icebergs in the book: what is seen, who comes first, and what the others' rules make of them."""

from matching.engine import (
    BUY,
    FILL_LIMIT,
    FOK_NOT_FILLABLE,
    SELL,
    CancelOrder,
    Engine,
    Execution,
    PlaceOrder,
    PlaceWithRules,
    Prevention,
    RestingOrder,
    SelfTrade,
    TimeInForce,
)

ADA = "ADA-USDT"
OWN, OTHER = 1, 2


class Book:
    """An engine with one market; the offset of an order is its number."""

    def __init__(self, max_fills: int = 100) -> None:
        self.engine = Engine(max_fills=max_fills)
        self.engine.add_market(ADA)

    def iceberg(self, number: int, quantity: int, part: int, user: int = OTHER) -> Execution:
        order = PlaceWithRules(number, user, ADA, SELL, 100, quantity, part=part)
        return self.apply(number, order)

    def sell(self, number: int, quantity: int) -> None:
        self.apply(number, PlaceOrder(number, OTHER, ADA, SELL, 100, quantity))

    def buy(
        self,
        number: int,
        quantity: int,
        time_in_force: TimeInForce = "gtc",
        prevention: Prevention = "none",
    ) -> Execution:
        order = PlaceWithRules(
            number, OWN, ADA, BUY, 100, quantity, time_in_force, prevention=prevention
        )
        return self.apply(number, order)

    def apply(self, number: int, command: PlaceOrder | PlaceWithRules | CancelOrder) -> Execution:
        result = self.engine.apply(number, command)
        assert result is not None
        self.engine.validate()
        return result

    def queue(self) -> list[tuple[int, int]]:
        return [(order.order_id, order.remaining) for order in self.engine.book(ADA).orders()]

    def shown(self) -> list[tuple[int, int]]:
        return self.engine.book(ADA).depth()[1]


def makers(result: Execution) -> list[tuple[int, int]]:
    return [(fill.maker_order_id, fill.quantity) for fill in result.fills]


def test_only_a_part_is_seen_and_the_first_is_what_is_left_over() -> None:
    book = Book()
    book.iceberg(1, 10, 4)
    book.iceberg(2, 8, 4)
    assert book.shown() == [(100, 2 + 4)]
    assert book.queue() == [(1, 10), (2, 8)]


def test_the_next_part_comes_behind_the_others_and_a_larger_taker_meets_it_again() -> None:
    book = Book()
    book.iceberg(1, 9, 4)
    book.sell(2, 3)
    result = book.buy(3, 6)
    assert makers(result) == [(1, 1), (2, 3), (1, 2)]
    assert result.requeued == (1,)
    assert book.queue() == [(1, 6)]
    assert book.shown() == [(100, 2)]


def test_a_part_that_is_just_used_up_is_followed_by_the_next_at_once() -> None:
    book = Book()
    book.iceberg(1, 8, 4)
    book.sell(2, 3)
    assert book.buy(3, 4).requeued == (1,)
    assert book.queue() == [(2, 3), (1, 4)]
    assert book.shown() == [(100, 7)]
    assert makers(book.buy(4, 7)) == [(2, 3), (1, 4)]
    assert book.queue() == []


def test_two_icebergs_take_turns() -> None:
    book = Book()
    book.iceberg(1, 6, 2)
    book.iceberg(2, 3, 1)
    result = book.buy(3, 6)
    assert makers(result) == [(1, 2), (2, 1), (1, 2), (2, 1)]
    assert result.requeued == (1, 2)
    assert book.queue() == [(1, 2), (2, 1)]


def test_an_order_that_is_gone_stands_nowhere() -> None:
    book = Book()
    book.iceberg(1, 4, 2)
    assert book.buy(2, 4).requeued == ()


def test_an_iceberg_trades_whole_when_it_comes_and_rests_with_a_part() -> None:
    book = Book()
    book.buy(1, 5)
    result = book.iceberg(2, 12, 3)
    assert makers(result) == [(1, 5)]
    assert (result.status, result.requeued) == ("partially_filled", ())
    assert book.queue() == [(2, 7)]
    assert book.shown() == [(100, 1)]


def test_a_cancel_takes_what_is_hidden_too() -> None:
    book = Book()
    book.iceberg(1, 10, 4)
    assert book.apply(2, CancelOrder(1, ADA)).canceled_quantity == 10
    assert book.shown() == []


def test_a_fill_or_kill_order_counts_what_is_hidden_and_each_part_as_a_trade() -> None:
    for max_fills, quantity, reason in ((3, 6, ""), (2, 6, FILL_LIMIT), (9, 7, FOK_NOT_FILLABLE)):
        book = Book(max_fills)
        book.iceberg(1, 6, 2)
        result = book.buy(2, quantity, "fok")
        assert result.reason == reason
        assert book.queue() == ([] if not reason else [(1, 6)])


def test_a_fill_or_kill_order_counts_the_last_part_once() -> None:
    book = Book()
    book.iceberg(1, 6, 4)
    book.buy(2, 3)
    assert book.shown() == [(100, 3)]
    assert book.buy(3, 4, "fok").reason == FOK_NOT_FILLABLE
    assert book.buy(4, 3, "fok").status == "filled"


def test_a_taker_meets_at_most_so_many_parts() -> None:
    book = Book(max_fills=2)
    book.iceberg(1, 6, 2)
    result = book.buy(2, 6)
    assert (result.status, result.reason, len(result.fills)) == ("canceled", FILL_LIMIT, 2)
    assert book.queue() == [(1, 2)]


def test_a_prevented_self_trade_cancels_all_of_it() -> None:
    book = Book()
    book.iceberg(1, 10, 4, user=OWN)
    result = book.buy(2, 1, prevention="cancel_maker")
    assert result.self_trades == (SelfTrade(1, 100, 10, canceled=True),)


def test_a_decrement_takes_from_all_of_it_and_within_the_visible_part_it_keeps_its_place() -> None:
    book = Book()
    book.iceberg(1, 10, 4, user=OWN)
    book.sell(2, 1)
    first = book.buy(3, 1, prevention="decrement_and_cancel")
    assert (first.requeued, book.queue()) == ((), [(1, 9), (2, 1)])
    second = book.buy(4, 3, prevention="decrement_and_cancel")
    assert second.self_trades == (SelfTrade(1, 100, 3, canceled=False),)
    assert (second.requeued, book.queue()) == ((1,), [(2, 1), (1, 6)])
    assert book.shown() == [(100, 1 + 2)]


def test_what_is_visible_follows_from_what_is_left() -> None:
    book = Book()
    book.iceberg(1, 10, 4)
    book.sell(2, 5)
    book.buy(3, 3)
    restored = Engine(3)
    last = book.engine.book(ADA)
    restored.add_market(ADA, last_trade_id=last.last_trade_id, last_price=last.last_price)
    for order in book.engine.book(ADA).orders():
        order_id, user_id, side, price, remaining, part = order
        restored.restore(ADA, order_id, user_id, side, price, remaining, part)
    assert restored.state_hash() == book.engine.state_hash()
    assert restored.book(ADA).depth() == book.engine.book(ADA).depth()


def test_the_hash_of_a_book_without_icebergs_is_that_of_the_version_before() -> None:
    assert RestingOrder(1, 2, BUY, 3, 4).written() == "1 2 1 3 4"
    assert RestingOrder(1, 2, BUY, 3, 4, 2).written() == "1 2 1 3 4 2"
