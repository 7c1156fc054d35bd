"""Amendments through the log: what is on hold, who comes first, and that no restart moves anybody."""

from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from balances import services as balances
from exchange.kafka import ORDER_EVENTS, OutgoingRecord, Publisher, partition_for
from exchange.money import format_amount
from exchange.records import AmendOrder, encode
from matching.recovery import recover
from matching.replay.archive import read_archive
from matching.replay.runner import replay
from orders import outbox
from orders.amending import request_amendment
from orders.errors import (
    AmendmentWaitingError,
    CancelRequestedError,
    NothingToAmendError,
    OrderFinishedError,
    OrderNotAmendableError,
    OrderNotFoundError,
    PriceNotOnTickError,
    QuantityAlreadyFilledError,
)
from orders.models import Amendment, Order
from orders.relay import relay
from tests.integration.pipeline.test_recovery import begin_anew
from tests.integration.pipeline.test_relay import let_time_pass
from tests.integration.pipeline.test_stop_recovery import agrees
from tests.support import World, balance_of, differences, status_of


def state_of(amendment: Amendment) -> tuple[str, str, bool | None]:
    amendment.refresh_from_db()
    return amendment.status, amendment.reason, amendment.moved


def asked(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return format_amount(order.price), format_amount(order.quantity)


def queue() -> list[int]:
    """The live orders by priority, as a worker that starts now puts them back."""
    state = recover(partition_for("ADA"))
    state.engine.validate()
    return [order.order_id for order in state.engine.book("ADA-USDT").orders()]


def test_less_keeps_the_place_and_gives_back_what_it_held(exchange_world: World) -> None:
    world = exchange_world
    first, second = world.place(1, "buy", 10, "1.9"), world.place(1, "buy", 5, "1.9")
    world.pump()
    amendment = world.amend(first, quantity=4)
    assert balance_of(1, "USDT") == ("971.5", "28.5")
    assert differences() == []
    world.pump()

    assert state_of(amendment) == ("applied", "", False)
    assert asked(first) == ("1.9", "4")
    assert balance_of(1, "USDT") == ("982.9", "17.1")
    assert queue() == [first.pk, second.pk]
    agrees()


def test_more_and_another_price_lose_the_place_and_hold_what_they_need(
    exchange_world: World,
) -> None:
    world = exchange_world
    first, second = world.place(1, "buy", 10, "1.9"), world.place(1, "buy", 5, "1.9")
    world.pump()
    more = world.amend(first, quantity=12)
    assert balance_of(1, "USDT") == ("967.7", "32.3")  # at once
    world.pump()
    assert state_of(more) == ("applied", "", True)
    assert queue() == [second.pk, first.pk]

    dearer = world.amend(second, price="2")
    world.pump()
    cheaper = world.amend(first, price="1.5", quantity=10)
    world.pump()

    assert [state_of(a)[0] for a in (dearer, cheaper)] == ["applied"] * 2
    assert queue() == [second.pk, first.pk]
    assert balance_of(1, "USDT") == ("975", "25")
    agrees()


def test_an_amended_order_may_trade_at_once(exchange_world: World) -> None:
    world = exchange_world
    ask = world.place(2, "sell", 4, "2")
    bid = world.place(1, "buy", 10, "1.9")
    world.pump()
    amendment = world.amend(bid, price="2.1")
    world.pump()

    assert state_of(amendment) == ("applied", "", True)
    assert status_of(ask) == ("filled", "4")
    assert status_of(bid) == ("partially_filled", "4")
    assert balance_of(1, "USDT") == ("979.4", "12.6")  # 8 paid, 6 at 2.1 on hold
    agrees()


def test_a_sell_holds_what_it_sells(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(2, "sell", 10, "2")
    world.pump()
    world.amend(order, quantity=15)
    assert balance_of(2, "ADA") == ("485", "15")
    world.pump()
    world.amend(order, price="2.5", quantity=3)
    world.pump()
    assert balance_of(2, "ADA") == ("497", "3")
    agrees()


def test_what_has_traded_first_counts(exchange_world: World) -> None:
    """The order trades between the wish and its event: the new total has what traded in it."""
    world = exchange_world
    bid = world.place(1, "buy", 10, "2")
    world.pump()
    world.place(2, "sell", 6, "2")
    lower = world.amend(bid, price="1.5", quantity=12)
    assert balance_of(1, "USDT") == ("977", "23")  # 20, and 3 should all of it trade before
    world.pump()

    assert state_of(lower) == ("applied", "", True)
    assert status_of(bid) == ("partially_filled", "6")
    assert balance_of(1, "USDT") == ("979", "9")  # 12 paid, 6 at 1.5 on hold
    agrees()


def test_an_order_that_has_traded_as_much_stays_as_it_is(exchange_world: World) -> None:
    world = exchange_world
    bid = world.place(1, "buy", 10, "2")
    world.pump()
    world.place(2, "sell", 6, "2")
    amendment = world.amend(bid, quantity=5, price="2.5")
    world.pump()

    assert state_of(amendment) == ("refused", "already_filled", None)
    assert asked(bid) == ("2", "10")
    assert status_of(bid) == ("partially_filled", "6")
    assert balance_of(1, "USDT") == ("980", "8")
    agrees()


def test_an_order_that_was_finished_first_gives_back_what_was_held_for_more(
    exchange_world: World,
) -> None:
    world = exchange_world
    filled, canceled = world.place(1, "buy", 10, "2"), world.place(1, "buy", 10, "1")
    world.pump()
    world.place(2, "sell", 10, "2")
    first = world.amend(filled, quantity=20)
    world.cancel(canceled)
    with pytest.raises(CancelRequestedError):
        request_amendment(order_id=canceled.pk, quantity=Decimal(5))
    world.pump()

    assert state_of(first) == ("refused", "not_in_book", None)
    assert balance_of(1, "USDT") == ("980", "0")
    agrees()


def test_a_cancel_after_an_amendment_releases_what_the_amended_order_holds(
    exchange_world: World,
) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "2")
    world.pump()
    world.amend(order, quantity=20)
    world.cancel(order)
    world.pump()
    assert status_of(order) == ("canceled", "0")
    assert balance_of(1, "USDT") == ("1000", "0")
    agrees()


def test_a_new_order_and_its_amendment_in_one_batch(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "2")
    amendment = world.amend(order, price="2.5", quantity=4)
    world.pump()
    assert state_of(amendment) == ("applied", "", True)
    assert balance_of(1, "USDT") == ("990", "10")
    agrees()


def test_post_only_stays_as_it_is_rather_than_trade(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 4, "2")
    bid = world.place(1, "buy", 10, "1.9", post_only=True)
    world.pump()
    amendment = world.amend(bid, price="2")
    world.pump()
    assert state_of(amendment) == ("refused", "post_only_would_trade", None)
    assert balance_of(1, "USDT") == ("981", "19")
    agrees()


def test_what_cannot_be_amended(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    iceberg = world.place(1, "buy", 10, "1.9", visible_quantity=2)
    stop = world.place(1, "buy", 10, "2.5", stop_price="2.4")
    world.pump()
    world.place(2, "sell", 3, "1.9")
    world.pump()
    done = world.place(1, "buy", 1, "1.8", time_in_force="ioc")
    world.pump()

    def refuses(
        error: type[Exception], refused: Order, *, price: str = "", quantity: str = ""
    ) -> None:
        with pytest.raises(error):
            world.amend(refused, price=price or None, quantity=quantity or None)

    refuses(NothingToAmendError, order, price="1.9", quantity="10")
    refuses(PriceNotOnTickError, order, price="1.99999")
    refuses(QuantityAlreadyFilledError, order, quantity="3")
    refuses(OrderNotAmendableError, iceberg, quantity="8")
    refuses(OrderNotAmendableError, stop, quantity="8")
    refuses(OrderFinishedError, done, quantity="8")
    refuses(balances.InsufficientBalanceError, order, quantity="1000")
    with pytest.raises(OrderNotFoundError):
        request_amendment(order_id=order.pk, user_id=2, quantity=Decimal(8))
    assert not Amendment.objects.exists()
    world.amend(order, quantity=8)
    refuses(AmendmentWaitingError, order, quantity="7")
    world.pump()
    agrees()


def test_a_lost_amendment_is_relayed_and_one_that_comes_twice_is_applied_once(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    with monkeypatch.context() as patched:
        patched.setattr(outbox._outlet, "_closed_until", float("inf"))
        amendment = world.amend(order, quantity=20)
    relay()
    let_time_pass()
    relay()
    (again,) = (r for r in world.order_events() if b'"amend"' in r.value)
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, again.partition, b"ADA", again.value)] * 2)
    publisher.close()
    world.pump()
    assert state_of(amendment) == ("applied", "", True)

    world.restart_matching()
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, again.partition, b"ADA", again.value)])
    publisher.close()
    world.pump()
    assert asked(order) == ("1.9", "20")
    assert balance_of(1, "USDT") == ("962", "38")
    agrees()


def test_a_record_that_says_otherwise_refuses_the_amendment(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    amendment = Amendment.objects.create(
        order=order, market_id="ADA-USDT", price=2, quantity=10, price_before=order.price,
        quantity_before=10, held=0,
    )  # fmt: skip
    said = AmendOrder(
        amendment_id=amendment.pk, order_id=order.pk, user_id=1, market="ADA-USDT", price="3",
        quantity="10", quantity_before="10", held="0", created_at="",
    )  # fmt: skip
    publisher = Publisher()
    publisher.publish([OutgoingRecord(ORDER_EVENTS, partition_for("ADA"), b"ADA", encode(said))])
    publisher.close()
    world.pump()
    assert state_of(amendment) == ("refused", "record_unusable", None)
    assert asked(order) == ("1.9", "10")
    agrees()


def test_restarts_lost_logs_replays_and_archives_keep_amended_orders(
    exchange_world: World, tmp_path: Path
) -> None:
    world = exchange_world
    balances.deposit(user_id=2, asset="USDT", amount=Decimal(1_000))
    balances.deposit(user_id=1, asset="ADA", amount=Decimal(1_000))
    orders = [world.place(1, "buy", 10, "1.9") for _ in range(4)]
    world.pump()
    world.amend(orders[0], quantity=11)
    world.amend(orders[1], quantity=7)
    world.place(2, "sell", 4, "1.9")
    world.match()
    undisturbed = world.host.state_hashes()
    world.restart_matching()
    world.match()
    assert world.host.state_hashes() == undisturbed
    world.settle()
    world.restart_matching()
    assert world.host.state_hashes() == undisturbed
    assert queue() == [orders[1].pk, orders[2].pk, orders[3].pk, orders[0].pk]
    agrees()

    replay(archive_to=tmp_path / "before")
    begin_anew(world)
    assert world.host.state_hashes() != {}
    world.amend(orders[2], price="2")
    world.amend(orders[3], quantity=2)
    world.place(2, "sell", 5, "1.9")
    world.pump()
    assert queue() == [orders[2].pk, orders[1].pk, orders[3].pk, orders[0].pk]
    agrees()

    replay(archive_to=tmp_path / "after")
    assert read_archive(tmp_path / "after").partitions
    ask = world.place(2, "sell", 1, "3")
    world.pump()
    world.amend(ask, price="1.9", quantity=30)
    world.pump()
    assert status_of(ask) == ("partially_filled", "21")
    agrees()
    begin_anew(world)
    agrees()


def test_what_no_amendment_can_be_is_refused_by_the_database(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    amendment = world.amend(order, quantity=8)
    world.pump()
    for wrong in (
        {"status": "waiting"},
        {"reason": "x"},
        {"status": "refused"},
        {"held": -1},
        {"quantity": 0},
        {"quantity": 10},
        {"moved": None},
        {"last_trade_id": None},
        {"settled_at": None},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Amendment.objects.filter(pk=amendment.pk).update(**wrong)
    for wrong in ({"first_price": None}, {"first_quantity": 0}, {"time_in_force": "ioc"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.filter(pk=order.pk).update(**wrong)
