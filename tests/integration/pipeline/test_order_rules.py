"""Time in force, post-only and self-trade prevention, through the log, to the last digit."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from balances import services
from balances.models import Balance, Decrement, LedgerEntry, Trade
from exchange.records import Execution, decode_trade_event
from matching.market_data.depth import get_depth
from orders.models import Market, Order
from orders.selectors import Level
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World, balance_of, differences


def end_of(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.reason


def test_the_rest_of_an_ioc_order_comes_back(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 3, "1.5")
    order = world.place(1, "buy", 5, "1.9", time_in_force="ioc")
    world.pump()
    assert end_of(order) == ("canceled", "ioc_remainder")
    assert order.filled_quantity == 3
    assert balance_of(1, "USDT") == ("995.5", "0")
    assert differences() == []


def test_a_fok_order_that_cannot_be_filled_moves_nothing(exchange_world: World) -> None:
    world = exchange_world
    rests = world.place(2, "sell", 3, "1.5")
    order = world.place(1, "buy", 5, "1.9", time_in_force="fok")
    filled = world.place(1, "buy", 3, "1.9", time_in_force="fok")
    world.pump()
    assert end_of(order) == ("canceled", "fok_not_fillable")
    assert end_of(filled) == end_of(rests) == ("filled", "")
    assert balance_of(1, "USDT") == ("995.5", "0")
    assert differences() == []


def test_a_post_only_order_that_would_trade_is_canceled(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 3, "1.5")
    order = world.place(1, "buy", 5, "1.5", post_only=True)
    rests = world.place(1, "buy", 5, "1.4999", post_only=True)
    world.pump()
    assert end_of(order) == ("canceled", "post_only_would_trade")
    assert end_of(rests) == ("open", "")
    assert balance_of(1, "USDT") == ("992.5005", "7.4995")
    assert differences() == []


@pytest.mark.parametrize(
    ("prevention", "taker", "maker", "usdt", "ada"),
    [
        # User 1 sells 4 at 2 and then buys 6 at 2: 1 of user 2 comes first, 9 come behind.
        ("cancel_taker", ("canceled", "self_trade", 1), ("open", "", 0), ("998", "0"), ("7", "4")),
        (
            "cancel_maker",
            ("filled", "", 6),
            ("canceled", "self_trade", 0),
            ("988", "0"),
            ("16", "0"),
        ),
        (
            "cancel_both",
            ("canceled", "self_trade", 1),
            ("canceled", "self_trade", 0),
            ("998", "0"),
            ("11", "0"),
        ),
        (
            "decrement_and_cancel",
            ("canceled", "self_trade", 2),
            ("canceled", "self_trade", 0),
            ("996", "0"),
            ("12", "0"),
        ),
    ],
)
def test_an_order_that_meets_its_own_user(
    exchange_world: World,
    prevention: str,
    taker: tuple[str, str, int],
    maker: tuple[str, str, int],
    usdt: tuple[str, str],
    ada: tuple[str, str],
) -> None:
    world = exchange_world
    services.deposit(user_id=1, asset="ADA", amount=Decimal(10))
    world.place(2, "sell", 1, 2)
    own = world.place(1, "sell", 4, 2)
    world.place(2, "sell", 9, 2)
    order = world.place(1, "buy", 6, 2, self_trade_prevention=prevention)
    world.pump()
    assert (*end_of(order), order.filled_quantity) == taker
    assert (*end_of(own), own.filled_quantity) == maker
    assert (balance_of(1, "USDT"), balance_of(1, "ADA")) == (usdt, ada)
    assert not Trade.objects.filter(buyer_id=1, seller_id=1).exists()
    assert differences() == []


def test_a_reduced_maker_lives_on_with_what_is_left_of_it(exchange_world: World) -> None:
    world = exchange_world
    services.deposit(user_id=1, asset="ADA", amount=Decimal(10))
    own = world.place(1, "buy", 10, 2)
    order = world.place(1, "sell", 4, "1.9", self_trade_prevention="decrement_and_cancel")
    world.pump()
    assert end_of(order) == ("canceled", "self_trade")
    assert [order.prevented_quantity, order.remaining_quantity] == [4, 0]
    assert end_of(own) == ("open", "")
    assert [own.prevented_quantity, own.remaining_quantity] == [4, 6]
    assert (balance_of(1, "USDT"), balance_of(1, "ADA")) == (("988", "12"), ("10", "0"))
    depth = get_depth(market=Market.objects.get(pk="ADA-USDT"), levels=5)
    assert depth.bids == (Level(Decimal(2), Decimal(6)),)
    assert Decrement.objects.get().quantity == 4
    assert differences() == []

    # After a restart it is as large as it was, and what is filled of it is not all of it.
    world.restart_matching()
    world.place(2, "sell", 6, 2)
    world.pump()
    assert end_of(own) == ("canceled", "self_trade")
    assert own.filled_quantity == 6
    assert own.finished_at is not None
    assert differences() == []


def test_everything_in_one_batch_and_settled_one_by_one(exchange_world: World) -> None:
    """A maker that came, was reduced, traded and left within one transaction."""
    world = exchange_world
    services.deposit(user_id=1, asset="ADA", amount=Decimal(10))
    own = world.place(1, "buy", 10, 2)
    world.place(1, "sell", 4, 2, self_trade_prevention="decrement_and_cancel")
    world.place(2, "sell", 3, 2)
    world.cancel(own)
    world.match()
    results = [decode_trade_event(record.value) for record in world.trade_events()]
    assert [len(r.self_trades) for r in results if isinstance(r, Execution)] == [0, 1, 0, 0]
    world.settle()
    assert end_of(own) == ("canceled", "")
    assert [own.filled_quantity, own.prevented_quantity, own.remaining_quantity] == [3, 4, 3]
    assert LedgerEntry.objects.filter(order=own, kind="release").count() == 2
    assert differences() == []


@pytest.mark.parametrize("seed", [41, 42, 43])
def test_random_orders_with_rules_keep_every_promise(exchange_world: World, seed: int) -> None:
    world = exchange_world
    random_flow(world, seed=seed, count=50, rules=True)
    world.pump()
    world.restart_matching()
    random_flow(world, seed=seed + 100, count=30, rules=True)
    world.pump()
    before = world.host.state_hashes()
    world.restart_matching()
    assert world.host.state_hashes() == before
    assert not Balance.objects.filter(available__lt=0).exists()
    assert differences() == []


@pytest.mark.parametrize(
    "change",
    [
        {"time_in_force": "ioc"},  # it is live
        {"time_in_force": "gtd"},  # it does not say till when
        {"expires_at": datetime(2090, 1, 31, tzinfo=UTC)},
        {"cancel_reason": "expired"},
        {"cancel_reason": "boredom"},
        {"self_trade_prevention": "cancel"},
        {"prevented_quantity": 10},  # nothing would be left
        {"prevented_quantity": -1},
        {"post_only": True, "time_in_force": "ioc", "status": "canceled"},
        {"time_in_force": "fok", "status": "canceled", "filled_quantity": 1},
    ],
)
def test_the_database_refuses_what_no_order_can_be(
    exchange_world: World, change: dict[str, object]
) -> None:
    order = exchange_world.place(1, "buy", 10, 1)
    exchange_world.pump()
    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**change)
