"""The one way to change balances: a transaction, and the cache brought to the same state.

Nothing else in the project writes to `balances_balance`. The steps and why they are safe are
told in `balances.cache` and `balances.trust`.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction

from balances import cache, trust
from balances.cache import CachedBalance, CacheUnreachableError

T = TypeVar("T")

Work = Callable[[], tuple[T, Sequence[CachedBalance]]]
"""What happens inside the transaction; returns its result and every balance it has changed, as
it will be committed. It may be run twice, the first run rolled back: no side effects."""

Note = Callable[[T], datetime | None]
"""Says of a result when its transaction was, for who asks later when the cache had it."""

_AVOID_SECONDS = 1.0
_avoid_redis_until = 0.0


def change_balances(work: Work[T], *, note: Note[T] | None = None) -> T:
    """Run `work` in one transaction and return its result once it has committed.

    `note`: with it, a note of when the cache was written is left there (`balances.cache.noted_at`).
    Readers see the new balances from the commit on, whether Redis is there or not.
    """
    global _avoid_redis_until  # noqa: PLW0603 - one memory per process of when Redis last failed
    while True:
        if time.monotonic() >= _avoid_redis_until:
            try:
                return _with_marks(work, note)
            except CacheUnreachableError:
                _avoid_redis_until = time.monotonic() + _AVOID_SECONDS
        with transaction.atomic(durable=True):
            if trust.lock_distrusted():
                result, _ = work()
                return result
        # Comes back once nobody trusts the cache, or somebody has repaired it meanwhile.
        trust.distrust()


def _with_marks(work: Work[T], note: Note[T] | None) -> T:
    token = ""
    changed: Sequence[CachedBalance] = ()
    try:
        with transaction.atomic(durable=True):
            result, changed = work()
            if changed:
                token = cache.mark(changed)
    except IntegrityError:
        # Refused at the commit by a deferred constraint: rolled back for certain. After any other
        # failure with a mark set, the commit may have happened or may yet happen: the mark stays
        # until it expires, and Postgres answers.
        if token:
            cache.unmark(token, changed)
        raise
    if token:
        cache.publish(token, changed, noted_for=note(result) if note else None)
    return result
