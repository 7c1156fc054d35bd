"""Fees on the whole path: the rates an order was accepted with, to one account, to the last digit."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from balances.locks import lock_balances
from balances.models import LedgerEntry, Trade
from balances.services import deposit, withdraw
from exchange.kafka import LogRecord
from exchange.models import FEE_ACCOUNT_ID, FeeTier, User
from exchange.records import NewOrder, decode_order_event
from matching.replay.runner import replay
from orders.batches import place_orders
from orders.models import Market, Order
from orders.rules import Wish
from tests.support import World, balance_of, differences, settle_records, status_of


def set_fees(maker: str, taker: str, market: str = "ADA-USDT") -> None:
    Market.objects.filter(pk=market).update(maker_fee_rate=maker, taker_fee_rate=taker)


def fees_of(trade: Trade) -> tuple[str, str]:
    return format(trade.buyer_fee.normalize(), "f"), format(trade.seller_fee.normalize(), "f")


def replayed_without_difference() -> None:
    found = {outcome.name: outcome.first for outcome in replay().outcomes if outcome.found}
    assert found == {}


def test_each_side_pays_in_what_it_receives_at_its_own_rate(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.0025")
    buy = world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.pump()

    assert status_of(buy) == ("partially_filled", "4")
    assert balance_of(1, "ADA") == ("3.996", "0")  # 4, less a thousandth
    assert balance_of(2, "USDT") == ("7.581", "0")  # 7.6, less 0.0025 of it
    assert balance_of(FEE_ACCOUNT_ID, "ADA") == ("0.004", "0")
    assert balance_of(FEE_ACCOUNT_ID, "USDT") == ("0.019", "0")
    assert fees_of(Trade.objects.get()) == ("0.004", "0.019")
    kinds = LedgerEntry.objects.filter(order=buy).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["hold", "trade", "trade", "fee"]
    assert differences() == []
    replayed_without_difference()


def test_a_fee_is_rounded_up_to_the_smallest_unit(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.00000001", "0.00000001")
    world.place(1, "buy", "0.01", "0.0001")
    world.place(2, "sell", "0.01", "0.0001")
    world.pump()

    assert balance_of(1, "ADA") == ("0.009999", "0")
    assert balance_of(2, "USDT") == ("0", "0"), "the whole of it is one unit"
    assert balance_of(FEE_ACCOUNT_ID, "USDT") == ("0.000001", "0")
    assert differences() == []


def test_without_fees_there_is_no_entry_and_no_further_statement(exchange_world: World) -> None:
    """The plain path: the statements of a settlement are those that it always had."""
    world = exchange_world
    settled = []
    for maker, taker in (("0", "0"), ("0.001", "0.001")):
        set_fees(maker, taker)
        for quantity in (1, 2, 3):
            world.place(2, "sell", quantity, "1.9")
            world.place(1, "buy", quantity, "1.9")
        world.match()
        with CaptureQueriesContext(connection) as queries:
            world.settle()
        settled.append([query["sql"] for query in queries])
        if maker == "0":
            assert not LedgerEntry.objects.filter(kind="fee").exists()
    plain, with_fees = settled
    # Lock the checkpoints, halts; orders; balances made, locked, changed; ledger; trades; move on.
    work = [sql for sql in plain if sql not in ("BEGIN", "COMMIT")]
    assert len(work) == 9, work
    # The fee account's: made, locked, changed, ledger.
    assert len(with_fees) == len(plain) + 4, with_fees
    assert LedgerEntry.objects.filter(kind="fee", order=None).count() == 2, "one for each asset"
    assert LedgerEntry.objects.filter(kind="fee").exclude(order=None).count() == 6
    assert differences() == []


def test_a_change_of_rates_is_for_orders_that_come_after_it(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.001")
    resting = world.place(2, "sell", 4, "1.9")
    set_fees("0.5", "0.25")
    taking = world.place(1, "buy", 4, "1.9")
    set_fees("0", "0")
    world.pump()

    assert (resting.maker_fee_rate, taking.taker_fee_rate) == (Decimal("0.001"), Decimal("0.25"))
    assert fees_of(Trade.objects.get()) == ("1", "0.0076")
    assert differences() == []
    replayed_without_difference()


@pytest.mark.parametrize(
    ("tier", "paid"),
    [
        (("0.0005", "0.001"), ("0.004", "0.0038")),
        (("0", "0"), ("0", "0")),
        (("0.9", "0.001"), ("0.004", "0.0076")),  # never more than the market takes
    ],
)
def test_a_tier_makes_fees_lower(
    exchange_world: World, tier: tuple[str, str], paid: tuple[str, str]
) -> None:
    world = exchange_world
    set_fees("0.001", "0.002")
    best = FeeTier.objects.create(name="best", maker_rate=tier[0], taker_rate=tier[1])
    User.objects.filter(pk__in=(1, 2)).update(fee_tier=best)
    world.place(2, "sell", 4, "1.9")
    world.place(1, "buy", 4, "1.9")
    world.pump()

    assert fees_of(Trade.objects.get()) == paid
    assert differences() == []


def test_a_batch_gets_the_rates_of_each_user_and_market(exchange_world: World) -> None:
    set_fees("0.001", "0.002")
    set_fees("0.003", "0.004", "BTC-USDT")
    best = FeeTier.objects.create(name="best", maker_rate="0.0005", taker_rate="0.003")
    User.objects.filter(pk=1).update(fee_tier=best)
    deposit(user_id=2, asset="USDT", amount=Decimal(100))
    wishes = [
        Wish(user, market, "buy", Decimal(1), Decimal(1))
        for user in (1, 2)
        for market in ("ADA-USDT", "BTC-USDT")
    ]
    placed = place_orders(wishes=wishes)
    expected = [
        ("0.0005", "0.002"), ("0.0005", "0.003"), ("0.001", "0.002"), ("0.003", "0.004"),
    ]  # fmt: skip
    for outcome, rates in zip(placed, expected, strict=True):
        order: Order = outcome.order  # type: ignore[union-attr]
        assert (order.maker_fee_rate, order.taker_fee_rate) == tuple(map(Decimal, rates))
        stored = Order.objects.get(pk=order.pk)
        assert (stored.maker_fee_rate, stored.taker_fee_rate) == tuple(map(Decimal, rates))


def test_the_log_says_the_rates_and_they_must_be_those_of_the_order(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.0025")
    world.place(1, "buy", 10, "1.9")
    (record,) = world.order_events()
    event = decode_order_event(record.value)
    assert isinstance(event, NewOrder)
    assert (event.maker_fee_rate, event.taker_fee_rate) == ("0.001", "0.0025")

    lowered = world.place(1, "buy", 1, "1.9")
    Order.objects.filter(pk=lowered.pk).update(taker_fee_rate=0)
    world.pump()
    assert status_of(lowered) == ("rejected", "0")
    assert differences() == []


def test_who_trades_with_themselves_pays_twice(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.002")
    deposit(user_id=1, asset="ADA", amount=Decimal(10))
    world.place(1, "sell", 4, "1.9")
    world.place(1, "buy", 4, "1.9")
    world.pump()
    if not Trade.objects.exists():
        pytest.skip("self-trade prevention leaves no such trade")
    assert fees_of(Trade.objects.get()) == ("0.008", "0.0076")
    assert differences() == []


def test_settling_twice_takes_a_fee_once(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.001")
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.match()
    batch = world.trade_events()
    assert settle_records(batch) == 2
    assert settle_records(batch) == 0
    assert balance_of(FEE_ACCOUNT_ID, "ADA") == ("0.004", "0")
    assert differences() == []


def test_a_batch_that_is_settled_one_by_one_takes_the_same_fees(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.001")
    set_fees("0.001", "0.001", "BTC-USDT")
    deposit(user_id=2, asset="BTC", amount=Decimal(1))
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.place(1, "buy", "0.01", 100, market="BTC-USDT")
    doomed = world.place(2, "sell", "0.01", 100, market="BTC-USDT")
    world.match()
    Order.objects.filter(pk=doomed.pk).update(side="buy")  # not what its result is about
    world.settle()

    assert Market.objects.get(pk="BTC-USDT").state == "halted"
    assert balance_of(FEE_ACCOUNT_ID, "ADA") == ("0.004", "0")
    assert balance_of(FEE_ACCOUNT_ID, "USDT") == ("0.0076", "0")
    assert balance_of(FEE_ACCOUNT_ID, "BTC") == ("0", "0")


def test_fees_can_be_withdrawn(exchange_world: World) -> None:
    world = exchange_world
    set_fees("0.001", "0.001")
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.pump()
    withdraw(user_id=FEE_ACCOUNT_ID, asset="ADA", amount=Decimal("0.004"))
    assert balance_of(FEE_ACCOUNT_ID, "ADA") == ("0", "0")
    assert differences() == []


def test_the_fee_account_is_locked_last(exchange_world: World) -> None:
    """Who waits for it must not hold up a trader whose balance is not locked by anybody else."""
    world = exchange_world
    set_fees("0.001", "0.001")
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.match()
    batch = world.trade_events()
    lock_balances([(FEE_ACCOUNT_ID, "ADA"), (FEE_ACCOUNT_ID, "USDT")])  # made

    def settle() -> int:
        try:
            return settle_records(batch)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lock_balances([(FEE_ACCOUNT_ID, "ADA")])
            settling = pool.submit(settle)
            _await_waiting_backend()
            # All the rest is done, and locked: only the fee account is waited for.
            with pytest.raises(OperationalError, match="lock timeout"):
                _lock_in_vain(1, "USDT")
        assert settling.result(timeout=30) == 2
    assert balance_of(FEE_ACCOUNT_ID, "ADA") == ("0.004", "0")
    assert differences() == []


def test_partitions_that_settle_at_once_share_the_fee_account(exchange_world: World) -> None:
    """Two workers, each with its partition, fees in the same asset: no circle, nothing lost."""
    world = exchange_world
    set_fees("0.001", "0.001")
    set_fees("0.001", "0.001", "BTC-USDT")
    deposit(user_id=2, asset="BTC", amount=Decimal(1))
    for _ in range(20):
        world.place(1, "buy", 1, "1.9")
        world.place(2, "sell", 1, "1.9")
        world.place(1, "buy", "0.01", 100, market="BTC-USDT")
        world.place(2, "sell", "0.01", 100, market="BTC-USDT")
    world.match()
    by_partition: dict[int, list[LogRecord]] = {}
    for record in world.trade_events():
        by_partition.setdefault(record.partition, []).append(record)
    assert len(by_partition) == 2

    def settle_in_pieces(records: list[LogRecord]) -> int:
        try:
            return sum(settle_records(records[at : at + 4]) for at in range(0, len(records), 4))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(settle_in_pieces, by_partition.values())) == [40, 40]
    assert balance_of(FEE_ACCOUNT_ID, "USDT") == ("0.058", "0")
    assert differences() == []


def _lock_in_vain(user_id: int, asset: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 100")
        lock_balances([(user_id, asset)])


def _await_waiting_backend() -> None:
    with connection.cursor() as cursor:
        for _ in range(1000):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                return
            cursor.execute("SELECT pg_sleep(0.01)")
    raise AssertionError("nobody waits for the fee account")


@pytest.mark.parametrize(
    "damage",
    [
        {"is_active": True},
        {"is_staff": True},
        {"is_superuser": True},
    ],
)
def test_the_fee_account_cannot_be_opened(exchange_world: World, damage: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="user_fee_account_cannot_sign_in"):
        User.objects.filter(pk=FEE_ACCOUNT_ID).update(**damage)
    assert not User.objects.get(pk=FEE_ACCOUNT_ID).has_usable_password()


def test_the_fee_account_has_no_orders(exchange_world: World) -> None:
    deposit(user_id=FEE_ACCOUNT_ID, asset="USDT", amount=Decimal(5))
    with pytest.raises(IntegrityError, match="order_not_of_fee_account"):
        exchange_world.place(FEE_ACCOUNT_ID, "buy", 1, 1)
    assert not Order.objects.exists()


@pytest.mark.parametrize("rate", ["-0.00000001", "1"])
@pytest.mark.parametrize("field", ["maker_fee_rate", "taker_fee_rate"])
def test_a_rate_that_is_no_share_is_refused_by_the_database(
    exchange_world: World, rate: str, field: str
) -> None:
    with pytest.raises(IntegrityError, match="market_fee_rates_are_shares"):
        Market.objects.update(**{field: rate})
    exchange_world.place(1, "buy", 1, 1)
    with pytest.raises(IntegrityError, match="order_fee_rates_are_shares"):
        Order.objects.update(**{field: rate})
    with pytest.raises(IntegrityError, match="fee_tier_rates_are_shares"):
        FeeTier.objects.create(
            **{"name": "x", "maker_rate": 0, "taker_rate": 0, field.replace("_fee", ""): rate}
        )
