"""Stop orders in the engine: who waits, who is elected, in what turn, and when they come."""

from typing import Any

import pytest

from matching.engine import (
    BUY,
    SELL,
    TOO_MANY_STOPS,
    CancelOrder,
    Command,
    Engine,
    Execution,
    MarketState,
    PlaceOrder,
    PlaceStop,
    PlaceWithRules,
    Prevention,
    PriceHasCome,
    Side,
    TriggerOrder,
    UnknownMarket,
)
from matching.engine.levels import SLACK
from matching.engine.stops import StopBook

BTC = "BTC-USDT"


class Flow:
    """An engine with one market, and the events it is given, one after the other."""

    def __init__(self, engine: Engine | None = None, *, last_price: int = 0) -> None:
        self.engine = engine or Engine()
        if BTC not in self.engine.markets:
            self.engine.add_market(BTC, 1 if last_price else 0, last_price=last_price)

    def apply(self, command: Command) -> Execution:
        result = self.offer(command)
        assert result is not None
        return result

    def offer(self, command: Command) -> Execution | None:
        """As `apply`, of an event that may change nothing."""
        result = self.engine.apply(self.engine.position + 1, command)
        self.engine.validate()
        return result

    def place(self, order_id: int, side: Side, price: int, quantity: int = 1) -> Execution:
        return self.apply(PlaceOrder(order_id, 100 + order_id, BTC, side, price, quantity))

    def stop(
        self, order_id: int, side: Side, stop_price: int, price: int = 100, **rules: Any
    ) -> Execution:
        return self.apply(stop(order_id, side, stop_price, price, **rules))

    def trade_at(self, price: int, order_id: int) -> Execution:
        """Make a trade of two new orders; return the result of the second."""
        self.place(order_id, SELL, price)
        return self.place(order_id + 1, BUY, price)

    def trigger(self, order_id: int) -> Execution:
        return self.apply(TriggerOrder(order_id, BTC))


def stop(order_id: int, side: Side, stop_price: int, price: int = 100, **rules: Any) -> PlaceStop:
    return PlaceStop(order_id, 100 + order_id, BTC, side, price, 1, stop_price, **rules)


def test_a_stop_order_waits_and_is_elected_by_a_trade_at_its_price() -> None:
    flow = Flow()
    waiting = flow.stop(1, BUY, 105, price=107)
    assert (waiting.status, waiting.elected) == ("untriggered", ())
    assert flow.trade_at(104, 10).elected == ()

    assert flow.trade_at(105, 20).elected == (1,)

    # It has not come: its trigger brings it.
    assert 1 not in flow.engine.book(BTC)
    came = flow.trigger(1)
    assert (came.order_id, came.status, came.price) == (1, "open", 107)
    assert 1 in flow.engine.book(BTC)


def test_a_sell_waits_for_its_price_or_a_lower_one() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, SELL, 95)
    assert flow.trade_at(96, 10).elected == ()
    assert flow.trade_at(94, 20).elected == (1,)


def test_before_any_trade_no_price_has_come() -> None:
    flow = Flow()
    assert flow.stop(1, SELL, 1_000_000).elected == ()
    assert flow.stop(2, BUY, 1).elected == ()


@pytest.mark.parametrize(("side", "stop_price"), [(BUY, 100), (BUY, 99), (SELL, 100), (SELL, 101)])
def test_one_whose_price_has_come_already_is_elected_at_once(side: Side, stop_price: int) -> None:
    flow = Flow(last_price=100)
    result = flow.stop(1, side, stop_price)
    assert (result.status, result.elected) == ("untriggered", (1,))
    assert flow.trigger(1).status == "open"


def test_the_nearest_come_first_and_at_one_price_the_oldest() -> None:
    flow = Flow(last_price=100)
    for order_id, stop_price in ((1, 103), (2, 102), (3, 103), (4, 101), (5, 104)):
        flow.stop(order_id, BUY, stop_price)

    assert flow.trade_at(103, 10).elected == (4, 2, 1, 3)


def test_every_trade_of_an_order_counts_in_its_turn() -> None:
    # Given asks below and above the last price, and stops on both sides
    flow = Flow(last_price=100)
    flow.place(10, SELL, 98)
    flow.place(11, SELL, 103)
    for order_id, side, stop_price in ((1, SELL, 98), (2, SELL, 99), (3, BUY, 101), (4, SELL, 97)):
        flow.stop(order_id, side, stop_price)

    # When one order trades down first, and then up
    result = flow.place(12, BUY, 103, quantity=2)

    # Then each trade elects its own
    assert [fill.price for fill in result.fills] == [98, 103]
    assert result.elected == (2, 1, 3)


def test_a_triggered_order_is_younger_than_those_that_rest_at_its_price() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 105, price=90)
    flow.place(2, BUY, 90)
    flow.trade_at(105, 10)
    flow.place(3, BUY, 90)
    flow.trigger(1)

    assert [order.order_id for order in flow.engine.book(BTC).orders()] == [2, 3, 1]


def test_a_triggered_order_trades_and_elects_others() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 101, price=110)
    flow.stop(2, BUY, 102, price=110)
    flow.trade_at(101, 10)
    flow.place(20, SELL, 102)

    result = flow.trigger(1)

    assert (result.status, result.elected) == ("filled", (2,))
    assert [fill.maker_order_id for fill in result.fills] == [20]


@pytest.mark.parametrize("elected", [False, True])
def test_a_cancel_takes_it_out_whether_it_is_elected_or_not(elected: bool) -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 100 if elected else 105, price=120)

    result = flow.apply(CancelOrder(1, BTC))

    assert (result.status, result.canceled_quantity, result.price) == ("canceled", 1, 120)
    assert flow.offer(TriggerOrder(1, BTC)) is None
    assert flow.trade_at(110, 10).elected == ()


def test_a_trigger_of_what_is_not_elected_changes_nothing() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 105)
    flow.stop(2, BUY, 100)
    before = flow.engine.state_hash()
    assert flow.offer(TriggerOrder(1, BTC)) is None
    assert flow.offer(TriggerOrder(77, BTC)) is None
    assert flow.engine.state_hash() == before
    flow.trigger(2)
    assert flow.offer(TriggerOrder(2, BTC)) is None
    with pytest.raises(UnknownMarket):
        flow.apply(TriggerOrder(2, "ETH-USDT"))


def test_a_stop_order_counts_once() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 105)
    assert flow.offer(stop(1, BUY, 105)) is None
    # ... also when only its waiting tells: what is settled has been forgotten
    flow.engine.forget_seen(flow.engine.position)
    assert flow.offer(stop(1, BUY, 105)) is None
    assert not flow.engine.refuse(flow.engine.position + 1, 1, BTC)


@pytest.mark.parametrize("state", ["halted", "cancel_only"])
def test_a_market_that_takes_no_orders_takes_no_stops_and_no_triggers(
    state: MarketState,
) -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 100)
    flow.stop(2, BUY, 105)
    flow.engine.change_market(flow.engine.position + 1, BTC, 1, state)

    new, came = flow.stop(3, BUY, 105), flow.trigger(1)

    assert (new.status, new.reason) == (came.status, came.reason) == ("canceled", f"market_{state}")
    assert flow.apply(CancelOrder(2, BTC)).status == "canceled"


def test_on_a_post_only_market_a_stop_waits_and_its_trigger_may_only_rest() -> None:
    flow = Flow(last_price=100)
    flow.place(10, SELL, 103)
    flow.engine.change_market(flow.engine.position + 1, BTC, 1, "post_only")
    flow.stop(1, BUY, 100, price=103)
    flow.stop(2, BUY, 100, price=102)

    assert flow.trigger(1).reason == "market_post_only"
    assert flow.trigger(2).status == "open"


def test_no_more_wait_than_one_trade_may_elect() -> None:
    flow = Flow(Engine(max_stops=2), last_price=0)
    flow.stop(1, BUY, 105)
    flow.stop(2, SELL, 95)

    result = flow.stop(3, BUY, 106)

    assert (result.status, result.reason) == ("canceled", TOO_MANY_STOPS)
    assert result.canceled_quantity == 1
    flow.apply(CancelOrder(1, BTC))
    assert flow.stop(4, BUY, 106).status == "untriggered"


def test_a_triggered_order_keeps_its_rules() -> None:
    flow = Flow(last_price=100)
    maker = PlaceWithRules(50, 101, BTC, SELL, 100, 1)
    prevention: Prevention = "cancel_taker"
    flow.apply(maker)
    flow.stop(1, BUY, 100, price=100, prevention=prevention)
    flow.stop(2, BUY, 100, price=100, post_only=True)
    flow.stop(3, BUY, 100, price=90, time_in_force="ioc")

    assert flow.trigger(1).reason == "self_trade"
    assert flow.trigger(2).reason == "post_only_would_trade"
    assert flow.trigger(3).reason == "ioc_remainder"


def test_one_that_waits_though_its_price_has_come_is_not_restored() -> None:
    engine = Engine()
    engine.add_market(BTC, 1, last_price=100)
    with pytest.raises(PriceHasCome):
        engine.restore_stop(stop(1, BUY, 100), elected=False)
    engine.restore_stop(stop(1, BUY, 100), elected=True)
    engine.validate()


def test_a_market_that_is_emptied_has_no_stops() -> None:
    flow = Flow(last_price=100)
    flow.stop(1, BUY, 105)
    flow.stop(2, BUY, 100)
    flow.engine.empty_book(BTC)
    flow.engine.validate()
    assert flow.engine.book(BTC).last_price == 100
    assert list(flow.engine.stops(BTC).orders()) == []


def test_the_hash_knows_the_last_price_and_who_is_elected() -> None:
    def hash_of(last_price: int, stops: list[tuple[PlaceStop, bool]]) -> str:
        engine = Engine()
        engine.add_market(BTC, 1, last_price=last_price)
        for order, elected in stops:
            engine.restore_stop(order, elected=elected)
        return engine.state_hash()

    one = stop(1, BUY, 105)
    hashes = {
        hash_of(100, []),
        hash_of(101, []),
        hash_of(100, [(one, False)]),
        hash_of(100, [(one, True)]),
        hash_of(100, [(one, False), (stop(2, BUY, 105), False)]),
        hash_of(100, [(stop(2, BUY, 105), False), (one, False)]),
    }
    assert len(hashes) == 6


def test_canceled_entries_do_not_gather() -> None:
    stops = StopBook()
    for number in range(1, 2_001):
        stops.add(stop(number, BUY, 100 + number))
        if number > 10:
            stops.cancel(number)
    stops.validate(0)
    assert sum(map(len, stops._heaps.values())) <= 2 * 10 + SLACK
