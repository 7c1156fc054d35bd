"""What results mean in money. Every asset's movements sum to zero; holds are released exactly."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from balances.settlement import SettlementPlan, plan
from exchange.records import Execution, SelfTrade, Trade

BUYER, SELLER = 1, 2
BUY, SELL = 10, 20


def execution(**fields: Any) -> Execution:
    """A sell of user 2 that came in as order 20 and rests, unless told otherwise."""
    defaults: dict[str, Any] = {
        "event": "new", "market": "ADA-USDT", "epoch": 1, "offset": 5, "previous_offset": 4,
        "order_id": SELL, "user_id": SELLER, "side": "sell", "price": "1.9", "status": "open",
    }  # fmt: skip
    return Execution(**{**defaults, **fields})


def taker_buys(quantity: str, price: str, limit: str, **fields: Any) -> Execution:
    """Order 10 of user 1 comes in at `limit` and takes `quantity` of order 20 at `price`."""
    return execution(
        order_id=BUY, user_id=BUYER, side="buy", price=limit, status="filled",
        trades=(trade(quantity, price, "buy", maker=SELLER),), **fields,
    )  # fmt: skip


def taker_sells(quantity: str, price: str, limit: str, **fields: Any) -> Execution:
    """Order 20 of user 2 comes in at `limit` and takes `quantity` of order 10 at `price`."""
    return execution(
        price=limit,
        trades=(trade(quantity, price, "sell", maker=BUYER),),
        status="filled",
        **fields,
    )


def trade(quantity: str, price: str, taker_side: Any, *, maker: int, number: int = 1) -> Trade:
    return Trade(
        trade_id=number, buy_order_id=BUY, sell_order_id=SELL, maker_user_id=maker,
        taker_side=taker_side, price=price, quantity=quantity,
    )  # fmt: skip


def changes(planned: SettlementPlan) -> dict[tuple[int, str], tuple[Decimal, Decimal]]:
    """(available, held) by user and asset."""
    found: dict[tuple[int, str], tuple[Decimal, Decimal]] = defaultdict(
        lambda: (Decimal(0), Decimal(0))
    )
    for movement in planned.movements:
        available, held = found[movement.user_id, movement.asset]
        found[movement.user_id, movement.asset] = (
            available + movement.available, held + movement.held,
        )  # fmt: skip
    return dict(found)


def amounts(available: str, held: str) -> tuple[Decimal, Decimal]:
    return Decimal(available), Decimal(held)


def assert_conserved(planned: SettlementPlan) -> None:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for movement in planned.movements:
        totals[movement.asset] += movement.available + movement.held
    assert all(total == 0 for total in totals.values()), dict(totals)


def test_nothing_comes_of_nothing() -> None:
    assert plan([]) == SettlementPlan()


def test_an_order_that_rests_moves_no_money() -> None:
    planned = plan([execution()])
    assert planned.movements == []
    change = planned.orders[SELL]
    assert (change.is_new, change.epoch, change.offset) == (True, 1, 5)
    assert (change.filled_quantity, change.finished_as) == (Decimal(0), "")


@pytest.mark.parametrize("happens", [taker_buys, taker_sells])
def test_a_trade_at_the_limit_swaps_what_was_held(happens: Any) -> None:
    planned = plan([happens("4", "1.9", "1.9")])
    assert_conserved(planned)
    assert changes(planned) == {
        (BUYER, "USDT"): amounts("0", "-7.6"),
        (BUYER, "ADA"): amounts("4", "0"),
        (SELLER, "ADA"): amounts("0", "-4"),
        (SELLER, "USDT"): amounts("7.6", "0"),
    }


def test_a_taker_who_buys_below_their_limit_gets_the_difference_back() -> None:
    planned = plan([taker_buys("4", "1.5", "1.9")])
    assert_conserved(planned)
    # Held for 4 at 1.9 were 7.6: 6 are paid, 1.6 are free again.
    assert changes(planned)[BUYER, "USDT"] == amounts("1.6", "-7.6")
    assert changes(planned)[SELLER, "USDT"] == amounts("6", "0")
    released = [movement for movement in planned.movements if movement.kind == "release"]
    assert [(movement.order_id, movement.trade_id) for movement in released] == [(BUY, 1)]


def test_a_taker_who_sells_above_their_limit_simply_gets_more() -> None:
    planned = plan([taker_sells("4", "1.9", "1.5")])
    assert_conserved(planned)
    assert changes(planned)[SELLER, "USDT"] == amounts("7.6", "0")
    assert {movement.kind for movement in planned.movements} == {"trade"}


@pytest.mark.parametrize(
    ("side", "user", "order", "asset", "released"),
    [("buy", BUYER, BUY, "USDT", "11.4"), ("sell", SELLER, SELL, "ADA", "6")],
)
@pytest.mark.parametrize(("event", "status"), [("cancel", "canceled"), ("new", "rejected")])
def test_what_leaves_the_book_is_released_exactly(
    side: Any, user: int, order: int, asset: str, released: str, event: Any, status: Any
) -> None:
    planned = plan(
        [
            execution(
                event=event, order_id=order, user_id=user, side=side, status=status,
                reason="asked for", canceled_quantity="6",
            )
        ]
    )  # fmt: skip
    assert_conserved(planned)
    assert changes(planned) == {(user, asset): amounts(released, f"-{released}")}
    change = planned.orders[order]
    assert (change.finished_as, change.reason) == (status, "asked for")
    assert change.canceled_quantity == Decimal(6)
    assert change.is_new is (event == "new")


def test_a_cancel_of_nothing_moves_nothing() -> None:
    planned = plan([execution(event="cancel", status="canceled", canceled_quantity="0")])
    assert planned.movements == []


def test_a_cancel_does_not_move_the_order_on_the_log() -> None:
    planned = plan([execution(event="cancel", status="canceled", canceled_quantity="6")])
    change = planned.orders[SELL]
    assert (change.is_new, change.epoch, change.offset) == (False, None, None)


def test_a_trade_with_oneself_leaves_what_one_had() -> None:
    planned = plan(
        [
            execution(
                user_id=BUYER, price="1.5", status="filled",
                trades=(trade("4", "1.9", "sell", maker=BUYER),),
            )
        ]
    )  # fmt: skip
    assert_conserved(planned)
    assert changes(planned) == {
        (BUYER, "USDT"): amounts("7.6", "-7.6"),
        (BUYER, "ADA"): amounts("4", "-4"),
    }
    assert (planned.trades[0].buyer_id, planned.trades[0].seller_id) == (BUYER, BUYER)


def test_both_orders_of_a_trade_are_filled_by_it() -> None:
    planned = plan([taker_sells("4", "1.9", "1.5")])
    for order, user, side in ((BUY, BUYER, "buy"), (SELL, SELLER, "sell")):
        change = planned.orders[order]
        assert (change.user_id, change.side, change.market) == (user, side, "ADA-USDT")
        assert (change.filled_quantity, change.filled_quote) == amounts("4", "7.6")
    assert planned.orders[SELL].is_new
    assert not planned.orders[BUY].is_new


def test_a_trade_row_says_who_bought_and_who_sold() -> None:
    (row,) = plan([taker_sells("4", "1.9", "1.5")]).trades
    assert row._asdict() == {
        "market": "ADA-USDT", "trade_id": 1, "price": Decimal("1.9"), "quantity": Decimal(4),
        "taker_side": "sell", "buy_order_id": BUY, "sell_order_id": SELL, "buyer_id": BUYER,
        "seller_id": SELLER, "buyer_fee": Decimal(0), "seller_fee": Decimal(0),
    }  # fmt: skip


def test_several_results_of_one_order_in_a_batch_are_one_change() -> None:
    comes = execution(order_id=BUY, user_id=BUYER, side="buy")
    first = taker_sells("4", "1.9", "1.5", offset=6, previous_offset=5)
    second = execution(
        order_id=21, offset=7, previous_offset=6, price="1.9", status="filled",
        trades=(
            Trade(
                trade_id=2, buy_order_id=BUY, sell_order_id=21, maker_user_id=BUYER,
                taker_side="sell", price="1.9", quantity="3",
            ),
        ),
    )  # fmt: skip
    leaves = execution(
        event="cancel", order_id=BUY, user_id=BUYER, side="buy", offset=8, previous_offset=7,
        status="canceled", canceled_quantity="3",
    )  # fmt: skip
    planned = plan([comes, first, second, leaves])
    assert_conserved(planned)
    change = planned.orders[BUY]
    assert (change.is_new, change.offset) == (True, 5)
    assert (change.filled_quantity, change.filled_quote) == amounts("7", "13.3")
    assert (change.finished_as, change.canceled_quantity) == ("canceled", Decimal(3))
    # Of the 19 held, 13.3 are spent and 5.7 are free again.
    assert changes(planned)[BUYER, "USDT"] == amounts("5.7", "-19")
    assert [row.trade_id for row in planned.trades] == [1, 2]


def test_an_order_that_takes_several_levels_pays_each_at_its_own_price() -> None:
    planned = plan(
        [
            execution(
                order_id=BUY, user_id=BUYER, side="buy", price="2", status="filled",
                trades=(
                    trade("1", "1.5", "buy", maker=SELLER, number=1),
                    trade("2", "1.75", "buy", maker=SELLER, number=2),
                    trade("3", "2", "buy", maker=SELLER, number=3),
                ),
            )
        ]
    )  # fmt: skip
    assert_conserved(planned)
    # 12 were held, 11 are paid; nothing is released for the level at the limit.
    assert changes(planned)[BUYER, "USDT"] == amounts("1", "-12")
    assert [m.trade_id for m in planned.movements if m.kind == "release"] == [1, 2]


def test_the_smallest_and_the_largest_amounts_stay_exact() -> None:
    quantity, price = "99999999999999999999.999999999999999999", "0.000000000000000001"
    planned = plan([taker_buys(quantity, price, "1")])
    assert_conserved(planned)
    value = Decimal(quantity) * Decimal(price)
    assert changes(planned)[SELLER, "USDT"] == (value, Decimal(0))
    assert changes(planned)[BUYER, "USDT"] == (Decimal(quantity) - value, -Decimal(quantity))


def test_a_maker_that_a_prevented_self_trade_cancels_gets_all_of_it_back() -> None:
    stops = SelfTrade(maker_order_id=BUY, price="1.5", quantity="4", effect="canceled")
    planned = plan(
        [
            execution(
                status="canceled", reason="self_trade", canceled_quantity="3", self_trades=(stops,)
            )
        ]
    )
    assert_conserved(planned)
    # Both orders are of the seller: the maker held quote, the taker base.
    assert changes(planned) == {
        (SELLER, "USDT"): amounts("6", "-6"),
        (SELLER, "ADA"): amounts("3", "-3"),
    }
    maker = planned.orders[BUY]
    assert (maker.user_id, maker.side, maker.is_new) == (SELLER, "buy", False)
    assert (maker.finished_as, maker.reason) == ("canceled", "self_trade")
    assert maker.canceled_quantity == Decimal(4)
    assert planned.decrements == []


def test_two_orders_that_are_reduced_both_get_that_much_back() -> None:
    reduces = SelfTrade(maker_order_id=BUY, price="1.5", quantity="4", effect="decremented")
    planned = plan([execution(prevented_quantity="4", self_trades=(reduces,))])
    assert_conserved(planned)
    assert changes(planned) == {
        (SELLER, "USDT"): amounts("6", "-6"),
        (SELLER, "ADA"): amounts("4", "-4"),
    }
    assert planned.orders[BUY].prevented_quantity == Decimal(4)
    assert planned.orders[SELL].prevented_quantity == Decimal(4)
    assert planned.orders[BUY].finished_as == planned.orders[SELL].finished_as == ""
    assert [tuple(row) for row in planned.decrements] == [(SELL, BUY, Decimal(4))]
