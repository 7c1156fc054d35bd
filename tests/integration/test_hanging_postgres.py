"""A Postgres that is there and says nothing: whoever waits for it is told so, in time."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, InterfaceError, connection, transaction

from exchange import health
from exchange.postgres import LOOK_EVERY_SECONDS, lift_time_limits, patience
from exchange.settings.stores import TRANSACTION_TIMEOUT_SECONDS
from matching.recovery import snapshot
from tests.api import ApiClient
from tests.stopping import stopped
from tests.support import World

PATIENCE = 0.5
SOON = PATIENCE + 2 * LOOK_EVERY_SECONDS + 1


@contextmanager
def hanging(*, patience: float = PATIENCE) -> Iterator[None]:
    """This thread's server process is stopped, and nobody's kernel notices."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    connection.connection.patience = connection.connection.usual_patience = patience
    try:
        with stopped(pid):
            began = time.monotonic()
            yield
            assert PATIENCE <= time.monotonic() - began < SOON
    finally:
        connection.close()  # as the end of a request does


def test_a_statement_has_an_end(exchange_world: World) -> None:
    with hanging(), pytest.raises((DatabaseError, InterfaceError)):
        connection.cursor().execute("SELECT 1")


def test_a_commit_has_an_end(exchange_world: World) -> None:
    connection.set_autocommit(False)
    with hanging(), pytest.raises((DatabaseError, InterfaceError)):
        connection.commit()


def test_a_request_is_answered(api: ApiClient) -> None:
    assert api.get("/orders/1").status_code == 404
    with hanging():
        response = api.get("/orders/1")
    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"


def test_health_does_not_wait_for_as_long_as_others_do(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "POSTGRES_SECONDS", PATIENCE)
    with hanging(patience=60):
        body = api.get("/health/ready").json()
    assert body["dependencies"]["postgres"]["status"] == "failing"


def test_who_may_take_long_is_not_cut(exchange_world: World) -> None:
    connection.ensure_connection()
    watched = connection.connection
    assert watched.patience == TRANSACTION_TIMEOUT_SECONDS + 5
    with snapshot():
        assert watched.patience == math.inf
    assert watched.patience == TRANSACTION_TIMEOUT_SECONDS + 5
    with patience(1), transaction.atomic(durable=True):
        assert watched.patience == 1
        lift_time_limits()
        connection.cursor().execute(f"SELECT pg_sleep({1 + 2 * LOOK_EVERY_SECONDS})")
