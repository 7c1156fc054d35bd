"""From an order to a settled trade: both walk-throughs, exactly once, in every order of mishaps."""

from decimal import Decimal
from functools import partial

import msgspec
import pytest

from balances import services, tasks
from balances.checkpoints import begin_epoch_for_gap, current_epoch
from balances.models import Balance, Checkpoint, LedgerEntry, LogEpoch, Trade
from balances.settle import Result, SequenceError
from balances.tasks import _face_gap
from exchange.kafka import DEAD_ORDER_EVENTS, Log, LogRecord, partition_for, read_topic
from exchange.money import MAX_AMOUNT
from exchange.records import Execution, decode_trade_event, encode
from matching import recovery
from matching.engine import Engine
from matching.host import MatchingHost
from orders import seeding
from orders.models import Market, Order
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


def settle_with_a_gap(world: World) -> None:
    """Three results, the second of which never arrives."""
    for quantity in (1, 2, 3):
        world.place(1, "buy", quantity, "1.9")
    world.match()
    batch = world.trade_events()
    settle_records(batch[:1])
    with pytest.raises(SequenceError, match="follows"):
        settle_records(batch[2:])
    assert settle_records(batch[1:]) == 0, "results of the epoch before are dropped"


def test_a_missing_result_is_made_again_from_the_checkpoint(exchange_world: World) -> None:
    world = exchange_world
    settle_with_a_gap(world)
    assert Checkpoint.objects.get(pk=partition_for("ADA")).offset == 0

    world.restart_matching()  # what a worker does when it finds the database at another epoch
    world.pump()

    assert balance_of(1, "USDT") == ("988.6", "11.4")
    assert Order.objects.filter(status="open").count() == 3
    assert differences() == []


def test_a_gap_that_stays_halts_the_partition_and_no_other(exchange_world: World) -> None:
    world = exchange_world
    settle_with_a_gap(world)
    world.restart_matching()
    world.match()
    again = world.trade_events()[3:]
    with pytest.raises(SequenceError, match="follows"):
        settle_records(again[1:])
    assert settle_records(again) == 0

    halted = Checkpoint.objects.exclude(halted_reason="").get()
    assert (halted.partition, halted.offset) == (partition_for("ADA"), 0)
    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    assert Market.objects.get(pk="BTC-USDT").state == "open"


def test_a_gap_that_somebody_has_dealt_with_meanwhile_halts_nothing(exchange_world: World) -> None:
    world = exchange_world
    world.place(1, "buy", 1, "1.9")
    world.match()
    stale = SequenceError(partition_for("ADA"), "seen before the epoch that is now", epoch=0)
    _face_gap(stale)
    world.settle()
    assert differences() == []


def test_a_result_that_cannot_be_read_is_made_again(exchange_world: World) -> None:
    world = exchange_world
    orders = [world.place(1, "buy", 1, "1.9") for _ in range(3)]
    other = world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.match()
    batch = world.trade_events()
    ours = [record for record in batch if record.partition == partition_for("ADA")]
    broken = LogRecord(ours[1].partition, ours[1].offset, b"not a record")
    damaged = [broken if record == ours[1] else record for record in batch]
    with pytest.raises(SequenceError, match="follows"):
        settle_records(damaged)
    assert settle_records(damaged) == 0, "results of the epoch before are dropped"
    dead = read_topic(DEAD_ORDER_EVENTS)
    assert {record.value for record in dead} == {b"not a record"}

    world.restart_matching()  # what a worker does when it finds the database at another epoch
    world.pump()
    assert {status_of(order) for order in (*orders, other)} == {("open", "0")}
    assert not Checkpoint.objects.exclude(halted_reason="").exists()
    assert differences() == []


def test_what_cannot_be_read_and_is_no_result_does_no_harm(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 1, "1.9")
    world.match()
    batch = world.trade_events()
    stray = LogRecord(batch[0].partition, batch[0].offset + 1, b"not a record")
    assert settle_records([*batch, stray]) == 1
    assert status_of(order) == ("open", "0")
    assert LogEpoch.objects.count() == 1


def test_a_result_of_an_earlier_epoch_is_dropped(exchange_world: World) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    world.match()
    stale = world.trade_events()
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


def test_a_halt_does_not_spread_when_its_market_is_matched_differently_later(
    exchange_world: World,
) -> None:
    """After a restart the engine lacks what a halted market has not settled; the chain holds."""
    world = exchange_world
    world.place(2, "sell", 10, "1.9")
    world.pump()
    Balance.objects.filter(user_id=2, asset_id="ADA").update(held=0)
    doomed = world.place(1, "buy", 10, "1.9")
    world.pump()
    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    Balance.objects.filter(user_id=2, asset_id="ADA").update(held=10)

    world.cancel(doomed)
    world.match()
    neighbour = world.place(2, "sell", 10, "0.00001", market="ADA-BTC")
    world.restart_matching()  # this engine does not know the doomed order
    world.pump()

    assert status_of(neighbour) == ("open", "0")
    assert not Checkpoint.objects.exclude(halted_reason="").exists()


def test_an_amount_beyond_every_column_halts_its_market_and_no_other(
    exchange_world: World,
) -> None:
    world = exchange_world
    world.place(1, "buy", 10, "1.9")
    other = world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    world.match()
    most = MAX_AMOUNT - 1
    Balance.objects.filter(user_id=1, asset_id="USDT").update(available=most, held=20)
    world.place(2, "sell", 10, "1.9")
    Balance.objects.update_or_create(
        user_id=2, asset_id="USDT", defaults={"available": MAX_AMOUNT, "held": 0}
    )
    world.pump()

    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    assert status_of(other) == ("open", "0")


def test_a_market_opened_while_a_worker_lags_counts_its_trades_from_one(
    exchange_world: World,
) -> None:
    world = exchange_world
    world.restart_matching()
    lagging = MatchingHost()
    lagging.begin({0, 1, 2, 3})
    seeding.seed_bulk_markets(1)
    services.deposit(user_id=2, asset="C000", amount=Decimal(10))
    world.place(1, "buy", 1, 5, market="C000-USDT")
    world.place(2, "sell", 1, 5, market="C000-USDT")
    world.pump()
    assert Trade.objects.filter(market="C000-USDT").count() == 1

    lagging.match(world.order_events())
    world.place(1, "buy", 1, 5, market="C000-USDT")
    world.place(2, "sell", 1, 5, market="C000-USDT")
    lagging.match(world.order_events())
    lagging.close()
    world.settle()
    assert list(Trade.objects.order_by("trade_id").values_list("trade_id", flat=True)) == [1, 2]
    assert differences() == []


def test_a_cancel_that_releases_too_little_halts_its_market(exchange_world: World) -> None:
    world = exchange_world
    order = world.place(1, "buy", 10, "1.9")
    world.pump()
    world.cancel(order)
    world.match()
    (record,) = world.trade_events()[1:]
    canceled = decode_trade_event(record.value)
    forged = encode(msgspec.structs.replace(canceled, canceled_quantity="9.99"))
    settle_records([LogRecord(record.partition, record.offset, forged)])
    assert status_of(order) == ("open", "0")
    assert Market.objects.get(pk="ADA-USDT").state == "halted"


def test_gaps_on_two_partitions_do_not_take_turns_for_ever(exchange_world: World) -> None:
    world = exchange_world
    world.restart_matching()
    with Log() as log:
        identity = log.identity()
    for partition in (0, 1):
        assert begin_epoch_for_gap(partition, current_epoch(), identity) is True
    for partition in (0, 1):
        assert begin_epoch_for_gap(partition, current_epoch(), identity) is False


def test_a_large_batch_is_settled_in_slices(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    monkeypatch.setattr(tasks, "MAX_TRADES", 1)
    for _ in range(3):
        world.place(1, "buy", 1, "1.9")
        world.place(2, "sell", 1, "1.9")
    world.pump()
    assert Trade.objects.count() == 3
    assert differences() == []


def test_elections_count_when_a_batch_is_cut() -> None:
    execution = Execution(
        event="new", market="ADA-USDT", epoch=1, offset=5, previous_offset=4, order_id=3, user_id=7,
        side="sell", price="1.5", status="open", elected=(8, 9),
    )  # fmt: skip
    results = [Result(0, execution)] * 4
    assert [len(part) for part in tasks.slices(results, max_trades=4)] == [2, 2]


def test_an_order_that_could_trade_on_after_the_most_fills_gets_its_rest_back(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = exchange_world
    monkeypatch.setattr(recovery, "Engine", partial(Engine, max_fills=2))
    world.restart_matching()
    sells = [world.place(2, "sell", 1, "1.5") for _ in range(3)]
    buy = world.place(1, "buy", 10, "1.9")
    world.pump()

    assert status_of(buy) == ("canceled", "2")
    assert buy.reason == "fill_limit"
    assert [status_of(sell)[0] for sell in sells] == ["filled", "filled", "open"]
    assert balance_of(1, "USDT") == ("997", "0")
    assert differences() == []
    world.restart_matching()
    world.match()
    assert differences() == []
