"""Whether the cache is to be believed: the part of the answer that Postgres keeps.

A process that cannot reach Redis cannot mark what it is about to change, while others may still
read it there. So it writes into Postgres that the cache is not to be trusted, and waits until the
last vouch has run out (`DOUBT_SECONDS`); from then on everybody reads Postgres and changes need
no marks. `restore` flushes the cache and lifts the distrust. The row's lock keeps the two apart:
changes without marks hold it in share mode until they have committed.
"""

import time

import structlog
from django.db import connection, transaction

from balances import cache
from balances.models import CacheTrust

logger = structlog.get_logger(__name__)

KEEP_DISTRUST_SECONDS = cache.DOUBT_SECONDS + 5
"""A distrust is not lifted before this: long enough for whoever has set it to make use of it."""


def is_trusted() -> bool:
    """Return what Postgres says, as of now."""
    return CacheTrust.objects.filter(distrusted_at__isnull=True).exists()


def distrust() -> None:
    """Say that the cache is not to be trusted, and return when nobody does any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_cachetrust SET distrusted_at = clock_timestamp(), confirmed_at = NULL"
            " WHERE distrusted_at IS NULL"
        )
        if cursor.rowcount:
            logger.error(
                "cache_distrusted",
                action="Balances are read from Postgres until Redis answers again.",
            )
        # A second transaction: a vouch may rest on what was read until the first had committed.
        cursor.execute(
            "UPDATE balances_cachetrust SET confirmed_at = clock_timestamp()"
            " WHERE distrusted_at IS NOT NULL AND confirmed_at IS NULL"
        )
    # Time itself is the condition: vouches expire by Redis' clock, no event tells that they have.
    while (seconds := _seconds_distrusted()) is not None and seconds < cache.DOUBT_SECONDS:
        time.sleep(cache.DOUBT_SECONDS - seconds)


def lock_distrusted() -> bool:
    """Within a transaction: keep the distrust until its end. False: there is none, or too fresh."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(clock_timestamp() - confirmed_at > make_interval(secs => %s), false)"
            " FROM balances_cachetrust FOR SHARE",
            [cache.DOUBT_SECONDS],
        )
        row = cursor.fetchone()
    assert row is not None, "balances_cachetrust has lost its row: run manage.py migrate"
    return bool(row[0])


def restore() -> bool:
    """Lift the distrust if Redis answers again: flush it, and let it be vouched for.

    A fresh distrust stays for a while: who has set it is about to change balances without marks,
    and would only set it again. Returns True if the cache is trusted afterwards.

    Raises:
        CacheUnreachableError: Redis does not answer yet.
    """
    asked_at = cache.now_ms()
    if not is_trusted():
        seconds = _seconds_distrusted()
        if seconds is not None and seconds < KEEP_DISTRUST_SECONDS:
            return False
        with transaction.atomic(durable=True):
            # Waits for the changes without marks that are under way; new ones wait for this.
            CacheTrust.objects.update(distrusted_at=None, confirmed_at=None)
            cache.forget_everything()
        logger.info("cache_trusted_again")
        return False  # from the next run on, once the quarantine of the flush is over
    return cache.vouch(asked_at)


def _seconds_distrusted() -> float | None:
    """Return how long the distrust has been confirmed; None if there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(extract(epoch FROM clock_timestamp() - confirmed_at), 0)::float8"
            " FROM balances_cachetrust WHERE distrusted_at IS NOT NULL"
        )
        row = cursor.fetchone()
    return None if row is None else float(row[0])
