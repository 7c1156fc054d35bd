"""A matching worker does not run away from the settlement: what it must remember is bounded."""

from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

from exchange.bridge import Bridge
from exchange.bridge_status import bridge_reports
from exchange.embedded.server import wait_until
from matching import host
from matching.tasks import host as host_of_process
from orders.models import Order
from tests.support import World, differences


@pytest.fixture
def bridge(
    exchange_world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bridge]:
    """A matching bridge that reads one record at a time, and may be three orders ahead."""
    settings.KAFKA_STATIC_ASSIGNMENT = True
    settings.KAFKA_MAX_BATCH = 1
    monkeypatch.setattr(host, "MAX_UNSETTLED", 3)
    running = Bridge("matching")
    running.start()
    yield running
    running.stop()
    host_of_process.close()


def eventually(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, timeout_seconds=30)


def state() -> str:
    return next((report.state for report in bridge_reports() if report.bridge == "matching"), "")


def test_matching_waits_for_the_settlement_and_goes_on_with_it(
    bridge: Bridge, exchange_world: World
) -> None:
    world = exchange_world
    for _ in range(8):
        world.place(1, "buy", 1, "1.9")
    eventually(lambda: state() == "waiting")
    assert len(world.trade_events()) == 3

    def all_settled() -> bool:
        world.settle()
        return not Order.objects.filter(status="pending").exists()

    eventually(all_settled)
    eventually(lambda: state() == "running")
    assert differences() == []
