"""From an order to a settled trade: both walk-throughs, exactly once, in every order of mishaps."""

import pytest

from balances.models import Checkpoint, LedgerEntry, Trade
from exchange.kafka import LogRecord
from orders.models import Market
from tests.support import World, balance_of, differences, settle_records, status_of


def test_walkthrough_1_comes_out_to_the_last_digit(exchange_world: World) -> None:
    world = exchange_world
    first = world.place(1, "buy", 10, "1.9")
    second = world.place(2, "sell", 10, 2)
    third = world.place(2, "sell", 1, "1.9")
    world.pump()

    assert status_of(first) == ("partially_filled", "1")
    assert status_of(second) == ("open", "0")
    assert status_of(third) == ("filled", "1")
    assert balance_of(1, "USDT") == ("981", "17.1")
    assert balance_of(1, "ADA") == ("1", "0")
    assert balance_of(2, "ADA") == ("489", "10")
    assert balance_of(2, "USDT") == ("1.9", "0")
    assert differences() == []


def test_walkthrough_2_comes_out_to_the_last_digit(exchange_world: World) -> None:
    world = exchange_world
    buy = world.place(1, "buy", 100, 2)
    sell = world.place(2, "sell", 100, 2)
    world.pump()

    assert status_of(buy) == status_of(sell) == ("filled", "100")
    assert balance_of(1, "USDT") == ("800", "0")
    assert balance_of(1, "ADA") == ("100", "0")
    assert balance_of(2, "USDT") == ("200", "0")
    assert balance_of(2, "ADA") == ("400", "0")
    assert differences() == []


def test_a_buyer_below_their_limit_gets_the_difference_back(exchange_world: World) -> None:
    world = exchange_world
    world.place(2, "sell", 3, "1.5")
    buy = world.place(1, "buy", 5, "1.9")
    world.pump()

    # 3 at 1.5 is paid; 2 at 1.9 stays held; the rest is available again.
    assert status_of(buy) == ("partially_filled", "3")
    assert balance_of(1, "USDT") == ("991.7", "3.8")
    assert LedgerEntry.objects.filter(order=buy, kind="release").count() == 1
    assert differences() == []


def test_a_cancel_releases_exactly_what_is_left(exchange_world: World) -> None:
    world = exchange_world
    buy = world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", "3.07", "1.9")
    world.pump()
    world.cancel(buy)
    world.pump()

    assert status_of(buy) == ("canceled", "3.07")
    assert balance_of(1, "USDT") == ("994.167", "0")
    assert differences() == []


def test_settling_a_batch_twice_changes_nothing(exchange_world: World) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.match()
    batch = world.trade_events()

    assert settle_records(batch) == 2
    assert settle_records(batch) == 0
    assert balance_of(1, "ADA") == ("4", "0")
    assert Trade.objects.count() == 1
    assert differences() == []


def test_overlapping_and_doubled_batches_settle_each_result_once(exchange_world: World) -> None:
    world = exchange_world
    for quantity in (1, 2, 3, 4):
        world.place(1, "buy", quantity, "1.9")
    world.place(2, "sell", 10, "1.9")
    world.match()
    batch = world.trade_events()
    assert len(batch) == 5

    assert settle_records(batch[:3]) == 3
    assert settle_records(batch[1:4]) == 1
    # The same records once more on the log, behind the first ones: two matching workers.
    doubled = [*batch, *(LogRecord(r.partition, r.offset + 5, r.value) for r in batch)]
    assert settle_records(doubled) == 1
    assert balance_of(1, "ADA") == ("10", "0")
    assert differences() == []


def test_a_gap_halts_the_partition_and_settles_nothing(exchange_world: World) -> None:
    world = exchange_world
    for quantity in (1, 2, 3):
        world.place(1, "buy", quantity, "1.9")
    world.match()
    batch = world.trade_events()

    settle_records(batch[:1])
    with pytest.raises(Exception, match="follows"):
        settle_records(batch[2:])
    assert settle_records(batch[1:]) == 0

    halted = Checkpoint.objects.exclude(halted_reason="").get()
    assert halted.offset == 0
    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    assert Market.objects.get(pk="BTC-USDT").state == "open"


def test_a_result_of_an_earlier_epoch_is_dropped(exchange_world: World) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    world.match()
    stale = world.trade_events()
    from balances.models import LogEpoch

    newer = LogEpoch.objects.create(order_topic_id="x", trade_topic_id="y", reason="test")
    Checkpoint.objects.update(epoch=newer, offset=-1)

    assert settle_records(stale) == 0
    assert balance_of(1, "USDT") == ("981", "19")


def test_a_result_that_breaks_a_promise_halts_its_market_and_no_other(
    exchange_world: World,
) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 10, "1.9")
    world.match()
    # Somebody has taken the money behind the back of the ledger.
    from balances.models import Balance

    Balance.objects.filter(user_id=1, asset_id="USDT").update(held=0)
    world.settle()

    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    assert Trade.objects.count() == 0
    # A market of the same partition, and one of another, go on.
    world.place(2, "sell", 10, "0.00001", market="ADA-BTC")
    other = world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.pump()
    assert status_of(other) == ("open", "0")
    assert Checkpoint.objects.filter(halted_reason="").count() == Checkpoint.objects.count()
