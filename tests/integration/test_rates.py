"""Buckets: the same in Redis and in the process, charged together or not at all, never in the way."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from django.conf import settings

from exchange import rates
from exchange.embedded.server import Server
from exchange.rates import Buckets, Limit, OwnBuckets, Refusals, SharedBuckets, Verdict

SLOW = 0.001
"""Tokens a second: none comes back while a test runs."""


@pytest.fixture(params=["redis", "process"])
def store(request: pytest.FixtureRequest, servers: dict[str, Server]) -> SharedBuckets | OwnBuckets:
    return SharedBuckets(settings.REDIS_URL) if request.param == "redis" else OwnBuckets()


@pytest.fixture(autouse=True)
def _nothing_counted(servers: dict[str, Server]) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*(client.keys("rate:test-*") or ["rate:none"]))


def limit(name: str, burst: int, per_second: float = SLOW) -> Limit:
    return Limit(name, f"test-{name}", per_second, burst)


def test_a_bucket_gives_its_burst_and_then_says_how_long_to_wait(
    store: SharedBuckets | OwnBuckets,
) -> None:
    given = [store.charge([limit("a", 3)]) for _ in range(4)]

    assert [verdict.allowed for verdict in given] == [True, True, True, False]
    assert [verdict.remaining for verdict in given] == [2, 1, 0, 0]
    assert 999 < given[3].wait_seconds <= 1000
    assert 2999 < given[3].reset_seconds <= 3000
    assert given[0].wait_seconds == 0
    assert 999 < given[0].reset_seconds <= 1000


def test_an_event_may_cost_more_and_needs_a_full_bucket_at_most(
    store: SharedBuckets | OwnBuckets,
) -> None:
    three = replace(limit("a", 3), dearest=5)
    assert store.charge([three], cost=2).remaining == 1
    refused = store.charge([three], cost=2)
    assert (refused.allowed, refused.remaining) == (False, 1)
    assert 999 < refused.wait_seconds <= 1000
    assert store.charge([three]).allowed
    assert not store.charge([three], cost=5).allowed

    store.forget(["test-a", "rate:test-a"])
    large = store.charge([three], cost=5)
    assert (large.allowed, large.remaining) == (True, 0)
    assert 4999 < large.reset_seconds <= 5000
    assert 2999 < store.charge([three]).wait_seconds <= 3000, "what it owes, and one more"


def test_a_bucket_refills(store: SharedBuckets | OwnBuckets) -> None:
    fast = limit("a", 1, per_second=20)
    assert store.charge([fast]).allowed
    deadline = time.monotonic() + 5
    while not store.charge([fast]).allowed:
        assert time.monotonic() < deadline


def test_what_one_limit_refuses_costs_the_others_nothing(
    store: SharedBuckets | OwnBuckets,
) -> None:
    wide, narrow = limit("wide", 10), limit("narrow", 1)
    assert store.charge([wide, narrow]).allowed
    for _ in range(20):
        refused = store.charge([wide, narrow])
        assert (refused.allowed, refused.limit) == (False, narrow)

    assert store.charge([wide]).remaining == 8


def test_the_verdict_is_about_the_limit_with_the_least_left(
    store: SharedBuckets | OwnBuckets,
) -> None:
    wide, narrow = limit("wide", 10), limit("narrow", 2)
    assert store.charge([wide, narrow]).limit == narrow
    assert store.charge([narrow, wide]).limit == narrow
    assert store.charge([wide, narrow, limit("third", 5)]).limit == narrow


def test_a_forgotten_bucket_is_full(store: SharedBuckets | OwnBuckets) -> None:
    only = limit("a", 1)
    store.charge([only])
    assert not store.charge([only]).allowed
    store.forget([only.key])
    assert store.charge([only]).allowed


def test_many_at_once_get_exactly_the_burst(store: SharedBuckets | OwnBuckets) -> None:
    verdicts: list[Verdict] = []
    threads = [
        threading.Thread(
            target=lambda: verdicts.extend(store.charge([limit("a", 50)]) for _ in range(20))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(verdict.allowed for verdict in verdicts) == 50


def test_a_bucket_expires_when_it_is_full_again(servers: dict[str, Server]) -> None:
    shared = SharedBuckets(settings.REDIS_URL)
    shared.charge([limit("a", 5, per_second=0.1), limit("b", 5, per_second=0.5)])
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert 9_000 < client.pttl("rate:test-a") <= 10_000
        assert 1_000 < client.pttl("rate:test-b") <= 2_000


def test_a_clock_that_was_set_back_locks_nobody_out(servers: dict[str, Server]) -> None:
    shared = SharedBuckets(settings.REDIS_URL)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set("rate:test-a", "9" * 16, ex=60)
    assert 999 < shared.charge([limit("a", 3)]).wait_seconds <= 1000


def test_where_events_cost_more_a_clock_set_back_costs_the_dearest(
    servers: dict[str, Server],
) -> None:
    shared = SharedBuckets(settings.REDIS_URL)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set("rate:test-a", "9" * 16, ex=60)
    dear = replace(limit("a", 3), dearest=5)
    assert 2999 < shared.charge([dear]).wait_seconds <= 3000, "the debt of five, and one more"


def test_a_refusal_is_known_until_there_is_a_token_again(servers: dict[str, Server]) -> None:
    buckets = Buckets(SharedBuckets(settings.REDIS_URL))
    slow, fast = limit("slow", 1), limit("fast", 1, per_second=20)
    for one in (slow, fast):
        assert buckets.charge([one]).allowed
        assert buckets.refused_already([one]) is None, "the next one is not refused yet"
        buckets.charge([one])

    known = buckets.refused_already([limit("other", 1), slow])
    assert known is not None
    assert (known.allowed, known.limit) == (False, slow)
    assert 999 < known.wait_seconds <= 1000
    assert buckets.refused_already([replace(slow, burst=2)]) is None, "another limit by now"
    deadline = time.monotonic() + 5
    while buckets.refused_already([fast]):
        assert time.monotonic() < deadline
    assert buckets.charge([fast]).allowed

    buckets.charge([slow])
    buckets.forget([slow.key])
    assert buckets.refused_already([slow]) is None


def test_a_bounded_number_of_refusals_is_known() -> None:
    known = Refusals(max_refusals=10)
    for number in range(1000):
        one = limit(str(number), 1)
        known.note(Verdict(False, one, 0, wait_seconds=1000, reset_seconds=1000))
    assert len(known._refused) == 10
    assert known.of(limit("999", 1)) is not None


def test_without_redis_a_process_remembers_a_bounded_number_of_buckets() -> None:
    own = OwnBuckets(max_buckets=10)
    for number in range(1000):
        own.charge([limit(str(number), 1)])
    assert len(own._full_at) == 10
    assert not own.charge([limit("999", 1)]).allowed


@pytest.fixture
def killed(servers: dict[str, Server]) -> Iterator[Server]:
    """Redis is killed; it is there again after the test."""
    server = servers["REDIS_URL"]
    server.kill()
    yield server
    if not server.is_ready():
        server.start()
        server.wait_ready()


def test_without_redis_the_same_limits_hold_in_the_process(killed: Server) -> None:
    buckets = Buckets(SharedBuckets(settings.REDIS_URL))

    given = [buckets.charge([limit("a", 3)]).allowed for _ in range(5)]

    assert given == [True, True, True, False, False]
    buckets.forget(["test-a"])
    assert buckets.charge([limit("a", 3)]).allowed


def test_a_killed_redis_is_counted_in_again_when_it_is_back(
    servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "BACK_OFF_SECONDS", 0.0)
    server = servers["REDIS_URL"]
    buckets = Buckets(SharedBuckets(settings.REDIS_URL))
    assert buckets.charge([limit("a", 3)]).remaining == 2  # a connection that the kill cuts
    server.kill()
    try:
        assert buckets.charge([limit("a", 3)]).remaining == 2  # in the process, from full
    finally:
        server.start()
        server.wait_ready()
    assert buckets.charge([limit("b", 3)]).remaining == 2

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert client.exists("rate:test-b")


def test_a_silent_redis_delays_one_request_by_a_fraction_of_a_second_and_the_others_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        buckets = Buckets(SharedBuckets(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        began = time.monotonic()
        assert buckets.charge([limit("a", 200)]).allowed
        first = time.monotonic() - began
        for _ in range(100):
            assert buckets.charge([limit("a", 200)]).allowed
        others = time.monotonic() - began - first

    assert first < 1
    assert others < 0.1


def test_while_one_request_asks_a_silent_redis_again_no_other_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        buckets = Buckets(SharedBuckets(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        buckets.charge([limit("a", 100)])
        first, _ = silent.accept()
        buckets._closed_until = 0.0  # the back-off is over
        asking = threading.Thread(target=lambda: buckets.charge([limit("a", 100)]))
        asking.start()
        second, _ = silent.accept()
        for _ in range(20):
            assert buckets.charge([limit("a", 100)]).allowed
        asking.join()
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()  # nobody else has asked
        first.close()
        second.close()


def test_a_server_that_is_full_refuses_nobody(servers: dict[str, Server]) -> None:
    buckets = Buckets(SharedBuckets(settings.REDIS_URL))
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.config_set("maxmemory", "1")
        try:
            assert buckets.charge([limit("a", 1)]).allowed
            assert not buckets.charge([limit("a", 1)]).allowed
        finally:
            client.config_set("maxmemory", "0")
