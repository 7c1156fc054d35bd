"""Many threads place, cancel and settle at once: no deadlock, no overdraft, every hold exact."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, connections, transaction

from balances import services as balances
from balances.changes import change_balances
from balances.ledger import Movement, apply_movements
from balances.locks import lock_balances
from exchange.api.errors import ClientError
from exchange.models import User
from orders import outbox
from orders.models import Market, Order
from orders.services import place_order, request_cancel
from tests.support import World, differences

USERS = 6
THREADS = 4
ORDERS_PER_THREAD = 40


@pytest.fixture
def traders(exchange_world: World) -> list[int]:
    users = [User.objects.create(username=f"t{number}").pk for number in range(USERS)]
    for user in users:
        # Little enough that some orders are refused, enough that most are not.
        balances.deposit(user_id=user, asset="USDT", amount=Decimal(100))
        balances.deposit(user_id=user, asset="ADA", amount=Decimal(60))
        balances.deposit(user_id=user, asset="BTC", amount=Decimal("0.01"))
    return users


def trade_at_random(seed: int, traders: list[int]) -> tuple[int, int]:
    """Place and cancel; return how many orders were accepted and how many refused."""
    rng = random.Random(seed)
    accepted: list[int] = []
    refused = 0
    for _ in range(ORDERS_PER_THREAD):
        try:
            if accepted and rng.random() < 0.25:
                request_cancel(order_id=rng.choice(accepted))
                continue
            market = rng.choice(("ADA-USDT", "ADA-USDT", "ADA-BTC"))
            price = rng.randint(18, 20)
            placed = place_order(
                user_id=rng.choice(traders),
                market=market,
                side=rng.choice(("buy", "sell")),
                price=Decimal(price) / (10 if market == "ADA-USDT" else 1_000_000),
                quantity=Decimal(rng.randint(1, 30)),
            )
            accepted.append(placed.order.pk)
        except ClientError:
            refused += 1
    return len(accepted), refused


def in_thread(work: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    try:
        return work()
    finally:
        connections.close_all()


@pytest.mark.parametrize(("seed", "fee"), [(1, "0"), (2, "0.002")])
def test_threads_that_place_cancel_and_settle_at_once(
    exchange_world: World, traders: list[int], seed: int, fee: str
) -> None:
    """On two markets, with one balance of each user for both."""
    world = exchange_world
    Market.objects.update(maker_fee_rate=fee, taker_fee_rate=fee)
    world.restart_matching()
    done = threading.Event()

    def settle_all_along() -> tuple[int, int]:
        while not done.is_set():
            world.pump()
        return 0, 0

    with ThreadPoolExecutor(THREADS + 1) as pool:
        settling = pool.submit(in_thread, settle_all_along)
        placing = [
            pool.submit(in_thread, lambda s=seed * 100 + n: trade_at_random(s, traders))  # type: ignore[misc]
            for n in range(THREADS)
        ]
        results = [future.result(timeout=120) for future in placing]
        done.set()
        settling.result(timeout=60)
    outbox.flush()
    world.pump()

    accepted, refused = (sum(column) for column in zip(*results, strict=True))
    assert accepted > THREADS * ORDERS_PER_THREAD / 3
    assert refused > 0, "the load must come to the end of somebody's money"
    assert Order.objects.count() == accepted
    assert Order.objects.filter(status="pending").count() == 0
    assert Order.objects.filter(status="filled").count() > 0
    assert differences() == []


def test_the_last_money_can_be_held_only_once(exchange_world: World) -> None:
    """Eight threads, money for one: check-then-act would let several through."""
    start = threading.Barrier(8)

    def buy() -> tuple[int, int]:
        start.wait()
        try:
            place_order(
                user_id=1, market="ADA-USDT", side="buy", price=Decimal(2), quantity=Decimal(300)
            )
        except balances.InsufficientBalanceError:
            return 0, 1
        return 1, 0

    with ThreadPoolExecutor(8) as pool:
        results = [f.result(30) for f in [pool.submit(in_thread, buy) for _ in range(8)]]
    assert [sum(column) for column in zip(*results, strict=True)] == [1, 7]
    outbox.flush()
    assert differences() == []


def test_many_rows_at_once_never_wait_in_a_circle(exchange_world: World) -> None:
    """Eight threads change twelve balances each, half of them made on the way."""
    users = [User.objects.create(username=f"u{number}").pk for number in range(60)]
    keys = [(user, asset) for user in users for asset in ("ADA", "BTC", "USDT")]

    def change(seed: int) -> tuple[int, int]:
        rng = random.Random(seed)
        for _ in range(20):
            movements = [
                Movement(user, asset, "deposit", Decimal(1), Decimal(0), note="system")
                for user, asset in rng.sample(keys, 12)
            ]
            change_balances(lambda due=movements: (None, apply_movements(due)))  # type: ignore[misc]
        return 20, 0

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(in_thread, lambda s=seed: change(s)) for seed in range(8)]  # type: ignore[misc]
        assert sum(future.result(60)[0] for future in work) == 160
    assert differences() == []


def test_balances_are_locked_before_they_are_changed(exchange_world: World) -> None:
    def lock_in_vain() -> tuple[int, int]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = 200")
            with pytest.raises(OperationalError, match="lock timeout"):
                lock_balances({(1, "USDT")})
        return 1, 0

    with transaction.atomic(), ThreadPoolExecutor(1) as pool:
        lock_balances({(1, "USDT"), (2, "ADA")})
        assert pool.submit(in_thread, lock_in_vain).result(30) == (1, 0)
