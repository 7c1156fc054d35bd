"""What the last audit came to, for the metrics: a note in Redis, which may be lost.

Must never make an audit fail.
"""

import json
import time
from collections.abc import Sequence
from typing import NamedTuple

import redis
import structlog
from django.conf import settings

from balances.audit.check import Outcome

logger = structlog.get_logger(__name__)

KEY = "audit:last"


class LastAudit(NamedTuple):
    """`ended_at`: seconds since 1970; `differences`: rows; `unchecked`: checks."""

    ended_at: float
    differences: int
    unchecked: int


def note_audit(outcomes: Sequence[Outcome]) -> None:
    """Note what a whole audit has found, that it was made just now."""
    last = LastAudit(
        ended_at=time.time(),
        differences=sum(o.found for o in outcomes if o.finds == "difference"),
        unchecked=sum(1 for o in outcomes if o.not_checked),
    )
    try:
        with _redis() as client:
            client.set(KEY, json.dumps(last._asdict()))
    except redis.RedisError as error:
        logger.warning("audit_not_noted", error=str(error))


def last_audit() -> LastAudit | None:
    """Return what was last noted; None: no audit is known.

    Raises:
        redis.RedisError: Redis is away.
    """
    with _redis() as client:
        found = client.get(KEY)
    return LastAudit(**json.loads(found)) if found else None


def _redis() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)
