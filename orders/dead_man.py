"""The dead-man switch: cancels all of a user's orders unless the user renews it in time.

A row for each user in Postgres, and periodic work that looks for those that have expired: so it
fires after any restart, late by as long as nobody was there to look. Firing only notes, in one
statement, up to which number orders are to be canceled; a number is given out before its order is
stored, so every order that was there then is at or below it, and every order placed later is above.
Then the cancels are asked for, again and again, until no such order can be left. Whoever dies in
between has done a part; the next run goes on. Two runs at once do no harm.

All times are Postgres' own, so that no two clocks have to agree.
"""

import time
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from balances.services import UnknownUserError
from exchange.arrays import array
from exchange.metrics import SWITCHES_FIRED
from orders import canceling
from orders.models import DeadManSwitch

logger = structlog.get_logger(__name__)

RUN_SECONDS = 1.5
"""How long one run goes on asking for cancels; the next one continues."""
FIRED_TOGETHER = 100
"""Switches fired with one statement."""
STRAGGLER_SECONDS = settings.TRANSACTION_TIMEOUT_SECONDS + 5
"""So long after a number was given out, its order is stored, or never will be."""


def arm(*, user_id: int, timeout_seconds: int) -> DeadManSwitch:
    """Have all orders of a user canceled in `timeout_seconds`, unless this is called again.

    Raises:
        UnknownUserError: there is no such user.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ARM, [user_id, timeout_seconds, timeout_seconds])
    except IntegrityError:
        raise UnknownUserError(f"There is no user {user_id}.") from None
    return look(user_id=user_id)


def disarm(*, user_id: int) -> DeadManSwitch:
    """Let nothing be canceled any more, but for what a switch that has fired began to cancel."""
    DeadManSwitch.objects.filter(pk=user_id).update(timeout_seconds=None, expires_at=None)
    return look(user_id=user_id)


def look(*, user_id: int) -> DeadManSwitch:
    """Return the switch of a user; one that was never armed is not stored."""
    found = DeadManSwitch.objects.filter(pk=user_id).first()
    return found or DeadManSwitch(user_id=user_id)


def run() -> int:
    """Fire what has expired, ask for the cancels that are due; return of how many orders."""
    deadline = time.monotonic() + RUN_SECONDS
    while fire() == FIRED_TOGETHER:
        pass
    asked = 0
    waiting = _canceling()
    while waiting and time.monotonic() < deadline:
        fired = waiting.pop(0)
        count, more = canceling.request_cancel_of_all(user_id=fired.user_id, up_to=fired.up_to)
        asked += count
        if more and count:
            waiting.append(fired)  # behind the others: nobody's orders wait for all of another's
        elif not more and fired.is_complete:
            _note_done(fired)
    return asked


def fire() -> int:
    """Fire switches that have expired; return how many. One that somebody locks is left out."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_EXPIRED, [FIRED_TOGETHER])
        expired = cursor.fetchall()
        if not expired:
            return 0
        # Read after the time: whatever was stored before `fired_at` has a number that is given out.
        cursor.execute(_FIRE, [expired[-1][1], array(row[0] for row in expired)])
        fired = cursor.fetchall()
    for user_id, last_order_id in fired:
        logger.info("dead_man_switch_fired", user_id=user_id, up_to=last_order_id)
    SWITCHES_FIRED.inc(len(fired))
    return len(fired)


class _Fired(NamedTuple):
    """A switch whose cancels are under way. `is_complete`: no further order can turn up."""

    user_id: int
    up_to: int
    is_complete: bool


def _canceling() -> list[_Fired]:
    with connection.cursor() as cursor:
        cursor.execute(_CANCELING, [STRAGGLER_SECONDS])
        return [_Fired._make(row) for row in cursor.fetchall()]


def _note_done(fired: _Fired) -> None:
    """Note that all is asked for, unless the switch has fired again meanwhile."""
    same: dict[str, Any] = {"pk": fired.user_id, "last_order_id": fired.up_to}
    DeadManSwitch.objects.filter(**same).update(canceling=False)


_ARM = """
INSERT INTO orders_deadmanswitch (user_id, timeout_seconds, expires_at, canceling)
VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s), false)
ON CONFLICT (user_id) DO UPDATE SET timeout_seconds = excluded.timeout_seconds,
  expires_at = clock_timestamp() + make_interval(secs => excluded.timeout_seconds)
"""

_EXPIRED = """
SELECT user_id, clock_timestamp() FROM orders_deadmanswitch
WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
"""

_FIRE = """
UPDATE orders_deadmanswitch SET timeout_seconds = NULL, expires_at = NULL, canceling = true,
  fired_at = %s, last_order_id =
    (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM orders_order_id_seq)
WHERE user_id = ANY(%s::bigint[])
RETURNING user_id, last_order_id
"""

_CANCELING = """
SELECT user_id, last_order_id, fired_at < clock_timestamp() - make_interval(secs => %s)
FROM orders_deadmanswitch WHERE canceling ORDER BY fired_at
"""
