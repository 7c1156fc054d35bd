"""A seeded exchange for each test, on real servers, with a log of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pytest_django import Settings

from exchange.embedded.server import Server
from tests.support import World

_numbers = itertools.count(1)


_TURN = ("unit", "reference", "e2e", "chaos")
"""The fast tests come first; then the files that take minutes, so that with several processes none
of those is left over for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.path.relative_to(Path(__file__).parent).parts[0]))


def _turn(folder: str) -> int:
    return _TURN.index(folder) if folder in _TURN else len(_TURN)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: dict[str, Server]) -> None:
    """Start the servers before pytest-django makes the test database."""


@pytest.fixture(autouse=True)
def demo_mode(request: pytest.FixtureRequest, settings: Settings) -> None:
    """Demo mode: a test need not sign in, unless it is about that (`pytestmark = locked`)."""
    settings.DEMO = request.node.get_closest_marker("locked") is None


@pytest.fixture(autouse=True)
def fresh_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told how the stores were in the test before."""
    monkeypatch.setattr("exchange.health.KEEP_SECONDS", 0.0)


@pytest.fixture
def exchange_world(transactional_db: None, settings: Settings) -> Iterator[World]:
    """Assets and markets, user 1 with 1000 USDT, user 2 with 500 ADA, an empty log and cache."""
    from exchange.kafka import Log

    settings.KAFKA_TOPIC_PREFIX = f"test{next(_numbers)}-"
    _flush(settings)
    with Log() as log:
        log.create_topics()
        world = World()
        world.seed()
        yield world
        world.close()
        log.delete_topics()


def _flush(settings: Any) -> None:
    for address in (settings.REDIS_URL, settings.CACHES["default"]["LOCATION"]):
        with redis.Redis.from_url(address) as client:
            client.flushdb()
