"""The dead-man switch: who does not renew it has all orders canceled, whatever dies meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from prometheus_client import REGISTRY

from balances.models import Balance
from exchange.embedded.server import wait_until
from exchange.records import CancelOrder, decode_order_event
from orders import canceling, dead_man, outbox
from orders.models import DeadManSwitch, Order
from orders.tasks import look_at_switches
from tests.support import World, differences, status_of

PROJECT = Path(__file__).resolve().parents[3]


def let_expire(user_id: int = 1) -> None:
    DeadManSwitch.objects.filter(pk=user_id).update(expires_at=F("expires_at") - timedelta(days=2))


def let_stragglers_arrive() -> None:
    late = timedelta(seconds=dead_man.STRAGGLER_SECONDS + 1)
    DeadManSwitch.objects.update(fired_at=F("fired_at") - late)


def rest(world: World, count: int, *, user_id: int = 1, side: str = "buy") -> list[Order]:
    price = {"buy": "0.01", "sell": "90"}[side]
    orders = [world.place(user_id, side, 1, price) for _ in range(count)]
    world.pump()
    return orders


def cancels_on(world: World) -> list[int]:
    outbox.flush()
    events = [decode_order_event(record.value) for record in world.order_events()]
    return [event.order_id for event in events if isinstance(event, CancelOrder)]


def states(orders: list[Order]) -> set[str]:
    return {status_of(order)[0] for order in orders}


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_all_orders_are_canceled_that_were_placed_before(exchange_world: World) -> None:
    world = exchange_world
    resting = rest(world, 3)
    others = rest(world, 2, user_id=2, side="sell")
    dead_man.arm(user_id=1, timeout_seconds=60)
    pending = world.place(1, "buy", 1, "0.01")
    let_expire()
    fired = REGISTRY.get_sample_value("exchange_dead_man_switches_fired_total") or 0.0

    assert look_at_switches() == 4
    later = world.place(1, "buy", 1, "0.01")
    assert look_at_switches() == 0

    outbox.flush()
    world.pump()
    assert states([*resting, pending]) == {"canceled"}
    assert states([later, *others]) == {"open"}
    assert REGISTRY.get_sample_value("exchange_dead_man_switches_fired_total") == fired + 1
    assert differences() == []


def test_nothing_is_canceled_before_it_expires_or_after_it_was_disarmed(
    exchange_world: World,
) -> None:
    orders = rest(exchange_world, 1)
    dead_man.arm(user_id=1, timeout_seconds=60)
    assert look_at_switches() == 0
    let_expire()
    dead_man.arm(user_id=1, timeout_seconds=5)  # late, but before it fired
    assert look_at_switches() == 0
    let_expire()
    dead_man.disarm(user_id=1)
    assert look_at_switches() == 0
    assert cancels_on(exchange_world) == []
    assert states(orders) == {"open"}
    assert dead_man.look(user_id=1).fired_at is None


def test_each_renewal_counts_from_anew(exchange_world: World) -> None:
    first = dead_man.arm(user_id=1, timeout_seconds=60)
    second = dead_man.arm(user_id=1, timeout_seconds=30)
    third = dead_man.arm(user_id=1, timeout_seconds=60)
    assert first.expires_at is not None
    assert second.expires_at is not None
    assert third.expires_at is not None
    assert second.expires_at < first.expires_at < third.expires_at
    assert (second.timeout_seconds, third.timeout_seconds) == (30, 60)


def test_it_can_be_armed_again_while_it_cancels(exchange_world: World) -> None:
    before = rest(exchange_world, 1)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    dead_man.fire()
    dead_man.arm(user_id=1, timeout_seconds=60)
    after = rest(exchange_world, 1)
    assert look_at_switches() == 1
    exchange_world.pump()
    assert (states(before), states(after)) == ({"canceled"}, {"open"})
    let_expire()
    assert look_at_switches() == 1
    exchange_world.pump()
    assert states(after) == {"canceled"}


def test_disarming_does_not_stop_what_has_fired(exchange_world: World) -> None:
    orders = rest(exchange_world, 1)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    dead_man.fire()
    dead_man.disarm(user_id=1)
    assert look_at_switches() == 1
    exchange_world.pump()
    assert states(orders) == {"canceled"}


def test_an_order_that_is_being_placed_when_it_fires_is_canceled_too(
    exchange_world: World,
) -> None:
    """It has its number, and commits after the switch has fired and found nothing."""
    world = exchange_world
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    with transaction.atomic():
        Balance.objects.select_for_update().get(user_id=1, asset_id="USDT")
        placing = in_thread(lambda: world.place(1, "buy", 1, "0.01"))
        assert wait_until(_waits_for_a_lock, timeout_seconds=10)
        found: list[int] = []
        in_thread(lambda: found.append(look_at_switches())).join(30)
        assert found == [0]
    placing.join(10)

    switch = dead_man.look(user_id=1)
    assert switch.canceling
    assert look_at_switches() == 1
    later = world.place(1, "buy", 1, "0.01")
    let_stragglers_arrive()
    assert look_at_switches() == 0
    assert not dead_man.look(user_id=1).canceling
    outbox.flush()
    world.pump()
    assert sorted(status_of(order)[0] for order in Order.objects.all()) == ["canceled", "open"]
    assert status_of(later)[0] == "open"


def _waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        row = cursor.fetchone()
    return row is not None and bool(row[0])


def test_it_goes_on_until_nothing_can_turn_up_any_more(exchange_world: World) -> None:
    rest(exchange_world, 1)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    assert look_at_switches() == 1
    assert look_at_switches() == 0
    assert dead_man.look(user_id=1).canceling
    let_stragglers_arrive()
    assert look_at_switches() == 0
    assert not dead_man.look(user_id=1).canceling


def test_an_order_that_is_just_being_settled_is_taken_by_the_next_run(
    exchange_world: World,
) -> None:
    first, second = rest(exchange_world, 2)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    let_stragglers_arrive()
    found: list[int] = []
    with transaction.atomic():
        Order.objects.select_for_update(no_key=True).get(pk=first.pk)
        in_thread(lambda: found.append(look_at_switches())).join(30)
    assert found == [1]
    assert dead_man.look(user_id=1).canceling
    assert look_at_switches() == 1
    assert cancels_on(exchange_world) == [second.pk, first.pk]


def test_many_orders_of_many_users_in_one_run(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canceling, "MAX_CANCELS", 2)
    mine, theirs = rest(exchange_world, 5), rest(exchange_world, 3, user_id=2, side="sell")
    for user_id in (1, 2):
        dead_man.arm(user_id=user_id, timeout_seconds=60)
        let_expire(user_id)
    assert look_at_switches() == 8
    exchange_world.pump()
    assert states([*mine, *theirs]) == {"canceled"}
    assert differences() == []


def test_two_runs_at_once_ask_once(exchange_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canceling, "MAX_CANCELS", 3)
    orders = rest(exchange_world, 12)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    at_once = threading.Barrier(4)

    def run(_: int) -> int:
        try:
            at_once.wait()
            return int(look_at_switches())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        asked = sum(threads.map(run, range(4)))
    asked += look_at_switches()
    assert asked == 12
    assert sorted(cancels_on(exchange_world)) == [order.pk for order in orders]


DIES = """
import os, signal, django
django.setup()
from orders import canceling, dead_man
ask = canceling.request_cancel_of_all
left = [int(os.environ["ASKS"])]
canceling.MAX_CANCELS = 2
def ask_or_die(**wanted):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return ask(**wanted)
canceling.request_cancel_of_all = ask_or_die
dead_man.run()
"""


@pytest.mark.parametrize("asks", [0, 1])
def test_who_dies_between_firing_and_canceling_leaves_nothing_undone(
    exchange_world: World, asks: int
) -> None:
    orders = rest(exchange_world, 5)
    dead_man.arm(user_id=1, timeout_seconds=60)
    let_expire()
    here = connection.settings_dict["NAME"]
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIES], cwd=PROJECT, check=False, timeout=60,
        env=os.environ | {
            "DJANGO_SETTINGS_MODULE": "exchange.settings", "ASKS": str(asks),
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{here}").geturl(),
            "KAFKA_TOPIC_PREFIX": settings.KAFKA_TOPIC_PREFIX,
        },
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL
    switch = dead_man.look(user_id=1)
    assert (switch.expires_at, switch.canceling) == (None, True)
    marked = Order.objects.filter(cancel_requested_at__isnull=False).count()
    assert marked == 2 * asks

    later = exchange_world.place(1, "buy", 1, "0.01")
    assert look_at_switches() == 5 - marked
    outbox.flush()
    exchange_world.pump()
    survivors = [order for order in orders if status_of(order)[0] != "canceled"]
    # Those that the dead process had marked and not published are the relay's.
    assert {order.pk for order in survivors} <= set(
        Order.objects.filter(cancel_requested_at__isnull=False).values_list("pk", flat=True)
    )
    assert len(survivors) <= marked
    assert status_of(later)[0] == "open"


@pytest.mark.parametrize(
    "change",
    [
        {"timeout_seconds": 4}, {"timeout_seconds": 86_401}, {"timeout_seconds": None},
        {"expires_at": None}, {"canceling": True}, {"last_order_id": 3},
        {"fired_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)  # fmt: skip
def test_the_database_refuses_half_a_switch(
    exchange_world: World, change: dict[str, object]
) -> None:
    dead_man.arm(user_id=1, timeout_seconds=5)
    with pytest.raises(IntegrityError), transaction.atomic():
        DeadManSwitch.objects.update(**change)
