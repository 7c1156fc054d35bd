"""The balance cache in Redis. The only place that talks to it; Postgres stays the truth.

Two stores cannot commit together, so the cache keeps its promise - after a commit no read returns
a balance from before it - by holding the committed value or none:

1. Before a transaction that changes balances commits, `mark` empties them and leaves a mark.
2. The transaction commits.
3. `publish` writes the new values, each only if nothing newer was written or marked meanwhile,
   and takes the mark away.

`read` answers only from entries without a mark. On a miss it grants one reader a lease; `fill`
accepts what this reader found in Postgres only while nobody has marked the entry since. A mark
outlives every transaction (`TRANSACTION_TIMEOUT_SECONDS` is enforced by Postgres); one that has
expired means that its writer died, and everything the entry held is forgotten.

Redis may also be away, or come back with an old memory. Nothing in it is believed without a
*vouch*, a key that lives two seconds and is renewed only while Postgres says that the cache is to
be trusted (`balances.trust`). A connection to a server with another run id empties it first
(`balances.cache.connection`), and for as long as a mark may have been lost nothing is vouched for.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import structlog
from django.conf import settings
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from balances.cache import scripts

logger = structlog.get_logger(__name__)

MARK_MS = (settings.TRANSACTION_TIMEOUT_SECONDS + 1) * 1000
LEASE_MS = 5_000
VOUCH_MS = 2_000
VOUCH_DELAY_MS = 1_000
"""A vouch is refused when what it rests on was read longer ago than this."""
DOUBT_SECONDS = (VOUCH_MS + VOUCH_DELAY_MS) / 1000 + 0.5
"""So long after Postgres has said that the cache is not to be trusted, nobody trusts it."""

NOTE_MS = 300_000
"""How long it is known when a settlement was in the cache. A note for each batch of orders."""

TRUST_KEY = "balance:trust"
QUARANTINE_KEY = "balance:quarantine"
SERVER_KEY = "balance:server"


class CacheUnreachableError(Exception):
    """Redis did not answer: what it holds could not be marked."""


class CachedBalance(NamedTuple):
    """A committed balance, as the cache holds it."""

    user_id: int
    asset: str
    available: Decimal
    held: Decimal
    version: int


@dataclass(frozen=True)
class Answer:
    """What the cache could say about a user.

    `hit`: `balances` is the committed state. `miss`: ask Postgres, and give what it said to
    `fill` if there is a `lease`. `busy`: ask Postgres; a change is under way. `untrusted`: ask
    Postgres; `asked_at` is Redis' time for `vouch`. `unreachable`: ask Postgres.
    """

    state: Literal["hit", "miss", "busy", "untrusted", "unreachable"]
    balances: tuple[CachedBalance, ...] = ()
    lease: str = ""
    asked_at: int = 0


def _key(user_id: int) -> str:
    return f"balance:{user_id}"


def _note_key(transaction_time: datetime) -> str:
    return f"settled:{transaction_time.astimezone(UTC).isoformat()}"


def _redis() -> Any:
    return get_redis_connection("default")


def _by_user(changed: Iterable[CachedBalance]) -> dict[int, list[CachedBalance]]:
    users: dict[int, list[CachedBalance]] = {}
    for balance in changed:
        users.setdefault(balance.user_id, []).append(balance)
    return users


def mark(changed: Iterable[CachedBalance]) -> str:
    """Empty the entries that are about to change, in one call, and return the mark's token.

    Raises:
        CacheUnreachableError: the entries may still be there and be read.
    """
    users = _by_user(changed)
    token = secrets.token_hex(8)
    arguments: list[Any] = [token, MARK_MS, _value_ms()]
    for balances in users.values():
        arguments += [len(balances), *(balance.asset for balance in balances)]
    try:
        scripts.run(_redis(), scripts.MARK, [_key(user) for user in users], arguments)
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error
    return token


def publish(
    token: str, changed: Sequence[CachedBalance], *, noted_for: datetime | None = None
) -> None:
    """Write the committed values and take the mark away.

    `noted_for`: the time of the transaction; if all values were written, `noted_at` says when.
    When Redis does not answer, nothing is lost: the entries stay empty until the mark expires.
    """
    users = _by_user(changed)
    keys = [_key(user) for user in users]
    arguments: list[Any] = [token, _value_ms(), NOTE_MS if noted_for else 0]
    for balances in users.values():
        arguments.append(len(balances))
        for balance in balances:
            arguments += [balance.asset, balance.version, _value(balance)]
    if noted_for is not None:
        keys.append(_note_key(noted_for))
    try:
        scripts.run(_redis(), scripts.PUBLISH, keys, arguments)
    except RedisError as error:
        logger.warning("cache_publish_failed", error=str(error))


def noted_at(transaction_time: datetime) -> datetime | None:
    """Return when the cache had what the transaction of that time changed (Redis' time).

    None: that is longer ago than `NOTE_MS`, it was not written, or Redis does not answer.
    """
    try:
        note = _redis().get(_note_key(transaction_time))
    except RedisError as error:
        logger.warning("cache_read_failed", error=str(error))
        return None
    if note is None:
        return None
    seconds, _, microseconds = note.decode().partition(":")
    since = timedelta(seconds=int(seconds), microseconds=int(microseconds))
    return datetime(1970, 1, 1, tzinfo=UTC) + since


def unmark(token: str, changed: Iterable[CachedBalance]) -> None:
    """Take the mark away after a rollback; the entries stay empty until somebody fills them."""
    keys = [_key(user) for user in _by_user(changed)]
    try:
        scripts.run(_redis(), scripts.UNMARK, keys, [token])
    except RedisError as error:
        logger.warning("cache_unmark_failed", error=str(error))


def read(user_id: int) -> Answer:
    """Return what the cache knows of `user_id`; never a balance from before a commit."""
    try:
        answer = scripts.run(
            _redis(),
            scripts.READ,
            [_key(user_id), TRUST_KEY],
            [secrets.token_hex(8), LEASE_MS],
        )
    except RedisError as error:
        logger.warning("cache_read_failed", error=str(error))
        return Answer("unreachable")
    state, *rest = [part.decode() for part in answer]
    if state == "hit":
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return Answer("hit", tuple(_parse(user_id, asset, value) for asset, value in pairs))
    if state == "miss":
        return Answer("miss", lease=rest[0])
    if state == "untrusted":
        return Answer("untrusted", asked_at=int(rest[0]))
    return Answer("busy")


def fill(user_id: int, lease: str, balances: Iterable[CachedBalance]) -> bool:
    """Store all of a user's balances as read from Postgres under `lease`; False if it was lost."""
    arguments: list[Any] = [lease, _value_ms()]
    for balance in balances:
        arguments += [balance.asset, f"{balance.version}:{_value(balance)}"]
    try:
        return bool(scripts.run(_redis(), scripts.FILL, [_key(user_id)], arguments))
    except RedisError as error:
        logger.warning("cache_fill_failed", error=str(error))
        return False


def now_ms() -> int:
    """Return Redis' own time, for `vouch`.

    Raises:
        CacheUnreachableError: Redis does not answer.
    """
    try:
        seconds, microseconds = _redis().time()
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error
    return int(seconds) * 1000 + int(microseconds) // 1000


def vouch(asked_at: int) -> bool:
    """Let entries be believed for two more seconds.

    Only for a caller that, after `asked_at` (Redis' time), saw in Postgres that the cache is
    trusted. Refused when that is too long ago, or while marks may have been lost.
    """
    try:
        return bool(
            scripts.run(
                _redis(),
                scripts.VOUCH,
                [TRUST_KEY, QUARANTINE_KEY],
                [asked_at, VOUCH_DELAY_MS, VOUCH_MS],
            )
        )
    except RedisError as error:
        logger.warning("cache_vouch_failed", error=str(error))
        return False


def forget_everything() -> None:
    """Empty the cache, marks included, and let nothing be vouched for until their writers are done.

    Raises:
        CacheUnreachableError: Redis does not answer.
    """
    try:
        scripts.run(_redis(), scripts.FORGET, [SERVER_KEY, QUARANTINE_KEY], [MARK_MS])
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error


def raw_entry(user_id: int) -> Mapping[bytes, bytes]:
    """Return the stored fields of a user, for tests and audits."""
    found: Mapping[bytes, bytes] = _redis().hgetall(_key(user_id))
    return found


def _value_ms() -> int:
    value_ms: int = settings.CACHE_VALUE_SECONDS * 1000
    return max(value_ms, int(MARK_MS))


def _value(balance: CachedBalance) -> str:
    return f"{balance.available:f}:{balance.held:f}"


def _parse(user_id: int, asset: str, value: str) -> CachedBalance:
    version, available, held = value.split(":")
    return CachedBalance(user_id, asset, Decimal(available), Decimal(held), int(version))
