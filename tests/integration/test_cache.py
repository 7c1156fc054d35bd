"""The cache never lies: after a commit no read returns a balance from before it.

Each test plays one interleaving of writers, readers and deaths, step by step, on a real Redis.
"""

from collections.abc import Callable
from decimal import Decimal

import psycopg2
import pytest
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django_redis import get_redis_connection

from balances import cache, changes, selectors, services, trust
from balances.cache import CachedBalance
from balances.models import Balance, CacheTrust
from tests.support import World, balance_of, differences, trust_cache

USER = 1


def read() -> tuple[str, str]:
    """What a client gets: the USDT available, and who answered."""
    found = selectors.get_balances(user_id=USER)
    assert found is not None
    amounts = {balance.asset: f"{balance.available.normalize():f}" for balance in found.balances}
    return amounts["USDT"], found.source


@pytest.fixture
def warm(exchange_world: World) -> World:
    """User 1's 1000 USDT are in the cache, and the cache is believed."""
    trust_cache()
    read()
    assert read() == ("1000", "cache")
    return exchange_world


def stored(user_id: int = USER, asset: str = "USDT") -> CachedBalance:
    row = Balance.objects.get(user_id=user_id, asset_id=asset)
    return CachedBalance(user_id, asset, row.available, row.held, row.version)


def after_deposit(amount: int) -> CachedBalance:
    """Commit a deposit in Postgres alone, and return the balance as committed."""
    Balance.objects.filter(user_id=USER, asset_id="USDT").update(
        available=stored().available + amount, version=stored().version + 1
    )
    return stored()


def expire_marks() -> None:
    """Let every mark of the user have been set long ago: their writers are dead."""
    redis = get_redis_connection("default")
    for field in cache.raw_entry(USER):
        if field.startswith(b"w:"):
            redis.hset(f"balance:{USER}", field, "1")


def test_a_change_is_in_the_cache_right_after_its_commit(warm: World) -> None:
    services.deposit(user_id=USER, asset="USDT", amount=Decimal(5))
    assert read() == ("1005", "cache")


def test_a_new_asset_of_a_cached_user_is_there_too(warm: World) -> None:
    services.deposit(user_id=USER, asset="ADA", amount=Decimal(5))
    found = selectors.get_balances(user_id=USER)
    assert found is not None
    assert found.source == "cache"
    assert [balance.asset for balance in found.balances] == ["ADA", "USDT"]


def test_while_a_change_is_under_way_postgres_answers(warm: World) -> None:
    token = cache.mark([stored()])
    assert read() == ("1000", "database")
    new = after_deposit(5)
    assert read() == ("1005", "database")
    cache.publish(token, [new])
    assert read() == ("1005", "cache")


def test_a_crash_between_mark_and_commit_leaves_the_cache_empty(warm: World) -> None:
    cache.mark([stored()])
    assert read() == ("1000", "database")
    expire_marks()
    assert read() == ("1000", "database")
    assert read() == ("1000", "cache")


def test_a_crash_between_commit_and_publish_leaves_the_cache_empty(warm: World) -> None:
    cache.mark([stored()])
    after_deposit(5)
    assert read() == ("1005", "database")
    expire_marks()
    assert read() == ("1005", "database")
    assert read() == ("1005", "cache")


def test_a_rollback_keeps_the_old_value(warm: World) -> None:
    def fail_late() -> tuple[None, list[CachedBalance]]:
        changed = services.hold(user_id=USER, asset="USDT", amount=Decimal(1), order_id=1)
        return None, changed

    with pytest.raises(DatabaseError):  # there is no order 1: refused at the commit
        changes.change_balances(fail_late)
    assert read() == ("1000", "database")
    assert read() == ("1000", "cache")


@pytest.mark.parametrize("first_to_publish", ["older", "newer"])
def test_two_writers_leave_the_newer_value(warm: World, first_to_publish: str) -> None:
    older_token = cache.mark([stored()])
    newer_token = cache.mark([stored()])
    older = after_deposit(5)
    newer = after_deposit(7)
    publishes: list[Callable[[], None]] = [
        lambda: cache.publish(older_token, [older]),
        lambda: cache.publish(newer_token, [newer]),
    ]
    if first_to_publish == "newer":
        publishes.reverse()
    publishes[0]()
    assert read() == ("1012", "database")
    publishes[1]()
    assert read()[0] == "1012"
    assert read() == ("1012", "cache")


def test_a_late_publish_cannot_undo_a_writer_that_died(warm: World) -> None:
    slow_token = cache.mark([stored()])
    slow = after_deposit(5)
    cache.mark([stored()])
    after_deposit(7)  # the second writer commits and dies before it publishes
    cache.publish(slow_token, [slow])
    assert read() == ("1012", "database")
    expire_marks()
    assert read() == ("1012", "database")
    assert read() == ("1012", "cache")


def test_a_publish_after_its_mark_has_expired_writes_nothing(warm: World) -> None:
    token = cache.mark([stored()])
    frozen = after_deposit(5)
    expire_marks()
    after_deposit(7)
    cache.publish(token, [frozen])
    assert read()[0] == "1012"
    assert read() == ("1012", "cache")


def test_a_reader_that_read_before_the_change_cannot_fill(warm: World) -> None:
    cache.forget_everything()
    trust_cache()
    answer = cache.read(USER)
    assert answer.lease
    old = stored()
    services.deposit(user_id=USER, asset="USDT", amount=Decimal(5))
    assert cache.fill(USER, answer.lease, [old]) is False
    assert read()[0] == "1005"
    assert read() == ("1005", "cache")


def test_only_one_reader_gets_the_lease(warm: World) -> None:
    cache.forget_everything()
    trust_cache()
    first, second = cache.read(USER), cache.read(USER)
    assert first.lease
    assert not second.lease


def test_nothing_is_believed_without_a_vouch(warm: World) -> None:
    get_redis_connection("default").delete(cache.TRUST_KEY)
    after_deposit(5)  # by a process that cannot reach Redis
    assert cache.read(USER).state == "untrusted"


def test_a_vouch_that_rests_on_an_old_question_is_refused(warm: World) -> None:
    asked_at = cache.now_ms() - cache.VOUCH_DELAY_MS - 1
    get_redis_connection("default").delete(cache.TRUST_KEY)
    assert cache.vouch(asked_at) is False


def test_distrusted_means_postgres_answers_until_the_cache_was_flushed(warm: World) -> None:
    trust.distrust()
    assert cache.read(USER).state == "untrusted"
    after_deposit(5)
    assert read() == ("1005", "database")
    trust_cache()
    assert read() == ("1005", "database")
    assert read() == ("1005", "cache")
    assert CacheTrust.objects.get().distrusted_at is None


def test_a_fresh_distrust_is_not_lifted_under_those_who_need_it(warm: World) -> None:
    trust.distrust()
    assert trust.restore() is False
    with transaction.atomic():
        assert trust.lock_distrusted() is True


def test_a_flush_under_a_writer_lets_nothing_old_in(warm: World) -> None:
    token = cache.mark([stored()])
    cache.forget_everything()  # a repair; the mark is lost with everything else
    assert trust.restore() is False, "quarantine: somebody may be between mark and commit"
    assert read() == ("1000", "database")
    new = after_deposit(5)
    cache.publish(token, [new])
    assert read() == ("1005", "database")


def test_a_publish_that_has_lost_its_mark_empties_what_was_filled_in(warm: World) -> None:
    token = cache.mark([stored()])
    expire_marks()
    assert read() == ("1000", "database")
    assert read() == ("1000", "cache")  # filled in before a commit that took longer than any mark
    cache.publish(token, [after_deposit(5)])
    assert read() == ("1005", "database")
    assert read() == ("1005", "cache")


def test_a_commit_of_unknown_outcome_leaves_the_mark(
    warm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut right after the mark: who knows what the commit came to?"""

    def mark_and_cut(changed: list[CachedBalance]) -> str:
        token = real_mark(changed)
        with psycopg2.connect(**connection.get_connection_params()) as other:
            other.cursor().execute(
                "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
            )
        other.close()
        return token

    real_mark = cache.mark
    monkeypatch.setattr(cache, "mark", mark_and_cut)
    with pytest.raises((OperationalError, InterfaceError)):
        services.deposit(user_id=USER, asset="USDT", amount=Decimal(5))
    connection.close()
    assert cache.read(USER).state == "busy"
    expire_marks()
    assert read()[1] == "database"
    assert read() == ("1000", "cache")


def test_a_change_without_marks_keeps_the_distrust_until_it_has_committed(warm: World) -> None:
    trust.distrust()
    with transaction.atomic():
        assert trust.lock_distrusted() is True
    trust_cache()
    with transaction.atomic():
        assert trust.lock_distrusted() is False


def test_another_server_is_emptied_before_it_is_believed(warm: World) -> None:
    redis = get_redis_connection("default")
    # What a restart from an old snapshot looks like: old values, and another run id.
    redis.set("balance:server", "somebody else")
    redis.connection_pool.disconnect()
    assert read() == ("1000", "database")
    assert cache.vouch(cache.now_ms()) is False, "marks may have been lost: quarantine"
    assert redis.ttl(cache.QUARANTINE_KEY) > 0


def test_everything_still_balances(warm: World) -> None:
    world = warm
    world.place(1, "buy", 10, "1.9")
    world.place(2, "sell", 4, "1.9")
    world.pump()
    assert read() == ("981", "cache")
    assert balance_of(1, "USDT") == ("981", "11.4")
    assert differences() == []
