"""Counting how often something happens, against limits: in Redis, or in the process without it.

Each limit is a bucket of `burst` tokens that refills at `per_second`. What is stored is one number,
the time at which the bucket will be full again. All limits that apply to one event are charged in
one round trip, together or not at all: an event that one limit refuses costs the others nothing.

Redis being away must neither refuse nor delay anything: then each process counts for itself,
and asks Redis again only now and then. See decision 0014.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

logger = structlog.get_logger(__name__)

SOCKET_SECONDS = 0.2
"""How long Redis may take to answer. It takes less than a thousandth of it when it is well."""
BACK_OFF_SECONDS = 2.0
"""After a failure nobody asks Redis for so long; then one request does, and no other waits."""
MAX_BUCKETS = 50_000
"""What a process remembers without Redis; the bucket that was used longest ago goes first."""
_PREFIX = "rate:"


@dataclass(frozen=True)
class Limit:
    """One bucket. `name` says what is limited, for people; `key` names the bucket in the store.

    `dearest`: the tokens that one event may cost at most. If that is more than a bucket holds, such
    an event needs a full one, and the bucket owes the rest.
    """

    name: str
    key: str
    per_second: float
    burst: int
    dearest: int = 1

    @property
    def interval(self) -> int:
        """Microseconds until one more token is there."""
        return max(1, round(1_000_000 / self.per_second))


@dataclass(frozen=True)
class Verdict:
    """Whether the event may happen, by the tightest of its limits."""

    allowed: bool
    limit: Limit
    remaining: int
    wait_seconds: float
    """Until the event would be allowed; 0 if it is."""
    reset_seconds: float
    """Until the bucket is full again."""


_CHARGE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local cost = tonumber(ARGV[1])
local debts, wait, refusing = {}, 0, 0
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local dearest = tonumber(ARGV[3 * i + 1])
  local full_at = tonumber(redis.call('GET', key) or '0')
  -- Never more than the dearest event leaves: a clock set back must not lock anybody out.
  local debt = math.min(math.max(full_at - now, 0), interval * math.max(burst, dearest))
  local over = debt + interval * math.min(cost, burst) - interval * burst
  if over > wait then wait, refusing = over, i end
  debts[i] = debt
end
if refusing == 0 then
  for i, key in ipairs(KEYS) do
    debts[i] = debts[i] + cost * tonumber(ARGV[3 * i - 1])
    redis.call('SET', key, string.format('%.0f', now + debts[i]),
      'PX', math.ceil(debts[i] / 1000))
  end
end
return {refusing, unpack(debts)}
"""


class SharedBuckets:
    """The buckets in Redis, the same for every process."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_connect_timeout=SOCKET_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            # One fresh try for a pooled connection that a restart has cut; none after a silence.
            retry=Retry(NoBackoff(), retries=1, supported_errors=(RedisConnectionError,)),
        )
        self._charge = self._redis.register_script(_CHARGE)

    def charge(self, limits: Sequence[Limit], cost: int = 1) -> Verdict:
        """Take `cost` tokens from each bucket, or none from any.

        Raises:
            redis.RedisError: Redis is away, silent, or full.
        """
        keys = [_PREFIX + limit.key for limit in limits]
        arguments = [
            number for limit in limits for number in (limit.interval, limit.burst, limit.dearest)
        ]
        refusing, *debts = self._charge(keys=keys, args=[cost, *arguments])
        return _verdict(limits, debts, int(refusing) - 1, cost)

    def forget(self, keys: Sequence[str]) -> None:
        """Fill buckets up again.

        Raises:
            redis.RedisError: Redis is away.
        """
        self._redis.delete(*(_PREFIX + key for key in keys))


class OwnBuckets:
    """The same buckets in this process: a bounded number of them."""

    def __init__(self, max_buckets: int = MAX_BUCKETS) -> None:
        self._max_buckets = max_buckets
        self._full_at: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def charge(self, limits: Sequence[Limit], cost: int = 1) -> Verdict:
        """Take `cost` tokens from each bucket, or none from any."""
        with self._lock:
            now = time.monotonic_ns() // 1000
            debts = [max(self._full_at.get(limit.key, 0) - now, 0) for limit in limits]
            over = [_over(limit, debt, cost) for debt, limit in zip(debts, limits, strict=True)]
            refusing = over.index(max(over)) if max(over) > 0 else -1
            if refusing < 0:
                debts = [d + cost * limit.interval for d, limit in zip(debts, limits, strict=True)]
                for debt, limit in zip(debts, limits, strict=True):
                    self._full_at[limit.key] = now + debt
                    self._full_at.move_to_end(limit.key)
                while len(self._full_at) > self._max_buckets:
                    self._full_at.popitem(last=False)
        return _verdict(limits, debts, refusing, cost)

    def forget(self, keys: Sequence[str]) -> None:
        """Fill buckets up again."""
        with self._lock:
            for key in keys:
                self._full_at.pop(key, None)


class Refusals:
    """Until when a limit that has refused will refuse again: known without asking anybody.

    A bucket fills at its own pace and no faster, so what this process remembers can be too short
    and never too long. A bounded number; the oldest goes first.
    """

    def __init__(self, max_refusals: int = MAX_BUCKETS) -> None:
        self._max_refusals = max_refusals
        self._refused: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, verdict: Verdict) -> None:
        """Remember a refusal."""
        with self._lock:
            self._refused[verdict.limit.key] = time.monotonic(), verdict
            self._refused.move_to_end(verdict.limit.key)
            while len(self._refused) > self._max_refusals:
                self._refused.popitem(last=False)

    def of(self, limit: Limit) -> Verdict | None:
        """Return the refusal that still holds, with what is left of its times, or None."""
        with self._lock:
            since, verdict = self._refused.get(limit.key, (0.0, None))
            if verdict is None:
                return None
            gone = time.monotonic() - since
            if gone >= verdict.wait_seconds or verdict.limit != limit:
                del self._refused[limit.key]
                return None
        return replace(
            verdict,
            wait_seconds=verdict.wait_seconds - gone,
            reset_seconds=verdict.reset_seconds - gone,
        )

    def forget(self, keys: Sequence[str]) -> None:
        """Forget what is known of these buckets."""
        with self._lock:
            for key in keys:
                self._refused.pop(key, None)


class Buckets:
    """The buckets in Redis while it answers, else this process's own. Never fails."""

    def __init__(self, shared: SharedBuckets) -> None:
        self._shared = shared
        self._own = OwnBuckets()
        self._refusals = Refusals()
        self._lock = threading.Lock()
        self._is_failing = False
        self._closed_until = 0.0

    def charge(self, limits: Sequence[Limit], cost: int = 1) -> Verdict:
        """Take `cost` tokens from each bucket, or none from any. `limits` must not be empty."""
        verdict = self._ask(limits, cost)
        if not verdict.allowed and cost == 1:  # one that costs less may pass
            self._refusals.note(verdict)
        return verdict

    def refused_already(self, limits: Sequence[Limit]) -> Verdict | None:
        """Return a refusal that still holds, if this process has seen one. Asks nobody."""
        found = (self._refusals.of(limit) for limit in limits)
        return next((verdict for verdict in found if verdict is not None), None)

    def _ask(self, limits: Sequence[Limit], cost: int) -> Verdict:
        if self._may_ask():
            try:
                verdict = self._shared.charge(limits, cost)
            except redis.RedisError as error:
                self._failed(error)
            else:
                self._answered()
                return verdict
        return self._own.charge(limits, cost)

    def forget(self, keys: Sequence[str]) -> None:
        """Fill buckets up again, as far as they can be reached."""
        self._own.forget(keys)
        self._refusals.forget(keys)
        if self._may_ask():
            try:
                self._shared.forget(keys)
            except redis.RedisError as error:
                self._failed(error)
            else:
                self._answered()

    def _may_ask(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._closed_until:
                return False
            if self._is_failing:  # one asks; the others do not wait for what it finds
                self._closed_until = now + BACK_OFF_SECONDS
            return True

    def _failed(self, error: redis.RedisError) -> None:
        with self._lock:
            is_news, self._is_failing = not self._is_failing, True
            self._closed_until = time.monotonic() + BACK_OFF_SECONDS
        if is_news:
            logger.warning(
                "rate_store_unreachable", error=str(error), action="Each process counts by itself."
            )

    def _answered(self) -> None:
        if not self._is_failing:
            return
        with self._lock:
            self._is_failing, self._closed_until = False, 0.0
        logger.info("rate_store_reachable_again")


def _over(limit: Limit, debt: int, cost: int) -> int:
    """Return how long an event has to wait (microseconds); 0 or less: not at all."""
    return debt + limit.interval * min(cost, limit.burst) - limit.interval * limit.burst


def _verdict(
    limits: Sequence[Limit], debts: Sequence[int], refusing: int, cost: int = 1
) -> Verdict:
    """Judge by the limit that refuses; when none does, by the one with the least left."""
    left = [
        max(limit.interval * limit.burst - debt, 0) // limit.interval
        for limit, debt in zip(limits, debts, strict=True)
    ]
    at = refusing if refusing >= 0 else min(range(len(limits)), key=lambda i: (left[i], -debts[i]))
    limit, debt = limits[at], debts[at]
    return Verdict(
        allowed=refusing < 0,
        limit=limit,
        remaining=left[at] if refusing < 0 or cost > 1 else 0,
        wait_seconds=0.0 if refusing < 0 else _over(limit, debt, cost) / 1_000_000,
        reset_seconds=debt / 1_000_000,
    )


def whole_seconds(seconds: float) -> int:
    """Return seconds for a header: rounded up, so that who waits so long has waited enough."""
    return max(1, math.ceil(seconds))


@cache
def buckets() -> Buckets:
    """Return this process's access to the buckets."""
    return Buckets(SharedBuckets(settings.REDIS_URL))
