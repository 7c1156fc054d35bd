"""How the bridges are: each reports into Redis, and the health checks read it there.

A report expires by itself, so a bridge that hangs or is killed disappears. The report is made by
the bridge's own thread: nobody says "alive" on behalf of somebody dead. Redis being away makes
the state unknown, and stops nothing.
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = structlog.get_logger(__name__)

KEEP_SECONDS = 30
STALE_SECONDS = 10.0
_PREFIX = "bridge:"


@dataclass(frozen=True)
class BridgeReport:
    """One bridge of one worker, as it last reported. `lag`: records not yet read, by partition."""

    bridge: str
    host: str
    pid: int
    state: str
    partitions: tuple[int, ...] = ()
    lag: dict[str, int] = field(default_factory=dict)
    error: str = ""
    reported_at: float = 0.0

    @property
    def is_stale(self) -> bool:
        return time.time() - self.reported_at > STALE_SECONDS


def _redis() -> Any:
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> Any:
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=1,
        socket_timeout=1,
        retry=Retry(NoBackoff(), retries=1),
    )


class BridgeStatus:
    """Where one bridge reports."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._host = socket.gethostname()

    def report(
        self,
        state: str,
        *,
        partitions: Sequence[int] = (),
        lag: dict[int, int] | None = None,
        error: str = "",
    ) -> None:
        """Say how the bridge is; never raises for Redis being away."""
        report = BridgeReport(
            bridge=self._bridge,
            host=self._host,
            pid=os.getpid(),
            state=state,
            partitions=tuple(partitions),
            lag={str(number): count for number, count in (lag or {}).items()},
            error=error[:500],
            reported_at=time.time(),
        )
        key = f"{_PREFIX}{self._bridge}:{self._host}:{report.pid}"
        try:
            if state == "stopped":
                _redis().delete(key)
            else:
                _redis().set(key, json.dumps(asdict(report)), ex=KEEP_SECONDS)
        except redis.RedisError as error_of_redis:
            logger.warning("bridge_report_failed", error=str(error_of_redis))


def bridge_reports() -> list[BridgeReport]:
    """Return what every bridge last reported.

    Raises:
        redis.RedisError: Redis is away; nothing is known.
    """
    client = _redis()
    keys = sorted(client.scan_iter(f"{_PREFIX}*", count=1000))
    values = [json.loads(value) for value in client.mget(keys) if value] if keys else []
    return [BridgeReport(**{**value, "partitions": tuple(value["partitions"])}) for value in values]
