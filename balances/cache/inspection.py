"""Looking at what the cache holds without touching it, for the audit.

Nothing here grants leases, vouches, expires marks or writes in any other way.
"""

from collections.abc import Iterator, Mapping, Sequence

from django_redis import get_redis_connection
from redis.exceptions import RedisError

from balances.cache import CacheUnreachableError

PAGE = 500
"""Entries read in one round trip."""
_PREFIX = "balance:"

Fields = Mapping[bytes, bytes]


def count_keys() -> int:
    """Return about how many entries there are: every key of the cache's database.

    Raises:
        CacheUnreachableError: Redis does not answer.
    """
    try:
        return int(get_redis_connection("default").dbsize())
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error


def scan_users() -> Iterator[list[int]]:
    """Yield the users that have an entry, page by page; one may come twice.

    Raises:
        CacheUnreachableError: Redis does not answer.
    """
    redis = get_redis_connection("default")
    page: list[int] = []
    try:
        for key in redis.scan_iter(f"{_PREFIX}[0-9]*", count=PAGE):
            page.append(int(key.decode().removeprefix(_PREFIX)))
            if len(page) == PAGE:
                yield page
                page = []
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error
    if page:
        yield page


def raw_entries(users: Sequence[int]) -> dict[int, Fields]:
    """Return the stored fields of each user: an entry's are of one moment.

    Raises:
        CacheUnreachableError: Redis does not answer.
    """
    try:
        with get_redis_connection("default").pipeline(transaction=False) as pipeline:
            for user in users:
                pipeline.hgetall(f"{_PREFIX}{user}")
            entries: list[Fields] = pipeline.execute()
    except RedisError as error:
        raise CacheUnreachableError(str(error)) from error
    return dict(zip(users, entries, strict=True))
