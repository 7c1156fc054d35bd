"""Health: alive says nothing about others; ready names every dependency and every bridge."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import Client
from pytest_django import Settings

from exchange import bridge_status, health
from exchange.bridge_status import BridgeStatus, bridge_reports
from exchange.health import LastAnswer, readiness
from tests.api import ApiClient
from tests.support import World

NOBODY = "127.0.0.1:1"
OK = {"status": "ok"}


@pytest.fixture
def bridges(api: ApiClient, settings: Settings) -> Iterator[dict[str, BridgeStatus]]:
    """Both bridges, reporting as the workers' threads do, and running."""
    reporting = {name: BridgeStatus(name) for name in settings.KAFKA_BRIDGES}
    for status in reporting.values():
        status.report("running", partitions=[0, 1, 2, 3], lag={0: 0, 1: 0, 2: 7, 3: 0})
    yield reporting
    for status in reporting.values():
        status.report("stopped")


def ready(api: ApiClient) -> tuple[int, dict[str, Any]]:
    """Ask, and make sure that the answer came quickly."""
    began = time.monotonic()
    response = api.get("/health/ready")
    assert time.monotonic() - began < 5
    return response.status_code, response.json()


def test_alive_asks_nobody(api: ApiClient, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = api.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


def test_ready_names_every_dependency_and_every_bridge(
    api: ApiClient, bridges: dict[str, BridgeStatus]
) -> None:
    status, body = ready(api)
    assert (status, body["status"], body["missing_bridges"]) == (200, "ready", [])
    assert body["dependencies"] == {"postgres": OK, "redis": OK, "kafka": OK}
    assert [bridge["bridge"] for bridge in body["bridges"]] == ["market-data", "matching", "trades"]
    matching = body["bridges"][1]
    assert matching["bridge"] == "matching"
    assert (matching["state"], matching["error"]) == ("running", "")
    assert matching["partitions"] == [0, 1, 2, 3]
    assert matching["lag"] == {"0": 0, "1": 0, "2": 7, "3": 0}


def test_without_bridges_nothing_is_ready(api: ApiClient) -> None:
    status, body = ready(api)
    assert (status, body["status"]) == (503, "not_ready")
    assert body["missing_bridges"] == ["matching", "trades", "market-data"]
    assert body["dependencies"] == {"postgres": OK, "redis": OK, "kafka": OK}


@pytest.mark.parametrize("state", ["stopped", "connecting", "recovering", "failing", "idle"])
def test_a_bridge_that_does_not_run_is_missing(
    api: ApiClient, bridges: dict[str, BridgeStatus], state: str
) -> None:
    bridges["trades"].report(state, error="DatabaseError('a row with a balance')")
    status, body = ready(api)
    assert (status, body["missing_bridges"]) == (503, ["trades"])
    shown = {bridge["bridge"]: bridge for bridge in body["bridges"]}
    assert ("trades" in shown) is (state != "stopped")
    if state != "stopped":
        assert (shown["trades"]["state"], shown["trades"]["error"]) == (state, "DatabaseError")


def test_without_market_data_orders_are_settled_all_the_same(
    api: ApiClient, bridges: dict[str, BridgeStatus]
) -> None:
    bridges["market-data"].report("stopped")
    status, body = ready(api)
    assert (status, body["problems"], body["missing_bridges"]) == (200, [], ["market-data"])


def test_a_bridge_that_fell_silent_is_missing(
    api: ApiClient, bridges: dict[str, BridgeStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_status, "STALE_SECONDS", -1.0)
    assert ready(api)[1]["missing_bridges"] == ["matching", "trades", "market-data"]


def test_nobody_is_told_where_a_worker_runs_and_what_went_wrong_but_operators(
    api: ApiClient, bridges: dict[str, BridgeStatus]
) -> None:
    bridges["trades"]._host = "internal-7"
    bridges["trades"].report("failing", error="balance of user 7 at redis://:hidden@internal-7")
    body = json.dumps(ready(api)[1])
    for_operators = readiness(with_details=True)["bridges"]
    bridges["trades"].report("stopped")
    assert "internal-7" not in body
    assert "balance" not in json.dumps(json.loads(body)["bridges"])
    shown = next(bridge for bridge in for_operators if bridge["host"] == "internal-7")
    assert shown["error"] == "balance of user 7 at redis://:***@internal-7"


def test_the_stores_are_asked_once_a_second(
    api: ApiClient,
    bridges: dict[str, BridgeStatus],
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: Any,
) -> None:
    monkeypatch.setattr(health, "KEEP_SECONDS", 1000.0)
    monkeypatch.setattr(health, "_last_answer", LastAnswer(health._look))
    assert ready(api)[0] == 200
    bridges["trades"].report("failing")
    with django_assert_num_queries(0):
        assert ready(api)[0] == 200


def test_who_comes_while_somebody_asks_gets_the_answer_before() -> None:
    may_end, asking = threading.Event(), threading.Event()
    asked: list[int] = []

    def look() -> dict[str, Any]:
        asked.append(len(asked))
        if len(asked) > 1:
            asking.set()
            assert may_end.wait(10)
        return {"number": asked[-1]}

    last = LastAnswer(look)
    assert last.get() == {"number": 0}
    slow = threading.Thread(target=last.get)
    slow.start()
    assert asking.wait(10)
    assert [last.get() for _ in range(3)] == [{"number": 0}] * 3, "nobody waits"
    may_end.set()
    slow.join()
    assert len(asked) == 2


@pytest.mark.parametrize("is_first", [True, False], ids=["nothing known", "too old"])
def test_without_an_answer_of_use_all_wait_and_one_asks(
    monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    asked: list[int] = []
    together = threading.Barrier(8)

    def look() -> dict[str, Any]:
        asked.append(1)
        return {}

    last = LastAnswer(look)
    if not is_first:
        last.get()
        monkeypatch.setattr(health, "OF_USE_SECONDS", 0.0)
        last._found = last._found[0], last._found[1] - 2000
        asked.clear()
    monkeypatch.setattr(health, "KEEP_SECONDS", 1000.0)

    def ask() -> None:
        together.wait()
        last.get()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_partition_that_nobody_reads_is_named(
    api: ApiClient, bridges: dict[str, BridgeStatus]
) -> None:
    bridges["matching"].report("running", partitions=[0, 1], lag={})
    bridges["market-data"].report("running", partitions=[], lag={})
    other = BridgeStatus("matching")
    other._host = "elsewhere"
    other.report("recovering", partitions=[2, 3])
    status, body = ready(api)
    assert (status, body["missing_bridges"]) == (503, [])
    assert body["unread_partitions"] == {"market-data": [0, 1, 2, 3], "matching": [2, 3]}
    assert body["problems"] == [
        "No running matching worker reads partition 2, 3. Orders are accepted and wait to be matched."
    ]
    other.report("running", partitions=[2, 3])
    assert ready(api)[0] == 200
    other.report("stopped")


def test_a_second_worker_that_runs_is_enough(
    api: ApiClient, bridges: dict[str, BridgeStatus]
) -> None:
    other = BridgeStatus("trades")
    other._host = "elsewhere"
    other.report("failing", error="lost its database")
    states = [report.state for report in bridge_reports() if report.bridge == "trades"]
    assert states == ["failing", "running"]
    assert ready(api)[0] == 200
    other.report("stopped")


@pytest.mark.parametrize("addresses", [[NOBODY], [NOBODY, NOBODY], ["nonsense"], [""], []])
def test_without_kafka_it_says_so(
    api: ApiClient, bridges: dict[str, BridgeStatus], settings: Settings, addresses: list[str]
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = addresses
    status, body = ready(api)
    assert (status, body["missing_bridges"]) == (503, [])
    assert body["dependencies"]["kafka"]["status"] == "failing"
    assert body["dependencies"]["kafka"]["error"].endswith("Error")


def test_one_broker_of_several_is_enough(
    api: ApiClient, bridges: dict[str, BridgeStatus], settings: Settings
) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = [NOBODY, *settings.KAFKA_BOOTSTRAP_SERVERS]
    assert ready(api)[0] == 200


def test_without_the_cache_it_says_so(
    api: ApiClient, bridges: dict[str, BridgeStatus], settings: Settings
) -> None:
    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "LOCATION": f"redis://{NOBODY}/1"}}
    status, body = ready(api)
    assert status == 503
    assert body["dependencies"]["redis"]["status"] == "failing"
    assert body["dependencies"]["redis"]["error"] == "ConnectionError"
    assert body["missing_bridges"] == ["matching", "trades", "market-data"], (
        "nothing is known of them"
    )


def test_without_the_reports_database_it_says_so(
    api: ApiClient, bridges: dict[str, BridgeStatus], settings: Settings
) -> None:
    settings.REDIS_URL = f"redis://{NOBODY}/0"
    status, body = ready(api)
    assert (status, body["dependencies"]["redis"]["status"]) == (503, "failing")


def test_a_report_nobody_can_read_is_not_a_500(
    api: ApiClient, bridges: dict[str, BridgeStatus], settings: Settings
) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set("bridge:trades:elsewhere:1", "not a report", ex=30)
        status, body = ready(api)
        client.delete("bridge:trades:elsewhere:1")
    assert (status, body["dependencies"]["redis"]["status"]) == (503, "failing")


def test_without_postgres_it_says_so(
    api: ApiClient, bridges: dict[str, BridgeStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", "1")
        status, body = ready(api)
    assert (status, body["missing_bridges"]) == (503, [])
    assert body["dependencies"]["postgres"]["error"] == "OperationalError"


def test_without_postgres_an_order_is_answered_with_503(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", "1")
        response = api.order()
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/admin/", "/login", "/orders"])
def test_without_postgres_pages_for_people_are_503_too(
    exchange_world: World, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client = Client(headers={"Accept": "text/html"})
    client.cookies["sessionid"] = "a" * 32
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "PORT", "1")
        response = (
            client.get(path)
            if path != "/login"
            else client.post(path, {"username": "user1", "password": "x"})
        )
    assert (response.status_code, response["Retry-After"]) == (503, "1")
