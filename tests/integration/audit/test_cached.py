"""What the cache would answer is compared with Postgres, value by value, and nothing else is."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django_redis import get_redis_connection
from pytest_django import Settings

from balances import cache, services, trust
from balances.audit import FIRST_ROWS, cached
from balances.audit.cached import compare_cache
from balances.cache import CachedBalance, inspection
from balances.models import Balance
from balances.selectors import get_balances
from tests.support import World, trust_cache

KEY = "balance:1"
ASSET = "a:USDT"


@pytest.fixture
def warm(exchange_world: World) -> Any:
    """Users 1 and 2 have all their balances in the cache."""
    trust_cache()
    for user_id in (1, 2):
        get_balances(user_id=user_id)
    redis = get_redis_connection("default")
    assert redis.hget(KEY, "*") == b"1"
    return redis


def found() -> list[tuple[Any, ...]]:
    return list(compare_cache().first)


def test_a_cache_that_nobody_has_touched_agrees(warm: Any) -> None:
    outcome = compare_cache()
    assert (outcome.looked_at, outcome.found, outcome.not_checked) == (2, 0, "")


@pytest.mark.parametrize(
    ("field", "value", "asset", "in_cache"),
    [
        (ASSET, "1:1001:0", "USDT", "1:1001:0"),  # another amount
        (ASSET, "1:999:1", "USDT", "1:999:1"),  # another hold
        (ASSET, "0:1000:0", "USDT", "0:1000:0"),  # an old version
        (ASSET, "2:1000:0", "USDT", "2:1000:0"),  # a version to come
        (ASSET, "nonsense", "USDT", "nonsense"),
        (ASSET, "1:1:NaN", "USDT", "1:1:NaN"),
        (ASSET, None, "USDT", "nothing"),  # a complete entry without it: the user has none
        ("a:SOL", "1:5:0", "SOL", "1:5:0"),  # a balance that does not exist
    ],
)
def test_a_value_that_is_not_in_postgres_is_found(
    warm: Any, field: str, value: str | None, asset: str, in_cache: str
) -> None:
    if value is None:
        warm.hdel(KEY, field)
    else:
        warm.hset(KEY, field, value)
    ((user_id, named, said, _),) = found()
    assert (user_id, named, said) == (1, asset, in_cache)


def test_an_entry_of_a_user_that_does_not_exist_is_found(warm: Any) -> None:
    warm.hset("balance:77", mapping={"*": "1", ASSET: "1:5:0"})
    assert found() == [(77, "USDT", "1:5:0", "no such balance")]


def test_an_entry_without_balances_of_a_user_who_has_none_is_none(warm: Any) -> None:
    warm.hset("balance:77", "*", "1")
    assert found() == []


@pytest.mark.parametrize(
    "untell",
    [
        lambda redis: redis.hset(KEY, "w:token", "99999999999999"),  # being changed right now
        lambda redis: redis.hset(KEY, "w:token", "1"),  # its writer died: forgotten when read
        lambda redis: redis.hset(KEY, "a:ADA", "~token"),  # emptied
        lambda redis: redis.hdel(KEY, "*"),  # not complete
    ],
)
def test_what_no_reader_believes_is_no_difference(warm: Any, untell: Callable[[Any], Any]) -> None:
    warm.hset(KEY, ASSET, "1:1001:0")
    assert len(found()) == 1
    untell(warm)
    assert found() == []
    assert cache.read(1).state != "hit"


def test_a_distrusted_cache_is_said_not_to_be_checked(warm: Any) -> None:
    trust.distrust()
    outcome = compare_cache()
    assert outcome.looked_at == 0
    assert "not to be believed" in outcome.not_checked


def test_a_cache_that_is_away_is_said_not_to_be_checked(
    warm: Any, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    address = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/1"}
    settings.CACHES = {"default": address}
    outcome = compare_cache()
    assert outcome.not_checked.startswith("Redis does not answer")


def change_once(user_id: int) -> None:
    services.deposit(user_id=user_id, asset="USDT", amount=Decimal(1))


def test_a_change_between_the_two_reads_is_no_difference(
    warm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres, then a deposit that is in the cache at once, then the cache."""
    real, changes = inspection.raw_entries, iter([1])

    def after_a_change(users: Any) -> Any:
        for user_id in changes:
            change_once(user_id)
        return real(users)

    monkeypatch.setattr(inspection, "raw_entries", after_a_change)
    assert found() == []
    assert next(changes, None) is None


def test_a_value_that_two_changes_have_overtaken_is_no_difference(
    warm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is read between two deposits; Postgres before and after both."""
    real = inspection.raw_entries

    def between_changes(users: Any) -> Any:
        change_once(1)
        entries = real(users)
        change_once(1)
        return entries

    monkeypatch.setattr(inspection, "raw_entries", between_changes)
    assert found() == []


def test_what_was_wrong_only_for_a_moment_is_looked_at_again(
    warm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm.hset(KEY, ASSET, "1:1001:0")
    real = inspection.raw_entries

    def heals(users: Any) -> Any:
        entries = real(users)
        warm.delete(KEY)
        return entries

    monkeypatch.setattr(inspection, "raw_entries", heals)
    assert found() == []


def test_every_page_of_a_large_cache_is_read(warm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "PAGE", 3)
    for user_id in range(100, 110):
        warm.hset(f"balance:{user_id}", mapping={"*": "1", ASSET: "1:5:0"})
    seen: list[tuple[int, int]] = []
    outcome = compare_cache(lambda done, total: seen.append((done, total)))
    assert (outcome.looked_at, outcome.found) == (12, 10)
    assert seen[-1][0] == 12
    assert len(outcome.first) == 10


def test_only_the_first_rows_are_kept(warm: Any) -> None:
    for user_id in range(100, 130):
        warm.hset(f"balance:{user_id}", mapping={"*": "1", ASSET: "1:5:0"})
    outcome = compare_cache()
    assert (outcome.found, len(outcome.first)) == (30, FIRST_ROWS)


def test_the_value_is_compared_with_what_was_committed_before_and_after() -> None:
    """The rule itself, without stores."""
    one, two, four = (cached.Stored(v, Decimal(v), Decimal(0)) for v in (1, 2, 4))
    assert cached._is_true("1:1:0", one, one)
    assert cached._is_true("2:2.000:0", one, two)
    assert cached._is_true("3:7:7", one, four)  # it was so between the two
    assert not cached._is_true("1:1:0", two, four)  # older than what had been committed
    assert not cached._is_true("5:5:0", one, four)
    assert not cached._is_true("2:3:0", one, two)
    assert not cached._is_true(None, one, one)


def test_nothing_is_written_by_looking(warm: Any) -> None:
    warm.hset(KEY, "w:dead", "1")
    before = {key: warm.hgetall(key) for key in warm.keys("balance:[0-9]*")}
    compare_cache()
    assert {key: warm.hgetall(key) for key in warm.keys("balance:[0-9]*")} == before
    assert Balance.objects.get(user_id=1, asset_id="USDT").version == 1
    assert CachedBalance._fields[-1] == "version"
