"""Limits of the API: who is counted, what a client is told, what it costs, and without Redis."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from exchange import rates
from exchange.api.throttling import ExchangeThrottle, RateLimitedError, limits_of
from exchange.embedded.server import Server
from exchange.models import User
from matching.api import MarketListView
from orders.models import Order
from tests.api import ApiClient, refusal
from tests.support import World, differences

LIMITS = [
    f"THROTTLE_{who}_{what}_PER_SECOND"
    for who in ("USER", "KEY", "ADDRESS")
    for what in ("READS", "ORDERS")
]
SLOW = 0.001
"""Tokens a second: none comes back while a test runs."""


@pytest.fixture(autouse=True)
def throttles(settings: Settings) -> Iterator[Settings]:
    """Throttles on, but without a limit, and nothing counted yet; 1000 s of `SLOW` are one token."""
    settings.THROTTLES = True
    for name in LIMITS:
        setattr(settings, name, 0)
    settings.THROTTLE_BURST_SECONDS = 1000
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*(client.keys("rate:*") or ["none"]))
    rates.buckets.cache_clear()
    yield settings
    rates.buckets.cache_clear()


def allow(settings: Settings, **limits: int) -> None:
    """Set limits by name: `allow(settings, address_reads=3)` lets three of them through."""
    for name, burst in limits.items():
        setattr(settings, f"THROTTLE_{name.upper()}_PER_SECOND", burst * SLOW)


def headers(response: Any) -> tuple[str, str, str]:
    return tuple(response[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset"))


def test_an_answer_says_what_is_left_and_the_refusal_when_to_come_back(
    api: ApiClient, settings: Settings
) -> None:
    allow(settings, address_reads=2)

    first, second, third = (api.get("/markets") for _ in range(3))

    assert (first.status_code, headers(first)) == (200, ("2", "1", "500"))
    assert (second.status_code, headers(second)) == (200, ("2", "0", "1000"))
    assert refusal(third) == (429, "rate_limited", None)
    assert headers(third) == ("2", "0", "1000")
    assert third["Retry-After"] == "500"
    assert "reads of this address" in third.json()["message"]


def test_reads_and_orders_are_counted_apart(api: ApiClient, settings: Settings) -> None:
    allow(settings, address_reads=1, address_orders=2)

    assert api.get("/orders").status_code == 200
    assert api.order().status_code == 201
    assert api.delete(f"/orders/{Order.objects.get().pk}").status_code == 202
    assert refusal(api.order()) == (429, "rate_limited", None)
    assert refusal(api.get("/balance/1")) == (429, "rate_limited", None)


def test_a_refused_order_changes_nothing(
    api: ApiClient, settings: Settings, exchange_world: World
) -> None:
    allow(settings, address_orders=1)

    statuses = [api.order().status_code for _ in range(5)]

    assert statuses == [201, 429, 429, 429, 429]
    assert Order.objects.count() == 1
    exchange_world.pump()
    assert differences() == []


def test_addresses_are_counted_apart(api: ApiClient, settings: Settings) -> None:
    allow(settings, address_reads=1)
    settings.TRUSTED_PROXIES = 1

    def read(address: str) -> int:
        return int(api.get("/markets", headers={"X-Forwarded-For": address}).status_code)

    assert [read("203.0.113.1"), read("203.0.113.1"), read("203.0.113.2")] == [200, 429, 200]
    assert [read("2001:db8::1"), read("2001:db8::2"), read("2001:db8:0:1::1")] == [200, 429, 200]


def test_a_forged_address_is_no_new_address(api: ApiClient, settings: Settings) -> None:
    allow(settings, address_reads=1)
    statuses = [
        api.get("/markets", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code
        for n in range(3)
    ]
    assert statuses == [200, 429, 429]


def test_a_user_is_counted_from_every_address(api: ApiClient, settings: Settings) -> None:
    allow(settings, user_reads=1)
    user = User.objects.get(pk=1)
    api.force_login(user)
    assert api.get("/markets", REMOTE_ADDR="203.0.113.1").status_code == 200
    refused = api.get("/markets", REMOTE_ADDR="203.0.113.2")
    assert refusal(refused) == (429, "rate_limited", None)
    assert "this user" in refused.json()["message"]
    api.logout()
    assert api.get("/markets").status_code == 200


def as_key(user_id: int, key_id: int) -> Request:
    """A request as it is once an API key has been checked."""
    request = Request(RequestFactory().get("/markets"))
    request.user = User(pk=user_id)
    request.auth = SimpleNamespace(pk=key_id)
    return request


def test_each_api_key_is_counted_and_all_keys_of_a_user_together(settings: Settings) -> None:
    allow(settings, key_reads=2, user_reads=3)

    def allowed(key_id: int) -> bool:
        try:
            return ExchangeThrottle().allow_request(as_key(1, key_id), None)  # type: ignore[arg-type]
        except RateLimitedError:
            return False

    assert [allowed(1), allowed(1), allowed(1)] == [True, True, False]
    assert [allowed(2), allowed(2)] == [True, False]


def test_a_service_credential_is_not_counted(settings: Settings) -> None:
    allow(settings, key_reads=1, user_reads=1, address_reads=1)
    request = as_key(1, 1)
    request.auth = SimpleNamespace(pk=1, may_act_for_users=True)
    assert all(ExchangeThrottle().allow_request(request, None) for _ in range(5))  # type: ignore[arg-type]


def test_every_limit_that_applies_is_charged_at_once(settings: Settings) -> None:
    allow(settings, user_reads=1, key_reads=2, address_reads=3)
    request = RequestFactory().get("/markets")

    found = limits_of(request, user_id=7, key_id=9)

    assert [limit.key for limit in found] == [
        "reads:user:7", "reads:key:9", "reads:address:127.0.0.1",
    ]  # fmt: skip
    assert [limit.burst for limit in found] == [1, 2, 3]
    assert limits_of(RequestFactory().get("/health/live"), user_id=7, key_id=9) == []


def test_whether_a_process_lives_is_never_counted(api: ApiClient, settings: Settings) -> None:
    allow(settings, address_reads=1)
    assert api.get("/health/ready").status_code == 503  # no bridges here
    assert refusal(api.get("/health/ready")) == (429, "rate_limited", None)
    for _ in range(5):
        response = api.get("/health/live")
        assert response.status_code == 200
        assert "X-RateLimit-Limit" not in response


def test_off_means_off(api: ApiClient, settings: Settings) -> None:
    assert "X-RateLimit-Limit" not in api.get("/markets")
    allow(settings, address_reads=1)
    settings.THROTTLES = False
    assert [api.get("/markets").status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda api: api.get("/nothing"),
        lambda api: api.get("/markets", headers={"Accept": "image/png"}),
        lambda api: api.get(f"/markets?cursor={'A' * 3_000}"),
        lambda api: api.get("/markets", headers={"Transfer-Encoding": "chunked"}),
    ],
    ids=["unknown address", "unknown format", "long query", "chunked"],
)
def test_what_fails_before_the_view_is_charged_to_the_address(
    api: ApiClient, settings: Settings, attempt: Any
) -> None:
    allow(settings, address_reads=2)

    answers = [attempt(api) for _ in range(3)]

    assert answers[0].status_code == answers[1].status_code != 429
    assert headers(answers[1])[:2] == ("2", "0")
    assert refusal(answers[2]) == (429, "rate_limited", None)
    assert answers[2]["Retry-After"] == "500"


def test_guessing_credentials_is_limited_and_the_right_guess_too(
    api: ApiClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Guess(BaseAuthentication):
        def authenticate(self, request: Request) -> tuple[User, None]:
            if request.headers["Authorization"] != "right":
                raise AuthenticationFailed
            return User.objects.get(pk=1), None

        def authenticate_header(self, request: Request) -> str:
            return "Guess"

    monkeypatch.setattr(MarketListView, "authentication_classes", [Guess])
    allow(settings, address_reads=3)

    def guess(secret: str) -> int:
        # Not ApiClient: that an answer may be 401 is for the schema of real authentication.
        return Client().get("/markets", headers={"Authorization": secret}).status_code

    assert [guess("wrong") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert guess("right") == 429


def test_a_request_costs_one_round_trip_and_no_query(api: ApiClient, settings: Settings) -> None:
    api.force_login(User.objects.get(pk=1))
    api.get("/markets")

    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert api.get("/markets").status_code == 200
        return [query["sql"] for query in captured]

    without = queries()
    allow(settings, user_reads=1000, key_reads=1000, address_reads=1000)
    api.get("/markets")  # connects, and teaches the script to the server
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        before = commands(client)
        with_limits = queries()
        after = commands(client)

    assert len(with_limits) == len(without)
    sent = {name: calls - before.get(name, 0) for name, calls in after.items()}
    assert {name: calls for name, calls in sent.items() if calls and name != "info"} == {
        "evalsha": 1,
        # What the script does inside of the server is counted too.
        "time": 1, "get": 2, "set": 2,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/orders", "/balance/1", "/health/ready", "/admin/", "/login"])
def test_an_address_with_nothing_left_costs_no_query_and_no_round_trip(
    api: ApiClient, settings: Settings, path: str, django_assert_num_queries: Any
) -> None:
    allow(settings, address_reads=1)
    client = Client()  # not ApiClient: the pages are not in the schema
    client.force_login(User.objects.create_superuser("boss"))
    statuses = [client.get(path).status_code for _ in range(2)]
    assert (statuses[0] != 429, statuses[1]) == (True, 429)

    with redis.Redis.from_url(settings.REDIS_URL) as store, django_assert_num_queries(0):
        before = commands(store)
        refused = client.get(path)
        after = commands(store)

    assert refusal(refused) == (429, "rate_limited", None)
    assert headers(refused)[:2] == ("1", "0")
    assert 990 <= int(refused["Retry-After"]) <= 1000
    assert before | {"info": 0} == after | {"info": 0}


@pytest.mark.parametrize("path", ["/admin/", "/login", "/logout"])
def test_pages_for_people_are_counted_by_their_address(
    api: ApiClient, settings: Settings, path: str
) -> None:
    allow(settings, address_orders=2)
    answers = [Client().post(path) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert headers(answers[0])[:2] == ("2", "1")


def test_what_a_users_limit_refuses_is_charged_to_the_address(
    api: ApiClient, settings: Settings, django_assert_num_queries: Any
) -> None:
    """It has cost a query: else whoever has signed in could ask for any number of them."""
    allow(settings, user_reads=1, address_reads=3)
    api.force_login(User.objects.get(pk=1))

    limits = [api.get("/orders").json().get("message", "") for _ in range(4)]

    assert ["this user" in text for text in limits] == [False, True, True, True]
    with django_assert_num_queries(0):
        assert "this address" in api.get("/orders").json()["message"]


def commands(client: Any) -> dict[str, int]:
    """Return how often each command has been called, on this server, since it started."""
    stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}


def test_without_redis_requests_are_still_limited_and_none_fails(
    api: ApiClient, settings: Settings, servers: dict[str, Server]
) -> None:
    allow(settings, address_reads=3)
    server = servers["REDIS_URL"]
    server.kill()
    try:
        answers = [api.get("/markets") for _ in range(5)]
    finally:
        server.start()
        server.wait_ready()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert headers(answers[0])[:2] == ("3", "2")


def test_a_batch_counts_as_its_orders_and_may_leave_a_debt(
    api: ApiClient, settings: Settings
) -> None:
    allow(settings, address_orders=4)
    one = {"user_id": 1, "asset": "ADA", "quantity": 1, "price": "1.9", "order_type": "buy"}

    def batch(count: int) -> Any:
        return api.post("/orders/batch", {"orders": [one] * count}, "application/json")

    first = batch(3)
    assert (first.status_code, headers(first)) == (200, ("4", "1", "750"))
    refused = batch(2)
    assert refusal(refused) == (429, "rate_limited", None)
    assert refused["Retry-After"] == "250"
    assert batch(1).status_code == 200, "what costs less may come"
    assert api.delete("/orders/1").status_code == 429

    rates.buckets().forget([f"orders:address:{'127.0.0.1'}"])
    large = batch(10)
    assert (large.status_code, headers(large)) == (200, ("4", "0", "2500")), (
        "a full bucket is enough"
    )
    after = batch(1)
    assert (after.status_code, after["Retry-After"]) == (429, "1750")
    assert Order.objects.count() == 14
    assert differences() == []
