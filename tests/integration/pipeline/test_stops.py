"""Stop orders through the service, the log and the settlement, whoever dies meanwhile."""

from decimal import Decimal
from typing import Any

import pytest

from balances import services
from exchange.records import Execution, TriggerOrder, decode_order_event, decode_trade_event
from matching.replay.runner import replay
from orders import outbox, trace
from orders.market_states import change_state
from orders.models import Order
from orders.relay import relay
from tests.integration.pipeline.test_recovery import begin_anew
from tests.integration.pipeline.test_relay import let_time_pass
from tests.integration.replay.test_history import found_in
from tests.support import World, balance_of, differences


def stop(world: World, stop_price: str, price: str = "2", **rules: Any) -> Order:
    """A buy stop of 1 ADA, which holds `price` USDT."""
    return world.place(1, "buy", 1, price, stop_price=stop_price, **rules)


def trade_at(world: World, price: str) -> None:
    """Make a trade; its triggers are on the log afterwards, and nobody has read them."""
    world.place(2, "sell", 1, price)
    world.place(1, "buy", 1, price)
    world.pump()
    outbox.flush()


def state_of(order: Order) -> tuple[str, bool, bool]:
    """Return its status, whether it has been elected, and whether it was triggered."""
    order.refresh_from_db()
    return order.status, order.elected_at is not None, order.triggered_at is not None


def triggers_on(world: World) -> list[int]:
    outbox.flush()
    events = [decode_order_event(record.value) for record in world.order_events()]
    return [event.order_id for event in events if isinstance(event, TriggerOrder)]


def assert_sound(world: World) -> None:
    """The books balance, the replay agrees, and a worker that starts has the same books."""
    assert differences() == []
    assert found_in(replay()) == []
    hashes = world.host.state_hashes()
    world.restart_matching()
    assert world.host.state_hashes() == hashes


def test_it_waits_with_its_money_held_and_comes_when_its_price_does(exchange_world: World) -> None:
    world = exchange_world
    order = stop(world, "1.95")
    trade_at(world, "1.94")
    assert state_of(order) == ("untriggered", False, False)
    assert balance_of(1, "USDT") == ("996.06", "2")
    assert_sound(world)

    trade_at(world, "1.95")
    assert state_of(order) == ("untriggered", True, False)
    assert_sound(world)
    world.pump()

    assert state_of(order) == ("open", True, True)
    assert (order.queue_epoch, order.queue_offset, order.queue_rank) == (
        order.triggered_epoch, order.triggered_offset, 0
    )  # fmt: skip
    assert_sound(world)


def test_the_nearest_are_triggered_first_and_elect_others_in_their_turn(
    exchange_world: World,
) -> None:
    world = exchange_world
    orders = [stop(world, price) for price in ("1.97", "1.96", "1.97")]
    beyond = stop(world, "2")
    trade_at(world, "1.97")
    assert triggers_on(world) == [orders[1].pk, orders[0].pk, orders[2].pk]
    world.place(2, "sell", 1, "2")
    world.pump()
    world.pump()

    # One of them has taken the offer at 2, and so elected the last one.
    assert triggers_on(world)[3:] == [beyond.pk]
    assert state_of(beyond) == ("open", True, True)
    assert_sound(world)


def test_one_whose_price_has_come_already_is_elected_by_its_own_event(
    exchange_world: World,
) -> None:
    world = exchange_world
    trade_at(world, "1.95")
    order = stop(world, "1.9")
    world.pump()
    assert state_of(order) == ("untriggered", True, False)
    assert (order.elected_offset, order.elected_rank) == (order.offset, 1)
    assert triggers_on(world) == [order.pk]
    world.pump()
    assert state_of(order)[0] == "open"
    assert_sound(world)


def test_a_sell_waits_for_a_lower_price(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(2, "sell", 5, "1.7", stop_price="1.8", time_in_force="ioc")
    trade_at(world, "1.81")
    assert state_of(order)[:2] == ("untriggered", False)
    trade_at(world, "1.8")
    world.place(1, "buy", 2, "1.75")
    world.pump()

    # The trigger was on the log before the bid, so it met nobody.
    assert (*state_of(order), order.reason) == ("canceled", True, True, "ioc_remainder")
    assert balance_of(2, "ADA") == ("498", "0")
    assert_sound(world)


@pytest.mark.parametrize("elected", [False, True])
def test_it_can_be_canceled_before_it_is_triggered(exchange_world: World, elected: bool) -> None:
    world = exchange_world
    order = stop(world, "1.95")
    world.pump()
    if elected:
        world.place(2, "sell", 1, "1.95")
        world.place(1, "buy", 1, "1.95")
    world.cancel(order)
    world.pump()
    world.pump()

    assert state_of(order) == ("canceled", elected, False)
    assert balance_of(1, "USDT")[1] == "0"
    assert triggers_on(world) == []
    assert_sound(world)


def test_a_trigger_that_was_never_published_is_published_by_the_relay(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    first, second = stop(world, "1.96"), stop(world, "1.95")
    with monkeypatch.context() as dying:
        # The process dies between the commit and the publication.
        dying.setattr("balances.tasks.publish_triggers", lambda _: None)
        trade_at(world, "1.96")
    assert triggers_on(world) == []
    world.restart_matching()
    relay()
    let_time_pass()

    assert relay() == 2
    assert triggers_on(world) == [second.pk, first.pk]
    world.pump()
    assert state_of(first)[0] == state_of(second)[0] == "open"
    assert_sound(world)


def test_a_second_trigger_changes_nothing(exchange_world: World) -> None:
    world = exchange_world
    order = stop(world, "1.95")
    trade_at(world, "1.95")
    order.refresh_from_db()
    outbox.publish_triggers_soon([order, order])
    outbox.flush()
    world.match()
    world.restart_matching()  # the results are there twice as well
    world.pump()

    assert triggers_on(world) == [order.pk] * 3
    assert state_of(order) == ("open", True, True)
    results = [decode_trade_event(record.value) for record in world.trade_events()]
    offsets = {r.offset for r in results if isinstance(r, Execution) and r.event == "trigger"}
    assert len(offsets) == 1
    assert_sound(world)


def test_a_worker_that_restarts_between_election_and_trigger(exchange_world: World) -> None:
    world = exchange_world
    elected, waiting = stop(world, "1.95"), stop(world, "1.99")
    trade_at(world, "1.95")
    world.restart_matching()
    world.pump()
    assert state_of(elected)[0] == "open"
    assert state_of(waiting) == ("untriggered", False, False)
    trade_at(world, "1.99")
    world.restart_matching()
    world.pump()
    assert state_of(waiting)[1:] == (True, True)
    assert_sound(world)


def test_a_log_that_is_lost_between_election_and_trigger(exchange_world: World) -> None:
    world = exchange_world
    elected, waiting = stop(world, "1.95"), stop(world, "1.99")
    trade_at(world, "1.95")
    begin_anew(world)
    assert triggers_on(world) == []
    assert_sound(world)
    relay()
    let_time_pass()
    assert relay() == 1
    assert triggers_on(world) == [elected.pk]
    world.pump()

    assert state_of(elected)[0] == "open"
    assert state_of(waiting) == ("untriggered", False, False)
    assert_sound(world)
    trade_at(world, "1.99")
    world.pump()
    assert state_of(waiting)[1:] == (True, True)
    assert_sound(world)


def test_a_trade_belongs_to_the_log_of_its_takers_trigger(exchange_world: World) -> None:
    """What it took is not missing in the books with which that log began."""
    world = exchange_world
    maker = world.place(2, "sell", 5, "2")
    taker = stop(world, "1.95")
    trade_at(world, "1.9")
    begin_anew(world)
    world.restart_matching()
    trade_at(world, "1.95")
    world.pump()
    assert state_of(taker)[0] == "filled"
    maker.refresh_from_db()
    assert maker.filled_quantity == 1
    assert_sound(world)


def test_on_a_market_that_takes_no_orders_a_trigger_is_canceled(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    order = stop(world, "1.95")
    with monkeypatch.context() as late:
        late.setattr("balances.tasks.publish_triggers", lambda _: None)
        trade_at(world, "1.95")
    order.refresh_from_db()
    change_state(market="ADA-USDT", state="cancel_only", reason="test")
    outbox.flush()
    outbox.publish_triggers_soon([order])
    outbox.flush()
    world.pump()

    assert (*state_of(order), order.reason) == ("canceled", True, True, "market_cancel_only")
    assert balance_of(1, "USDT")[1] == "0"
    assert_sound(world)


def test_the_way_of_a_trigger_is_told(exchange_world: World) -> None:
    world = exchange_world
    order = stop(world, "1.95")
    world.pump()
    assert trace.trace_trigger(order) == []
    trade_at(world, "1.95")
    order.refresh_from_db()
    assert [stage.stage for stage in trace.trace_trigger(order) if stage.at] == ["accepted"]
    world.pump()
    order.refresh_from_db()
    stages = {stage.stage: stage.at for stage in trace.trace_trigger(order)}
    assert (stages["accepted"], stages["settled"]) == (order.elected_at, order.triggered_at)


def test_self_trades_of_triggered_orders(exchange_world: World) -> None:
    world = exchange_world
    services.deposit(user_id=1, asset="ADA", amount=Decimal(5))
    mine = world.place(1, "sell", 3, "2")
    order = stop(world, "1.95", self_trade_prevention="decrement_and_cancel")
    trade_at(world, "1.95")
    world.pump()
    mine.refresh_from_db()
    assert (*state_of(order), order.reason) == ("canceled", True, True, "self_trade")
    assert (mine.status, mine.prevented_quantity) == ("open", 1)
    assert_sound(world)
    begin_anew(world)
    assert_sound(world)
