"""Results that were lost at the end of the log are made again, and nothing else is."""

from collections.abc import Iterator

import pytest

from balances import watchdog
from balances.halts import halt_partition
from balances.models import Checkpoint, LogEpoch
from exchange.bridge_status import BridgeStatus
from exchange.kafka import partition_for
from orders.models import Market
from tests.support import World, differences, status_of

PARTITION = partition_for("ADA")


@pytest.fixture
def world(exchange_world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Every stall counts at once."""
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 0.0)
    exchange_world.restart_matching()
    return exchange_world  # type: ignore[return-value]


def report(bridge: str, lag: int = 0, state: str = "running") -> None:
    BridgeStatus(bridge).report(state, partitions=[PARTITION], lag={PARTITION: lag})


def test_results_lost_at_the_end_of_the_log_are_made_again(world: World) -> None:
    order = world.place(1, "buy", 1, "1.9")
    world.match()  # and nobody ever reads the result
    report("matching")
    report("trades")
    assert watchdog.watch() == [PARTITION]
    world.settled_up_to = {PARTITION: 0}
    world.restart_matching()
    world.pump()
    assert status_of(order) == ("open", "0")
    assert watchdog.watch() == []
    assert differences() == []


def test_making_them_again_is_tried_once_then_the_partition_halts(world: World) -> None:
    world.place(1, "buy", 1, "1.9")
    report("matching")
    report("trades")
    assert watchdog.watch() == [PARTITION]
    assert Market.objects.get(pk="ADA-USDT").state == "open"
    assert watchdog.watch() == []
    assert LogEpoch.objects.count() == 2
    assert "are missing" in Checkpoint.objects.get(pk=PARTITION).halted_reason
    assert Market.objects.get(pk="ADA-USDT").state == "halted"
    assert watchdog.watch() == []


@pytest.mark.parametrize("how", [{}, {"lag": 1}, {"state": "failing"}])
def test_how_the_market_data_bridge_is_does_not_matter(
    world: World, how: dict[str, object]
) -> None:
    world.place(1, "buy", 1, "1.9")
    world.match()
    for bridge in ("matching", "trades"):
        report(bridge)
    report("market-data", **how)  # type: ignore[arg-type]
    assert watchdog.watch() == [PARTITION]


@pytest.mark.parametrize(
    ("matching", "trades"),
    [
        (None, None),
        ({}, None),
        (None, {}),
        ({"lag": 1}, {}),
        ({}, {"lag": 1}),
        ({"state": "failing"}, {}),
        ({}, {"state": "recovering"}),
    ],
)
def test_without_two_bridges_that_have_read_all_nothing_is_done(
    world: World, matching: dict[str, object] | None, trades: dict[str, object] | None
) -> None:
    world.place(1, "buy", 1, "1.9")
    for bridge, how in (("matching", matching), ("trades", trades)):
        if how is not None:
            report(bridge, **how)  # type: ignore[arg-type]
    assert watchdog.watch() == []


def test_what_is_settled_or_has_just_come_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.place(1, "buy", 1, "1.9")
    world.pump()
    report("matching")
    report("trades")
    assert watchdog.watch() == []
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 60.0)
    world.place(1, "buy", 1, "1.8")
    assert watchdog.watch() == []
    assert LogEpoch.objects.count() == 1


def test_a_partition_that_has_moved_on_is_not_halted(world: World) -> None:
    halt_partition(PARTITION, "too late", offset=41)
    assert Checkpoint.objects.get(pk=PARTITION).halted_reason == ""
    assert Market.objects.get(pk="ADA-USDT").state == "open"
