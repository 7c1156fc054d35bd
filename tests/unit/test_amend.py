"""Amended orders in the engine: who keeps its place, who comes again, and what is not amended."""

from typing import Any

import pytest

from matching.engine import (
    ALREADY_FILLED,
    BUY,
    FILL_LIMIT,
    NOT_IN_BOOK,
    POST_ONLY_WOULD_TRADE,
    SELF_TRADE,
    SELL,
    Amended,
    AmendOrder,
    CancelOrder,
    Command,
    Engine,
    Execution,
    Fill,
    MarketState,
    NotAmended,
    PlaceOrder,
    PlaceStop,
    PlaceWithRules,
    SelfTrade,
    Side,
    UnknownMarket,
)

ADA, EUR = "ADA-USDT", "ADA-EUR"
OWN, OTHER = 1, 2


class Flow:
    """An engine with two markets, and the events it is given, one after the other."""

    def __init__(self, max_fills: int = 100) -> None:
        self.engine = Engine(max_fills=max_fills)
        self.engine.add_market(ADA)
        self.engine.add_market(EUR)
        self.amendments = 0

    def place(
        self, order_id: int, side: Side, price: int, quantity: int, user: int = OTHER
    ) -> Execution:
        return self.apply(PlaceOrder(order_id, user, ADA, side, price, quantity))

    def iceberg(self, order_id: int, side: Side, price: int, quantity: int, part: int) -> Execution:
        order = PlaceWithRules(order_id, OTHER, ADA, side, price, quantity, part=part)
        return self.apply(order)

    def apply(self, command: Command) -> Execution:
        result = self.engine.apply(self.engine.position + 1, command)
        self.engine.validate()
        assert result is not None
        return result

    def offer(self, order_id: int, price: int, change: int, **more: Any) -> object:
        """Amend an order; it may come to nothing."""
        self.amendments += 1
        given = {"amendment_id": self.amendments, "market": ADA, **more}
        command = AmendOrder(order_id=order_id, price=price, change=change, **given)
        offset = self.engine.position + 1
        result = self.engine.amend(offset, command)
        assert self.engine.position == offset
        self.engine.validate()
        return result

    def amend(self, order_id: int, price: int, change: int, **more: Any) -> Amended:
        result = self.offer(order_id, price, change, **more)
        assert isinstance(result, Amended)
        return result

    def why_not(self, order_id: int, price: int, change: int, **more: Any) -> str:
        """Amend an order in vain: return why, and make sure that nothing but the position moves."""
        before, position = self.engine.state_hash(), self.engine.position
        result = self.offer(order_id, price, change, **more)
        assert isinstance(result, NotAmended)
        market = more.get("market", ADA)
        assert result[:4] == (position + 1, position, order_id, market)
        assert self.engine.state_hash() == before
        return result.reason

    def state(self, state: MarketState) -> None:
        position = self.engine.position
        self.engine.change_market(position + 1, ADA, position + 2, state)

    def queue(self) -> list[tuple[int, int, int]]:
        """The live orders by priority: (number, price, lots)."""
        orders = self.engine.book(ADA).orders()
        return [(order.order_id, order.price, order.remaining) for order in orders]

    def asks(self) -> list[tuple[int, int]]:
        return self.engine.book(ADA).depth()[1]


def makers(result: Execution) -> list[tuple[int, int]]:
    return [(fill.maker_order_id, fill.quantity) for fill in result.fills]


def three_asks() -> Flow:
    """The first two at one price."""
    flow = Flow()
    flow.place(1, SELL, 100, 5, user=OWN)
    flow.place(2, SELL, 100, 3)
    flow.place(3, SELL, 101, 2)
    return flow


def test_with_fewer_lots_at_its_price_an_order_keeps_its_place() -> None:
    flow = three_asks()
    result = flow.amend(1, 100, -2)
    expected = Execution(ADA, 3, 2, 1, OWN, SELL, 100, "open", "", 0, ())
    assert result == Amended(expected, price=100, remaining=5)
    assert flow.queue() == [(1, 100, 3), (2, 100, 3), (3, 101, 2)]
    assert flow.asks() == [(100, 6), (101, 2)]


def test_an_order_that_is_amended_to_what_it_is_stays_as_it_is() -> None:
    flow = three_asks()
    before = flow.engine.state_hash()
    result = flow.amend(1, 100, 0)
    assert result == Amended(
        Execution(ADA, 3, 2, 1, OWN, SELL, 100, "open", "", 0, ()), price=100, remaining=5
    )
    assert flow.engine.state_hash() == before


def test_with_more_lots_it_comes_to_the_back() -> None:
    flow = three_asks()
    result = flow.amend(1, 100, 1)
    expected = Execution(ADA, 3, 2, 1, OWN, SELL, 100, "open", "", 0, ())
    assert result == Amended(expected, price=100, remaining=5)
    assert flow.queue() == [(2, 100, 3), (1, 100, 6), (3, 101, 2)]


@pytest.mark.parametrize("change", [-2, 0, 2])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_at_another_price_it_stands_behind_those_that_are_there(side: Side, change: int) -> None:
    flow = Flow()
    flow.place(1, side, 100, 5)
    flow.place(2, side, 100 + side, 3)
    flow.place(3, side, 100 + side, 3)
    result = flow.amend(1, 100 + side, change)
    assert (result.execution.price, result.execution.status) == (100 + side, "open")
    assert result[1:] == (100, 5)
    assert [number for number, _, _ in flow.queue()] == [2, 3, 1]
    assert flow.queue()[2] == (1, 100 + side, 5 + change)
    assert flow.engine.book(ADA).find(1) is not None
    assert flow.amend(1, 100, 0).price == 100 + side


def test_an_order_that_has_traded_is_amended_as_to_what_is_left_of_it() -> None:
    flow = three_asks()
    flow.place(4, BUY, 100, 4)
    assert flow.amend(1, 102, 2) == Amended(
        Execution(ADA, 4, 3, 1, OWN, SELL, 102, "open", "", 0, ()), price=100, remaining=1
    )
    assert flow.queue()[-1] == (1, 102, 3)


def test_at_a_price_that_reaches_the_others_it_trades_and_the_rest_rests() -> None:
    flow = three_asks()
    flow.place(4, BUY, 98, 4, user=OWN)
    result = flow.amend(4, 100, 6)
    fills = (Fill(1, 1, OWN, 100, 5), Fill(2, 2, OTHER, 100, 3))
    assert result == Amended(
        Execution(ADA, 4, 3, 4, OWN, BUY, 100, "partially_filled", "", 0, fills), 98, 4
    )
    assert flow.queue() == [(4, 100, 2), (3, 101, 2)]
    whole = flow.amend(3, 99, 0)
    assert (whole.execution.status, makers(whole.execution)) == ("filled", [(4, 2)])
    assert whole.execution.fills[0].price == 100
    assert flow.queue() == []


def test_it_stays_its_users() -> None:
    flow = three_asks()
    assert [flow.amend(number, 103, 0).execution.user_id for number in (1, 2)] == [OWN, OTHER]
    users = [(order.order_id, order.user_id) for order in flow.engine.book(ADA).orders()]
    assert users == [(3, OTHER), (1, OWN), (2, OTHER)]


def test_what_it_could_trade_beyond_the_most_fills_is_canceled() -> None:
    flow = Flow(max_fills=2)
    for number in (1, 2, 3):
        flow.place(number, SELL, 100, 1)
    flow.place(4, BUY, 90, 5)
    execution = flow.amend(4, 100, 0).execution
    assert (execution.status, execution.reason) == ("canceled", FILL_LIMIT)
    assert (execution.canceled_quantity, len(execution.fills)) == (3, 2)
    assert flow.queue() == [(3, 100, 1)]


def test_its_trades_elect_stop_orders() -> None:
    flow = three_asks()
    flow.apply(PlaceStop(4, OTHER, ADA, BUY, 105, 1, stop_price=100))
    flow.place(5, BUY, 90, 1)
    assert flow.amend(5, 100, 0).execution.elected == (4,)


def test_its_own_rule_prevents_self_trades() -> None:
    for prevention, status, left in (
        ("none", "filled", [(1, 100, 1), (2, 100, 3), (3, 101, 2)]),
        ("cancel_taker", "canceled", [(1, 100, 5), (2, 100, 3), (3, 101, 2)]),
        ("cancel_maker", "partially_filled", [(4, 100, 1), (3, 101, 2)]),
        ("cancel_both", "canceled", [(2, 100, 3), (3, 101, 2)]),
        ("decrement_and_cancel", "canceled", [(1, 100, 1), (2, 100, 3), (3, 101, 2)]),
    ):
        flow = three_asks()
        flow.place(4, BUY, 90, 4, user=OWN)
        execution = flow.amend(4, 100, 0, prevention=prevention).execution
        assert (execution.status, flow.queue()) == (status, left), prevention
        assert execution.reason == (SELF_TRADE if status == "canceled" else "")


def test_a_prevented_self_trade_is_told() -> None:
    flow = three_asks()
    flow.place(4, BUY, 90, 2, user=OWN)
    execution = flow.amend(4, 100, 5, prevention="decrement_and_cancel").execution
    assert execution.self_trades == (SelfTrade(1, 100, 5, canceled=False),)
    assert (execution.prevented_quantity, makers(execution)) == (5, [(2, 2)])
    assert (execution.status, execution.canceled_quantity) == ("canceled", 0)


@pytest.mark.parametrize("change", [-5, -6])
@pytest.mark.parametrize("price", [99, 100])
def test_an_order_of_which_nothing_would_be_left_is_not_amended(price: int, change: int) -> None:
    flow = three_asks()
    assert flow.why_not(1, price, change) == ALREADY_FILLED
    flow.place(4, BUY, 98, 5)
    assert flow.why_not(4, 100, change, post_only=True) == ALREADY_FILLED
    flow.state("post_only")
    assert flow.why_not(4, 100, change) == ALREADY_FILLED


def test_what_is_not_in_the_book_is_not_amended() -> None:
    flow = three_asks()
    flow.place(4, BUY, 100, 6)
    flow.apply(CancelOrder(2, ADA))
    flow.place(5, SELL, 110, 1)
    flow.apply(PlaceStop(6, OTHER, ADA, SELL, 90, 1, stop_price=95))
    assert flow.apply(PlaceStop(7, OTHER, ADA, SELL, 90, 1, stop_price=120)).elected == (7,)
    for number in (1, 2, 4, 6, 7, 99):
        assert flow.why_not(number, 100, 1) == NOT_IN_BOOK
    assert flow.why_not(5, 110, 1, market=EUR) == NOT_IN_BOOK
    flow.amend(5, 110, 1)


@pytest.mark.parametrize("state", ["cancel_only", "halted"])
def test_a_market_that_takes_no_orders_amends_none(state: MarketState) -> None:
    flow = three_asks()
    flow.state(state)
    for price, change in ((100, -1), (100, 0), (100, 1), (102, 0), (100, -5)):
        assert flow.why_not(1, price, change) == f"market_{state}"
    assert flow.why_not(99, 100, 1) == NOT_IN_BOOK
    flow.state("open")
    flow.amend(1, 100, 1)


def test_on_a_post_only_market_it_is_amended_unless_it_would_trade() -> None:
    flow = three_asks()
    flow.place(4, BUY, 98, 4)
    flow.state("post_only")
    for post_only in (False, True):
        assert flow.why_not(4, 100, 0, post_only=post_only) == "market_post_only"
        assert flow.why_not(4, 120, -3, post_only=post_only) == "market_post_only"
    flow.amend(4, 99, 3)
    flow.amend(4, 99, -1)
    assert flow.queue()[0] == (4, 99, 6)


def test_a_post_only_order_is_amended_unless_it_would_trade() -> None:
    flow = three_asks()
    flow.place(4, BUY, 98, 4)
    assert flow.why_not(4, 100, 0, post_only=True) == POST_ONLY_WOULD_TRADE
    flow.amend(4, 99, 3, post_only=True)
    flow.amend(4, 99, -1, post_only=True)
    assert flow.queue()[0] == (4, 99, 6)
    assert makers(flow.amend(4, 100, 0).execution) == [(1, 5), (2, 1)]


def test_of_an_iceberg_what_is_seen_is_taken_first() -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 11, part=4)
    flow.place(2, SELL, 100, 1)
    result = flow.amend(1, 100, -2)
    assert (result.remaining, result.execution.requeued) == (11, ())
    assert flow.queue() == [(1, 100, 9), (2, 100, 1)]
    assert flow.asks() == [(100, 1 + 1)]


@pytest.mark.parametrize(("change", "shown"), [(-3, 4), (-4, 3), (-7, 4), (-9, 2)])
def test_an_iceberg_of_which_nothing_is_seen_any_more_comes_to_the_back(
    change: int, shown: int
) -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 11, part=4)
    flow.place(2, SELL, 100, 1)
    result = flow.amend(1, 100, change)
    assert result == Amended(
        Execution(ADA, 2, 1, 1, OTHER, SELL, 100, "open", "", 0, (), requeued=(1,)), 100, 11
    )
    assert flow.queue() == [(2, 100, 1), (1, 100, 11 + change)]
    assert flow.asks() == [(100, 1 + shown)]


def test_an_iceberg_that_comes_again_shows_as_much_at_a_time_as_before() -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 10, part=4)
    assert flow.amend(1, 99, 1).execution.requeued == ()
    assert flow.asks() == [(99, 3)]
    assert flow.queue() == [(1, 99, 11)]


def test_an_iceberg_that_hides_nothing_any_more_is_one_all_the_same() -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 6, part=4)
    flow.iceberg(2, SELL, 101, 4, part=4)
    flow.place(3, BUY, 100, 3)
    assert flow.asks() == [(100, 3), (101, 4)]
    flow.amend(1, 100, 6)
    flow.amend(2, 101, 6)
    assert flow.asks() == [(100, 1), (101, 2)]
    assert makers(flow.place(4, BUY, 101, 19)) == [
        (1, 1), (1, 4), (1, 4), (2, 2), (2, 4), (2, 4),
    ]  # fmt: skip
    assert flow.queue() == []
    assert not flow.engine.book(ADA)._icebergs


def test_a_book_reduces_an_order_by_some_of_its_lots() -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 6, part=4)
    book = flow.engine.book(ADA)
    for quantity in (-1, 0, 6, 7):
        with pytest.raises(AssertionError):
            book.reduce(1, quantity)
    assert flow.queue() == [(1, 100, 6)]
    assert flow.asks() == [(100, 2)]


def test_the_icebergs_that_it_meets_are_named_and_it_itself_is_not() -> None:
    flow = Flow()
    flow.iceberg(1, SELL, 100, 8, part=4)
    flow.iceberg(2, BUY, 99, 10, part=2)
    execution = flow.amend(2, 100, -4).execution
    assert (makers(execution), execution.requeued) == ([(1, 4), (1, 2)], (1,))
    assert execution.status == "filled"


def test_an_amendment_counts_once_whatever_has_become_of_it() -> None:
    flow = three_asks()
    flow.amend(1, 100, 5, amendment_id=7)
    assert flow.why_not(1, 100, -50, amendment_id=8) == ALREADY_FILLED
    before = flow.engine.state_hash()
    for amendment_id in (7, 8):
        assert flow.offer(1, 100, 5, amendment_id=amendment_id) is None
    assert flow.engine.state_hash() == before
    flow.amend(1, 100, 5, amendment_id=9)


def test_amendments_and_orders_have_numbers_of_their_own() -> None:
    flow = three_asks()
    flow.amend(1, 100, 5, amendment_id=1)
    flow.amend(1, 100, 5, amendment_id=44)
    flow.place(44, SELL, 105, 1)
    assert flow.engine.apply(9, PlaceOrder(1, OWN, ADA, SELL, 100, 5)) is None


def test_amendments_seen_are_forgotten_through_an_offset() -> None:
    flow = three_asks()
    flow.amend(1, 100, 5, amendment_id=7)
    flow.amend(1, 100, 5, amendment_id=8)
    assert flow.engine.seen_count == 5
    flow.engine.forget_seen(3)
    assert flow.engine.seen_count == 1
    assert flow.offer(1, 100, 5, amendment_id=8) is None
    flow.amend(1, 100, 5, amendment_id=7)


def test_an_unusable_record_of_an_amendment_refuses_it_once() -> None:
    flow = three_asks()
    engine = flow.engine
    assert engine.refuse_amendment(3, 7) is True
    assert engine.refuse_amendment(4, 7) is False
    assert engine.position == 4
    assert flow.offer(1, 100, 5, amendment_id=7) is None
    flow.amend(1, 100, 5, amendment_id=8)
    assert engine.refuse_amendment(7, 8) is False
    with pytest.raises(ValueError, match="offset 7 is not beyond position 7"):
        engine.refuse_amendment(7, 9)
    with pytest.raises(AssertionError):
        engine.refuse_amendment(8, 0)
    assert (engine.position, engine.seen_count) == (7, 5)
    assert engine.refuse(8, 7, ADA) is True, "an order of the same number"
    engine.validate()


@pytest.mark.parametrize(
    ("offset", "command", "error"),
    [
        (2, AmendOrder(1, 1, ADA, 101, 1), ValueError),
        (3, AmendOrder(1, 1, "ETH-USDT", 101, 1), UnknownMarket),
        (3, AmendOrder(1, 1, ADA, 0, 1), AssertionError),
        (3, AmendOrder(1, 1, ADA, -1, 0), AssertionError),
        (3, AmendOrder(1, 0, ADA, 101, 1), AssertionError),
        (3, AmendOrder(1, -1, ADA, 101, 1), AssertionError),
    ],
)
def test_an_impossible_amendment_leaves_the_state_alone(
    offset: int, command: AmendOrder, error: type[Exception]
) -> None:
    engine = three_asks().engine
    before = engine.state_hash()
    with pytest.raises(error):
        engine.amend(offset, command)
    assert engine.state_hash() == before
    assert (engine.position, engine.seen_count) == (2, 3)
    assert isinstance(engine.amend(3, AmendOrder(1, 1, ADA, 101, 1)), Amended)
