"""Orders with rules: how long they are good for, and what happens when they meet their own user's."""

import pytest

from matching.engine import (
    BUY,
    FILL_LIMIT,
    FOK_NOT_FILLABLE,
    IOC_REMAINDER,
    POST_ONLY_WOULD_TRADE,
    SELF_TRADE,
    SELL,
    CancelOrder,
    Engine,
    Execution,
    PlaceOrder,
    PlaceWithRules,
    Prevention,
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

    def sell(self, number: int, quantity: int, price: int = 100, user: int = OTHER) -> None:
        self.engine.apply(number, PlaceOrder(number, user, ADA, SELL, price, quantity))

    def buy(
        self,
        number: int,
        quantity: int,
        price: int = 100,
        *,
        time_in_force: TimeInForce = "gtc",
        post_only: bool = False,
        prevention: Prevention = "none",
    ) -> Execution:
        """Have user `OWN` buy."""
        order = PlaceWithRules(
            number, OWN, ADA, BUY, price, quantity, time_in_force, post_only, prevention
        )
        result = self.engine.apply(number, order)
        assert result is not None
        self.engine.validate()
        return result

    @property
    def depth(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return self.engine.book(ADA).depth()


def end_of(result: Execution) -> tuple[str, str, int]:
    return result.status, result.reason, result.canceled_quantity


def test_what_an_ioc_order_cannot_trade_at_once_is_canceled() -> None:
    book = Book()
    book.sell(1, 3)
    book.sell(2, 3, price=101)
    result = book.buy(3, 5, time_in_force="ioc")
    assert end_of(result) == ("canceled", IOC_REMAINDER, 2)
    assert [fill.quantity for fill in result.fills] == [3]
    assert book.depth == ([], [(101, 3)])


def test_an_ioc_order_that_meets_nobody_is_canceled_whole() -> None:
    assert end_of(Book().buy(1, 5, time_in_force="ioc")) == ("canceled", IOC_REMAINDER, 5)


def test_a_fok_order_trades_whole_or_leaves_no_trace() -> None:
    book = Book()
    book.sell(1, 3)
    book.sell(2, 3, price=101)
    before = book.engine.state_hash()
    too_much = book.buy(3, 7, price=101, time_in_force="fok")
    assert end_of(too_much) == ("canceled", FOK_NOT_FILLABLE, 7)
    assert too_much.fills == ()
    assert book.engine.state_hash() == before
    assert end_of(book.buy(4, 6, price=101, time_in_force="fok")) == ("filled", "", 0)


def test_a_fok_order_does_not_count_what_is_its_own_users() -> None:
    book = Book()
    book.sell(1, 3)
    book.sell(2, 3, user=OWN)
    book.sell(3, 3)
    before = book.engine.state_hash()
    for number, prevention in enumerate(("cancel_taker", "cancel_maker", "cancel_both"), start=4):
        result = book.buy(number, 5, time_in_force="fok", prevention=prevention)  # type: ignore[arg-type]
        assert end_of(result) == ("canceled", SELF_TRADE, 5)
        assert (result.fills, result.self_trades) == ((), ())
    assert book.engine.state_hash() == before
    assert end_of(book.buy(7, 3, time_in_force="fok", prevention="cancel_both"))[0] == "filled"
    assert end_of(book.buy(8, 6, time_in_force="fok"))[0] == "filled"


def test_a_fok_order_counts_no_more_makers_than_it_may_trade_with() -> None:
    book = Book(max_fills=2)
    for number in (1, 2, 3):
        book.sell(number, 1)
    assert end_of(book.buy(4, 3, time_in_force="fok")) == ("canceled", FILL_LIMIT, 3)
    assert end_of(book.buy(5, 2, time_in_force="fok")) == ("filled", "", 0)


def test_a_fok_order_sees_past_prices_whose_orders_are_canceled() -> None:
    book = Book()
    for number in range(1, 8):
        book.sell(number, 1, price=90 + number)
    for number in (2, 3, 5):
        book.engine.apply(number + 10, CancelOrder(number, ADA))
    assert end_of(book.buy(30, 5, time_in_force="fok"))[1] == FOK_NOT_FILLABLE
    result = book.buy(31, 4, time_in_force="fok")
    assert [fill.price for fill in result.fills] == [91, 94, 96, 97]


def test_a_post_only_order_rests_or_is_canceled() -> None:
    book = Book()
    book.sell(1, 3)
    assert end_of(book.buy(2, 1, post_only=True)) == ("canceled", POST_ONLY_WOULD_TRADE, 1)
    assert end_of(book.buy(3, 1, price=99, post_only=True)) == ("open", "", 0)
    assert book.depth == ([(99, 1)], [(100, 3)])


def test_without_prevention_orders_of_one_user_trade() -> None:
    book = Book()
    book.sell(1, 3, user=OWN)
    assert end_of(book.buy(2, 3)) == ("filled", "", 0)


def test_cancel_taker_lets_the_trades_before_stand() -> None:
    book = Book()
    book.sell(1, 1)
    book.sell(2, 3, user=OWN)
    book.sell(3, 9)
    result = book.buy(4, 5, prevention="cancel_taker")
    assert end_of(result) == ("canceled", SELF_TRADE, 4)
    assert (len(result.fills), result.self_trades) == (1, ())
    assert book.depth == ([], [(100, 12)])


def test_cancel_maker_goes_on_behind_it() -> None:
    book = Book()
    book.sell(1, 1)
    book.sell(2, 3, user=OWN)
    book.sell(3, 2)
    result = book.buy(4, 5, prevention="cancel_maker")
    assert end_of(result) == ("partially_filled", "", 0)
    assert result.self_trades == (SelfTrade(2, 100, 3, True),)
    assert book.depth == ([(100, 2)], [])


def test_cancel_both_takes_both_out() -> None:
    book = Book()
    book.sell(1, 1)
    book.sell(2, 3, user=OWN)
    book.sell(3, 2)
    result = book.buy(4, 5, prevention="cancel_both")
    assert end_of(result) == ("canceled", SELF_TRADE, 4)
    assert result.self_trades == (SelfTrade(2, 100, 3, True),)
    assert book.depth == ([], [(100, 2)])


@pytest.mark.parametrize(
    ("wanted", "end", "taken", "depth"),
    [
        (2, ("canceled", SELF_TRADE, 0), 2, ([], [(100, 1)])),  # the maker lives on
        (3, ("canceled", SELF_TRADE, 0), 3, ([], [])),
        (5, ("open", "", 0), 3, ([(100, 2)], [])),  # the taker does
    ],
)
def test_decrement_takes_the_smaller_rest_from_both(
    wanted: int, end: tuple[str, str, int], taken: int, depth: object
) -> None:
    book = Book()
    book.sell(1, 3, user=OWN)
    result = book.buy(2, wanted, prevention="decrement_and_cancel")
    assert end_of(result) == end
    assert result.self_trades == (SelfTrade(1, 100, taken, False),)
    assert result.prevented_quantity == taken
    assert book.depth == depth


def test_what_is_reduced_and_then_traded_whole_is_canceled_not_filled() -> None:
    book = Book()
    book.sell(1, 3, user=OWN)
    book.sell(2, 2)
    result = book.buy(3, 5, prevention="decrement_and_cancel")
    assert end_of(result) == ("canceled", SELF_TRADE, 0)
    assert (result.prevented_quantity, len(result.fills)) == (3, 1)


def test_prevented_trades_count_among_the_most_fills() -> None:
    book = Book(max_fills=3)
    for number in (1, 2, 3, 4):
        book.sell(number, 1, user=OWN if number % 2 else OTHER)
    result = book.buy(5, 9, prevention="cancel_maker")
    assert end_of(result) == ("canceled", FILL_LIMIT, 8)
    assert (len(result.fills), len(result.self_trades)) == (1, 2)
    assert book.depth == ([], [(100, 1)])


def test_an_order_that_came_before_is_not_placed_again() -> None:
    book = Book()
    book.buy(1, 1)
    again = PlaceWithRules(1, OWN, ADA, BUY, 100, 1)
    assert book.engine.apply(2, again) is None
    book.engine.forget_seen(2)
    assert book.engine.apply(3, again) is None, "it rests"
    assert book.engine.position == 3


def test_a_post_only_order_that_may_not_rest_is_no_order() -> None:
    with pytest.raises(AssertionError):
        Book().buy(1, 1, time_in_force="ioc", post_only=True)
