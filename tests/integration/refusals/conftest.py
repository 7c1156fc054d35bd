"""One exchange for a whole module of refusals: every test here proves that it changes nothing."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings
from django_redis import get_redis_connection

from tests.api import ApiClient, Stores
from tests.support import World, trust_cache

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """pytest-django's own, but emptied after a module and not after every test."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def lasting_world(transactional_db: None) -> Iterator[World]:
    """A seeded exchange: user 1 has a filled order and one that rests, their balances are cached."""
    from exchange.kafka import Log

    prefix = f"lasting{next(_numbers)}-"
    with override_settings(KAFKA_TOPIC_PREFIX=prefix, DEMO=True), Log() as log:
        get_redis_connection("default").flushdb()
        log.create_topics()
        world = World()
        world.seed()
        world.place(1, "buy", 1, "1.9")
        world.place(2, "sell", 1, "1.9")
        world.place(1, "buy", 1, "1.8")
        world.pump()
        trust_cache()
        ApiClient().get("/balance/1")
        yield world
        world.close()
        log.delete_topics()


@pytest.fixture
def refusing(lasting_world: World) -> Iterator[ApiClient]:
    """A client whose requests must leave every store exactly as it was."""
    before = Stores.look()
    assert before.cached, "the cache holds nothing that could change"
    yield ApiClient()
    assert Stores.look() == before
