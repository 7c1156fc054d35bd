"""What the settlement has halted can be looked at, mended and settled again; nothing is lost."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from balances import halts
from balances.models import Balance, Checkpoint, LogEpoch, MarketHalt, PastHalt
from balances.settle import SequenceError
from exchange.kafka import partition_for
from orders.errors import MarketHaltedError
from orders.market_states import change_state
from orders.models import Market, Order
from orders.relay import relay
from tests.integration.pipeline.test_relay import let_time_pass
from tests.support import World, balance_of, differences, settle_records, status_of

ADA = "ADA-USDT"


@pytest.fixture
def halted(exchange_world: World) -> World:
    """ADA-USDT is halted: somebody has taken what user 1 had on hold for a buy of 10 at 1.9."""
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    world.pump()
    Balance.objects.filter(user_id=1, asset_id="USDT").update(held=1)
    world.place(2, "sell", 4, "1.9")
    world.pump()
    assert Market.objects.get(pk=ADA).state == "halted"
    return world


def relay_all(world: World) -> int:
    """Let the relay find what is missing, as it would within seconds."""
    relay()
    let_time_pass()
    relayed = relay()
    world.restart_matching()
    world.pump()
    return relayed


def mend() -> None:
    call_command("restore_balance", "1", "USDT", note="held was set to 1", stdout=StringIO())


def test_what_everybody_may_read_of_a_halt_names_no_balance(halted: World) -> None:
    assert "981" in MarketHalt.objects.get().reason
    assert Market.objects.get(pk=ADA).state_reason == "its settlement has stopped"


def test_a_mended_market_goes_on_where_it_stopped(halted: World) -> None:
    world = halted
    buy, sell = world_orders()
    assert status_of(sell) == ("pending", "0")
    mend()
    past = halts.resume_market(market=ADA, note="restored the hold", actor_id=1)

    assert (past.offset, past.last_offset) == (1, 1)
    assert not MarketHalt.objects.exists()
    assert Market.objects.get(pk=ADA).state == "open"
    assert relay_all(world) == 1
    assert status_of(buy) == ("partially_filled", "4")
    assert status_of(sell) == ("filled", "4")
    assert balance_of(1, "USDT") == ("981", "11.4")
    assert differences() == []


def world_orders() -> list[Order]:
    return list(Order.objects.order_by("id"))


def test_a_market_that_is_not_mended_halts_again(halted: World) -> None:
    halts.resume_market(market=ADA, note="nothing was done")
    assert relay_all(halted) == 1
    halt = MarketHalt.objects.get()
    assert "balance_hold_not_negative" in halt.reason
    assert Market.objects.get(pk=ADA).state == "halted"
    mend()
    halts.resume_market(market=ADA, note="now it was")
    assert relay_all(halted) == 1
    assert PastHalt.objects.count() == 2
    assert differences() == []


def test_a_cancel_that_was_left_out_is_done_after_the_resume(halted: World) -> None:
    buy, _ = world_orders()
    halted.cancel(buy)
    halted.pump()
    assert status_of(buy) == ("open", "0")
    mend()
    halts.resume_market(market=ADA, note="restored the hold")
    assert relay_all(halted) == 2
    assert status_of(buy)[0] == "canceled"
    assert differences() == []


def test_other_markets_go_on_through_halt_and_resume(halted: World) -> None:
    world = halted
    with pytest.raises(MarketHaltedError):
        world.place(1, "buy", 1, "1.9")
    other = world.place(2, "sell", 5, "0.00002", market="ADA-BTC")  # on the same partition
    world.pump()
    assert status_of(other) == ("open", "0")
    mend()
    halts.resume_market(market=ADA, note="restored the hold")
    late = world.place(2, "sell", 5, "0.00003", market="ADA-BTC")
    relay_all(world)
    assert status_of(late) == ("open", "0")
    assert differences() == []


def test_only_what_is_halted_is_resumed(exchange_world: World) -> None:
    exchange_world.restart_matching()
    epochs = LogEpoch.objects.count()
    with pytest.raises(halts.NotHaltedError):
        halts.resume_market(market=ADA, note="by mistake")
    with pytest.raises(halts.NotHaltedError):
        halts.resume_partition(partition=0, note="by mistake")
    assert LogEpoch.objects.count() == epochs


def test_a_market_on_a_halted_partition_waits_for_the_partition(halted: World) -> None:
    halts.halt_partition(partition_for("ADA"), "results missing")
    with pytest.raises(halts.NotHaltedError, match="resume it first"):
        halts.resume_market(market=ADA, note="too early")
    assert MarketHalt.objects.count() == 1


def test_a_resumed_partition_goes_on_where_it_stopped(exchange_world: World) -> None:
    world = exchange_world
    orders = [world.place(1, "buy", quantity, "1.9") for quantity in (1, 2, 3)]
    world.match()
    for _ in range(2):
        with pytest.raises(SequenceError, match="follows"):
            settle_records(world.trade_events()[-1:])  # the others never arrive
        world.restart_matching()
        world.match()
    partition = partition_for("ADA")
    assert Checkpoint.objects.get(pk=partition).halted_reason
    Market.objects.filter(pk="ADA-BTC").update(state_reason="by an operator")

    call_command("resume", str(partition), note="the disk is back", stdout=StringIO())
    assert not Checkpoint.objects.exclude(halted_reason="").exists()
    assert Market.objects.get(pk=ADA).state == "open"
    assert Market.objects.get(pk="ADA-BTC").state == "halted"
    world.restart_matching()
    world.pump()
    assert {status_of(order) for order in orders} == {("open", "0")}
    assert differences() == []


def test_an_operators_halt_outlives_the_resume(halted: World) -> None:
    mend()
    Market.objects.filter(pk=ADA).update(state_reason="delisting")
    halts.halt_partition(partition_for("ADA"), "results missing")
    halts.resume_partition(partition=partition_for("ADA"), note="mended")
    halts.resume_market(market=ADA, note="mended")
    market = Market.objects.get(pk=ADA)
    assert (market.state, market.state_reason) == ("halted", "delisting")


def test_the_command_lists_what_is_halted_and_resumes_it(halted: World) -> None:
    listed = StringIO()
    call_command("resume", stdout=listed)
    assert ADA in listed.getvalue()
    with pytest.raises(CommandError, match="--note"):
        call_command("resume", ADA)
    with pytest.raises(CommandError, match="There is no user nobody"):
        call_command("resume", ADA, note="x", by="nobody")
    call_command("resume", ADA, note="x", by="user1", stdout=StringIO())
    assert PastHalt.objects.get().resumed_by_id == 1
    listed = StringIO()
    call_command("resume", stdout=listed)
    assert "Nothing is halted" in listed.getvalue()


def test_a_restored_balance_is_what_its_ledger_says(exchange_world: World) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_balance SET available = 5, held = 0 WHERE user_id = 1")
    printed = StringIO()
    call_command("restore_balance", "1", "USDT", note="a slip", stdout=printed)
    assert printed.getvalue() == "available: 5 -> 981\nheld: 0 -> 19\n"
    assert balance_of(1, "USDT") == ("981", "19")
    assert differences() == []
    with pytest.raises(CommandError, match="There is no asset XXX"):
        call_command("restore_balance", "1", "XXX", note="a slip")


def cross_book(world: World) -> tuple[Order, Order]:
    """Two orders rest, and somebody changes the price of one so that they would trade."""
    buy, sell = world.place(1, "buy", 10, "1.9"), world.place(2, "sell", 10, "2")
    world.pump()
    Order.objects.filter(pk=buy.pk).update(price="2.1")
    return buy, sell


def test_a_book_that_cannot_be_restored_halts_its_market_and_no_other(
    exchange_world: World,
) -> None:
    world = exchange_world
    buy, sell = cross_book(world)
    waits = world.place(1, "buy", 1, "1.8")
    bitcoin = world.place(1, "buy", "0.01", "100", market="BTC-USDT")
    world.restart_matching()
    world.pump()

    assert status_of(bitcoin) == ("open", "0")
    assert status_of(waits) == ("pending", "0")
    halt = MarketHalt.objects.get()
    assert (halt.market_id, halt.offset) == (ADA, 2)
    assert f"order {sell.pk} cannot rest" in halt.reason
    assert Market.objects.get(pk=ADA).state == "halted"

    world.restart_matching()  # it is halted already, and the operator still looks
    assert MarketHalt.objects.count() == 1
    Order.objects.filter(pk=buy.pk).update(price="1.9")
    halts.resume_market(market=ADA, note="the price is what was ordered", actor_id=1)
    relay_all(world)
    assert [status_of(order) for order in (buy, sell, waits)] == [("open", "0")] * 3
    taker = world.place(2, "sell", 11, "1.8")
    world.pump()
    assert status_of(taker) == ("filled", "11")
    assert differences() == []


def test_an_order_off_the_tick_halts_its_market_only(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    Order.objects.filter(pk=order.pk).update(price="1.90005")
    bitcoin = world.place(1, "buy", "0.01", "100", market="BTC-USDT")
    world.restart_matching()
    world.pump()
    assert status_of(bitcoin) == ("open", "0")
    assert MarketHalt.objects.get().market_id == ADA


def test_a_change_that_nobody_has_ordered_halts_its_market(exchange_world: World) -> None:
    world = exchange_world
    change = change_state(market=ADA, state="post_only", reason="a test")
    bitcoin = world.place(1, "buy", "0.01", "100", market="BTC-USDT")
    world.match()
    change.delete()
    settle_records(world.trade_events())
    assert MarketHalt.objects.get().market_id == ADA
    assert status_of(bitcoin) == ("open", "0")
