"""A market's state goes through the log: what stands after a change is bound by it, also in a replay."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from balances.halts import MARKET_STOPPED, resume_market
from exchange.kafka import (
    DEAD_ORDER_EVENTS,
    ORDER_EVENTS,
    Log,
    OutgoingRecord,
    Publisher,
    read_topic,
)
from exchange.records import MarketChanged, decode_order_event, decode_trade_event
from matching.replay.archive import read_archive
from matching.replay.runner import replay
from orders import outbox, relay
from orders.errors import (
    MarketCancelOnlyError,
    MarketHaltedError,
    MarketPostOnlyError,
    UnknownMarketError,
)
from orders.market_states import ReasonRequiredError, change_state
from orders.models import Market, MarketChange, Order
from orders.services import halt_market, place_order, reopen_market
from tests.support import World, balance_of, differences, settle_records, status_of

ADA = "ADA-USDT"


def order_state(state: str, market: str = ADA) -> MarketChange:
    """Order a state through the service, and wait until that is on the log."""
    change = change_state(market=market, state=state, reason=f"to be {state}")
    outbox.flush()
    return change


def published(market: str = ADA) -> tuple[str, str]:
    found = Market.objects.get(pk=market)
    return found.state, found.state_reason


def reason_of(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.reason


def replayed_without_difference() -> None:
    found = {outcome.name: outcome.first for outcome in replay().outcomes if outcome.found}
    assert found == {}


@pytest.mark.parametrize("state", ["cancel_only", "halted"])
def test_what_stands_after_the_change_on_the_log_is_canceled(
    exchange_world: World, state: str
) -> None:
    world = exchange_world
    resting = world.place(2, "sell", 4, "1.9")
    change = order_state(state)
    late = world.place(1, "buy", 4, "1.9")  # accepted: the change is not settled yet
    elsewhere = world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.pump()

    assert status_of(resting) == ("open", "0")
    assert reason_of(late) == ("canceled", f"market_{state}")
    assert status_of(elsewhere) == ("open", "0")
    assert balance_of(1, "USDT") == ("999", "1"), "the hold of the late order is released"
    assert published() == (state, f"to be {state}")
    change.refresh_from_db()
    assert change.applied_at is not None
    world.cancel(resting)
    world.pump()
    assert status_of(resting) == ("canceled", "0")
    assert differences() == []
    replayed_without_difference()


def test_what_stands_before_the_change_trades(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 4, "1.9")
    early = world.place(1, "buy", 4, "1.9")
    order_state("halted")
    world.pump()
    assert status_of(early) == ("filled", "4")
    assert differences() == []


def test_a_post_only_market_takes_what_rests(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 4, "1.9")
    order_state("post_only")
    rests, trades = world.place(1, "buy", 4, "1.8"), world.place(1, "buy", 4, "1.9")
    world.pump()
    assert reason_of(rests) == ("open", "")
    assert reason_of(trades) == ("canceled", "market_post_only")
    assert differences() == []
    replayed_without_difference()


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("halted", MarketHaltedError),
        ("cancel_only", MarketCancelOnlyError),
        ("post_only", MarketPostOnlyError),
    ],
)
def test_a_settled_state_refuses_new_orders_with_its_own_code(
    exchange_world: World, state: str, error: type[MarketHaltedError]
) -> None:
    order_state(state)
    exchange_world.pump()
    with pytest.raises(MarketHaltedError) as refused:
        exchange_world.place(1, "buy", 1, 1)
    assert (type(refused.value), refused.value.code) == (error, f"market_{state}")
    order_state("open")
    exchange_world.pump()
    assert published() == ("open", "")
    assert status_of(exchange_world.place(1, "buy", 1, 1)) == ("pending", "0")


def test_a_post_only_market_accepts_orders_that_say_so(exchange_world: World) -> None:
    exchange_world.place(2, "sell", 4, "1.9")
    order_state("post_only")
    exchange_world.pump()
    orders = [
        place_order(
            user_id=1, market=ADA, side="buy", price=Decimal(price), quantity=Decimal(4),
            post_only=True,
        ).order
        for price in ("1.8", "1.9")
    ]  # fmt: skip
    outbox.flush()
    exchange_world.pump()
    assert [reason_of(order) for order in orders] == [
        ("open", ""), ("canceled", "market_post_only"),
    ]  # fmt: skip
    assert differences() == []
    replayed_without_difference()


def test_a_worker_that_starts_again_knows_the_state(exchange_world: World) -> None:
    world = exchange_world
    order_state("halted")
    world.pump()
    Market.objects.update(state="open")  # as if the order service had not heard of it
    late = world.place(1, "buy", 1, 1)
    world.restart_matching()
    world.pump()
    assert reason_of(late) == ("canceled", "market_halted")


def test_a_change_counts_once_and_never_after_a_later_one(exchange_world: World) -> None:
    world = exchange_world
    first, second = order_state("halted"), order_state("open")
    world.pump()
    for change in (first, second, first):
        outbox.publish_change_soon(change)
    outbox.flush()
    world.pump()
    assert published() == ("open", "")
    world.restart_matching()
    order = world.place(1, "buy", 1, 1)
    world.pump()
    assert status_of(order) == ("open", "0")
    assert differences() == []
    replayed_without_difference()


def test_of_changes_in_the_wrong_order_the_last_one_ordered_counts(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "publish_change_soon", lambda _: None)
        first, second = order_state("halted"), order_state("cancel_only")
    for change in (second, first):
        outbox.publish_change_soon(change)
    outbox.flush()
    exchange_world.pump()
    assert published() == ("cancel_only", "to be cancel_only")
    assert not MarketChange.objects.filter(applied_at=None).exists(), "one was overtaken"
    assert differences() == []
    replayed_without_difference()


def test_a_change_that_never_reached_the_log_is_relayed(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    monkeypatch.setattr(relay, "GRACE", timedelta(0))
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "publish_change_soon", lambda _: None)
        order_state("halted")
    world.place(1, "buy", 1, 1)
    world.pump()
    assert published() == ("open", "")
    for _ in range(3):
        relay.relay()
        world.pump()
    assert published() == ("halted", "to be halted")
    kinds = [type(decode_order_event(record.value)).__name__ for record in world.order_events()]
    assert kinds == ["NewOrder", "ChangeMarket"], "relayed once"


def test_settling_a_change_twice_changes_nothing(exchange_world: World) -> None:
    world = exchange_world
    order_state("halted")
    world.match()
    batch = world.trade_events()
    assert isinstance(decode_trade_event(batch[0].value), MarketChanged)
    settle_records(batch)
    before = MarketChange.objects.values().get()
    settle_records(batch)
    assert MarketChange.objects.values().get() == before


def test_a_change_that_nobody_has_ordered_is_a_dead_letter(exchange_world: World) -> None:
    world = exchange_world
    change = order_state("cancel_only")
    forged = outbox.market_record(
        MarketChange(pk=change.pk, market_id=ADA, state="halted", requested_at=change.requested_at)
    )
    with_forged(forged)
    world.pump()
    assert published() == ("cancel_only", "to be cancel_only")
    assert [record.value for record in read_topic(DEAD_ORDER_EVENTS)] == [forged.value]
    replayed_without_difference()


def with_forged(record: OutgoingRecord) -> None:
    assert record.topic == ORDER_EVENTS
    publisher = Publisher()
    publisher.publish([record])
    publisher.close()


def test_after_a_stopped_settlement_the_ordered_state_is_back(exchange_world: World) -> None:
    order_state("cancel_only")
    exchange_world.pump()
    halt_market(market=ADA, reason=MARKET_STOPPED)
    assert published() == ("halted", MARKET_STOPPED)
    reopen_market(market=ADA, halted_for=MARKET_STOPPED)
    assert published() == ("cancel_only", "to be cancel_only")


def test_a_log_made_anew_begins_in_the_ordered_state(exchange_world: World) -> None:
    world = exchange_world
    order_state("halted")
    world.pump()
    with Log() as log:
        log.recreate_topics()
    world.forget_log()
    Market.objects.update(state="open")
    late = world.place(1, "buy", 1, 1)
    world.pump()
    assert reason_of(late) == ("canceled", "market_halted")
    Market.objects.filter(pk=ADA).update(state="halted")
    assert differences() == []
    replayed_without_difference()


def test_an_archive_keeps_the_state(exchange_world: World, tmp_path: Any) -> None:
    world = exchange_world
    change = order_state("halted")
    world.pump()
    path = tmp_path / "checkpoint.gz"
    assert replay(archive_to=path).archived
    states = {
        market: (state.engine.change_of(market), state.engine.state_of(market))
        for state in read_archive(path).partitions.values()
        for market in state.engine.markets
    }
    assert states.pop(ADA) == (change.pk, "halted")
    assert set(states.values()) == {(0, "open")}
    order_state("open")
    world.pump()
    found = replay(begin_from=read_archive(path)).outcomes
    assert not any(outcome.found for outcome in found)


def test_the_command_orders_a_state(exchange_world: World, capsys: Any) -> None:
    call_command("market_state", ADA, "halted", reason="maintenance")
    exchange_world.pump()
    assert published() == ("halted", "maintenance")
    change = MarketChange.objects.get()
    assert (change.reason, change.actor) == ("maintenance", None)
    with pytest.raises(CommandError, match="There is no market"):
        call_command("market_state", "X-Y", "halted", reason="maintenance")
    with pytest.raises(CommandError, match="Say why"):
        call_command("market_state", ADA, "open", reason=" ")


def test_a_change_without_reason_or_market_is_refused(exchange_world: World) -> None:
    with pytest.raises(ReasonRequiredError):
        change_state(market=ADA, state="halted", reason="")
    with pytest.raises(UnknownMarketError):
        change_state(market="NO-WHERE", state="halted", reason="x")
    assert not MarketChange.objects.exists()


def test_a_change_behind_a_halt_of_the_settlement_waits_until_that_is_over(
    exchange_world: World,
) -> None:
    world = exchange_world
    doomed = world.place(1, "buy", 4, "1.9")
    order_state("cancel_only")
    world.match()
    Order.objects.filter(pk=doomed.pk).update(side="sell")  # not what its result is about
    world.settle()
    assert published() == ("halted", MARKET_STOPPED)
    assert Market.objects.get(pk=ADA).ordered_state == "open"
    assert MarketChange.objects.get().applied_at is None

    Order.objects.filter(pk=doomed.pk).update(side="buy")
    resume_market(market=ADA, note="mended")
    world.restart_matching()
    outbox.publish_soon(doomed)
    outbox.publish_change_soon(MarketChange.objects.get())
    outbox.flush()
    world.pump()
    assert status_of(doomed) == ("open", "0")
    assert published() == ("cancel_only", "to be cancel_only")
    assert differences() == []
    replayed_without_difference()
