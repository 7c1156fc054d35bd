"""Icebergs through the log: what is seen, who comes first, and that no restart moves anybody."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from balances import services
from balances.checkpoints import current_epoch
from balances.models import Trade
from exchange.kafka import partition_for
from exchange.records import Execution, NewOrder, decode_order_event, decode_trade_event
from matching.market_data.depth import get_depth
from matching.recovery import recover
from matching.replay.runner import replay
from orders.models import Market, Order
from orders.selectors import Level
from tests.api import SHORT, ApiClient
from tests.integration.pipeline.test_recovery import begin_anew, outcome, random_flow
from tests.support import World, balance_of, differences, status_of


class Asks:
    """Two icebergs of user 2 and a plain order behind them, all at 1.9, and who takes them."""

    def __init__(self, world: World) -> None:
        services.deposit(user_id=2, asset="ADA", amount=Decimal(100))
        self.world = world
        self.first = world.place(2, "sell", 9, "1.9", visible_quantity=4)
        self.second = world.place(2, "sell", 6, "1.9", visible_quantity=2)
        self.plain = world.place(2, "sell", 3, "1.9")

    def take(self, quantity: int, **rules: Any) -> Order:
        return self.world.place(1, "buy", quantity, "1.9", **rules)

    def seen(self) -> Decimal:
        depth = get_depth(market=Market.objects.get(pk="ADA-USDT"), levels=5)
        ((price, quantity),) = depth.asks
        assert price == Decimal("1.9")
        return quantity

    def makers(self) -> list[int]:
        sellers = Trade.objects.order_by("trade_id").values_list("sell_order", flat=True)
        return list(sellers)

    def queue(self) -> list[tuple[int, int]]:
        """The live orders as a worker that starts now puts them back, and what is left of them."""
        state = recover(partition_for("ADA"))
        state.engine.validate()
        lot = state.scales["ADA-USDT"].lot
        return [
            (order.order_id, int(order.remaining * lot))
            for order in state.engine.book("ADA-USDT").orders()
        ]

    def places(self) -> list[tuple[int | None, int | None, int | None]]:
        rows = Order.objects.filter(side="sell").order_by("pk")
        return list(rows.values_list("queue_epoch", "queue_offset", "queue_rank"))


@pytest.fixture
def asks(exchange_world: World) -> Asks:
    return Asks(exchange_world)


def test_the_next_part_comes_behind_the_others_and_only_a_part_is_seen(asks: Asks) -> None:
    asks.world.pump()
    assert asks.seen() == 1 + 2 + 3
    assert asks.places() == [(None, None, None)] * 3

    taker = asks.take(4)
    asks.world.pump()

    assert status_of(taker) == ("filled", "4")
    assert asks.makers() == [asks.first.pk, asks.second.pk, asks.plain.pk]
    assert asks.seen() == 4 + 2 + 2
    assert asks.places() == [(current_epoch(), 3, 1), (current_epoch(), 3, 2), (None, None, None)]
    assert asks.queue() == [(asks.plain.pk, 2), (asks.first.pk, 8), (asks.second.pk, 4)]
    assert balance_of(2, "ADA")[1] == "14"
    assert differences() == []


def test_one_taker_meets_an_iceberg_as_often_as_it_comes_back(asks: Asks) -> None:
    taker = asks.take(16)
    asks.world.pump()

    assert status_of(taker) == ("filled", "16")
    first, second, plain = asks.first.pk, asks.second.pk, asks.plain.pk
    assert asks.makers() == [first, second, plain, first, second, first]
    assert [status_of(order) for order in (asks.first, asks.second, asks.plain)] == [
        ("filled", "9"), ("partially_filled", "4"), ("filled", "3"),
    ]  # fmt: skip
    assert asks.places() == [(None, None, None), (current_epoch(), 3, 1), (None, None, None)]
    assert asks.seen() == 2
    assert differences() == []


def test_a_worker_that_dies_in_the_middle_of_a_refill_keeps_the_queue(asks: Asks) -> None:
    """Matched, published and not settled; then settled; then with everything from Postgres."""
    world = asks.world
    world.pump()
    asks.take(2)
    world.pump()  # in the middle: of the second iceberg's part one is left
    asks.take(1)
    asks.take(4)
    world.match()
    undisturbed = world.host.state_hashes()

    world.restart_matching()
    world.match()
    assert world.host.state_hashes() == undisturbed
    world.settle()
    settled = outcome()
    world.restart_matching()
    assert world.host.state_hashes() == undisturbed
    world.pump()
    assert outcome() == settled
    assert asks.queue() == [(asks.first.pk, 7), (asks.second.pk, 4)]
    assert asks.seen() == 3 + 2
    assert differences() == []


def test_an_iceberg_that_was_put_back_twice_in_one_batch_stands_where_it_came_last(
    asks: Asks,
) -> None:
    asks.take(4)
    asks.take(6)
    asks.world.pump()
    assert asks.places()[0] == (current_epoch(), 4, 1)
    assert asks.queue() == [(asks.second.pk, 4), (asks.first.pk, 4)]
    assert differences() == []


def test_a_prevented_self_trade_takes_from_what_is_hidden_too(asks: Asks) -> None:
    asks.world.pump()
    services.deposit(user_id=2, asset="USDT", amount=Decimal(100))
    asks.world.place(2, "buy", 3, "1.9", self_trade_prevention="decrement_and_cancel")
    asks.world.pump()
    asks.first.refresh_from_db()
    assert (asks.first.prevented_quantity, asks.first.status) == (3, "open")
    assert asks.places()[0] == (current_epoch(), 3, 1)
    assert asks.queue() == [(asks.second.pk, 6), (asks.plain.pk, 3), (asks.first.pk, 6)]
    assert asks.seen() == 2 + 3 + 2
    assert differences() == []


def test_a_cancel_gives_back_what_is_hidden(asks: Asks) -> None:
    asks.take(4)
    asks.world.cancel(asks.first)
    asks.world.pump()
    assert status_of(asks.first) == ("canceled", "1")
    assert asks.queue() == [(asks.plain.pk, 2), (asks.second.pk, 4)]
    assert balance_of(2, "ADA")[1] == "6"
    assert differences() == []


def test_an_iceberg_that_comes_trades_as_a_whole_and_rests_with_a_part(
    exchange_world: World,
) -> None:
    world = exchange_world
    world.place(2, "sell", 5, "1.9")
    order = world.place(1, "buy", 12, "1.9", visible_quantity=3)
    world.pump()
    assert status_of(order) == ("partially_filled", "5")
    depth = get_depth(market=Market.objects.get(pk="ADA-USDT"), levels=5)
    assert depth.bids == (Level(Decimal("1.9"), Decimal(1)),)
    by_step = get_depth(market=Market.objects.get(pk="ADA-USDT"), levels=5, step=Decimal(1))
    assert by_step.bids == (Level(Decimal(1), Decimal(1)),)
    assert balance_of(1, "USDT")[1] == "13.3"
    assert differences() == []


def test_an_iceberg_is_seen_as_its_user_sent_it_and_says_so_on_the_log(
    exchange_world: World, api: ApiClient
) -> None:
    sent = api.order(visible_quantity="2.5").json()
    one, two = api.post(
        "/orders/batch",
        {"orders": [SHORT | {"visible_quantity": 3}, SHORT]},
        content_type="application/json",
    ).json()["results"]
    assert sent["visible_quantity"] == "2.5"
    assert one["order"]["visible_quantity"] == "3"
    assert two["order"]["visible_quantity"] is None
    assert api.get(f"/orders/{sent['id']}").json()["visible_quantity"] == "2.5"
    exchange_world.pump()
    events = [decode_order_event(record.value) for record in exchange_world.order_events()]
    said = [event.visible_quantity for event in events if isinstance(event, NewOrder)]
    assert said == ["2.5", "3", ""]
    assert differences() == []


def test_the_results_name_who_was_put_behind_the_others(asks: Asks) -> None:
    asks.take(4)
    asks.world.match()
    events = [decode_trade_event(record.value) for record in asks.world.trade_events()]
    assert [event.requeued for event in events if isinstance(event, Execution)] == [
        (), (), (), (asks.first.pk, asks.second.pk),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"visible_quantity": 0},
        {"visible_quantity": 9},
        {"visible_quantity": Decimal("0.08")},
        {"visible_quantity": 4, "time_in_force": "ioc", "status": "pending"},
    ],
)
def test_an_iceberg_that_is_none_cannot_be_stored(asks: Asks, change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="order_iceberg_possible"), transaction.atomic():
        Order.objects.filter(pk=asks.first.pk).update(**change)


@pytest.mark.parametrize("taken", [3, 4, 9])
def test_a_log_that_begins_with_icebergs_which_stand_elsewhere_by_now(
    asks: Asks, taken: int
) -> None:
    """Their rows say where they stand now; the replay needs where they stood when it began."""
    world = asks.world
    asks.take(taken)
    world.pump()
    begin_anew(world)
    assert [(o.name, row) for o in replay().outcomes for row in o.first] == []
    asks.take(1)
    asks.take(6)
    world.pump()
    assert [(o.name, row) for o in replay().outcomes for row in o.first] == []
    assert differences() == []


def test_a_log_that_begins_after_an_iceberg_was_reduced_by_its_own_user(asks: Asks) -> None:
    world = asks.world
    services.deposit(user_id=2, asset="USDT", amount=Decimal(100))
    asks.take(1)
    world.place(2, "buy", 3, "1.9", self_trade_prevention="decrement_and_cancel")
    world.pump()
    begin_anew(world)
    asks.take(12)
    world.pump()
    assert [(o.name, row) for o in replay().outcomes for row in o.first] == []
    assert differences() == []


@pytest.mark.parametrize("seed", [61, 62, 63])
def test_restarts_at_random_moments_leave_books_with_icebergs_as_they_were(
    exchange_world: World, seed: int
) -> None:
    world = exchange_world
    for part in range(3):
        random_flow(world, seed=seed * 10 + part, count=50, rules=True)
        world.match()
        undisturbed = world.host.state_hashes()
        world.restart_matching()
        world.match()
        assert world.host.state_hashes() == undisturbed
        world.settle()
        world.restart_matching()
        assert world.host.state_hashes() == undisturbed
        assert [(o.name, row) for o in replay().outcomes for row in o.first] == []
        if part == 1:
            begin_anew(world)
    assert Order.objects.filter(queue_rank__isnull=False).exists()
    assert differences() == []
