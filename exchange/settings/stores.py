"""Postgres, Redis and Kafka: addresses, limits, topics."""

from functools import partial
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.addresses import address
from exchange.postgres import WatchedConnection, WatchedCursor
from exchange.settings.base import env

TRANSACTION_TIMEOUT_SECONDS = env.int("DATABASE_TRANSACTION_TIMEOUT_SECONDS", default=10)
"""No transaction that changes balances lives longer. The cache's marks outlive it, so a process
that is frozen between mark and commit cannot commit after its mark has gone (decision 0004)."""

DATABASE_PATIENCE_SECONDS = TRANSACTION_TIMEOUT_SECONDS + 5
"""A server in good health has ended a transaction by then, or said something else. One that says
nothing hangs, and its connection is cut (`exchange.postgres`)."""

DATABASES = {
    "default": {
        **env.db_url_config(address("DATABASE_URL")),
        "ENGINE": "exchange.database",
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {
            "connect_timeout": 5,
            "connection_factory": partial(WatchedConnection, patience=DATABASE_PATIENCE_SECONDS),
            "cursor_factory": WatchedCursor,
            # A server that vanishes without a word is noticed: idle, and in mid-request.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": f"-c transaction_timeout={TRANSACTION_TIMEOUT_SECONDS * 1000} "
            "-c lock_timeout=5000",
        },
    }
}

REDIS_URL = address("REDIS_URL")
CACHE_DATABASE = env.int("REDIS_CACHE_DATABASE", default=1)
"""The Redis database of the cache. Its own, because a cache that is not to be believed any more is
flushed whole; the Celery broker lives in the one that `REDIS_URL` names."""
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": urlsplit(REDIS_URL)._replace(path=f"/{CACHE_DATABASE}").geturl(),
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": 1,
            "SOCKET_TIMEOUT": 1,
            "CONNECTION_POOL_CLASS": "balances.cache.connection.AdoptingPool",
            "CONNECTION_POOL_KWARGS": {
                "max_connections": 64,
                # One fresh try for a pooled connection that a restart has cut, then an answer.
                "retry": Retry(NoBackoff(), retries=1),
            },
        },
    }
}
CACHE_VALUE_SECONDS = env.int("CACHE_VALUE_SECONDS", default=300)
"""A balance nobody asks for leaves the cache after this. The last net, not the mechanism."""

KAFKA_BOOTSTRAP_SERVERS = address("KAFKA_BOOTSTRAP_SERVERS").split(",")
KAFKA_PARTITIONS = env.int("KAFKA_PARTITIONS", default=4)
"""Partitions of `order-events` and `trade-events`. Fixed for the life of a log: an asset's
partition is a hash of its symbol modulo this number."""
KAFKA_REPLICATION_FACTOR = env.int("KAFKA_REPLICATION_FACTOR", default=1)
KAFKA_STATIC_ASSIGNMENT = env.bool("KAFKA_STATIC_ASSIGNMENT", default=False)
"""A worker takes all partitions instead of joining a consumer group: for one worker of each kind.
The embedded broker's groups take seconds to join and sometimes never do (decision 0010)."""
KAFKA_SESSION_TIMEOUT_MS = env.int("KAFKA_SESSION_TIMEOUT_MS", default=6_000)
KAFKA_MAX_POLL_INTERVAL_MS = env.int("KAFKA_MAX_POLL_INTERVAL_MS", default=15_000)
"""The longest step of a worker between two looks at its group; also how long the broker waits for
the members that a group had when a new one joins. A member that has gone without a word while the
broker came back is waited for in full, and nobody reads meanwhile."""
KAFKA_FETCH_MAX_WAIT_MS = env.int("KAFKA_FETCH_MAX_WAIT_MS", default=100)
"""How long a fetch waits at the broker when there is nothing. Apache Kafka answers as soon as there
is something; the embedded broker does not, and is asked not to wait (`exchange.kafka.consumer`)."""
KAFKA_MAX_BATCH = env.int("KAFKA_MAX_BATCH", default=1_000)
"""Records in a batch at most; under load a batch is as large as the backlog, up to this."""
KAFKA_TOPIC_PREFIX = env.str("KAFKA_TOPIC_PREFIX", default="")
KAFKA_BRIDGES = {
    "matching": "matching.bridge.MatchingFeed",
    "trades": "balances.bridge.TradesFeed",
    "market-data": "matching.market_data.bridge.MarketDataFeed",
}
"""What `celery worker --bridge NAME` feeds: the class that says from where, and to which task."""
KAFKA_RELAY_TIMEOUT_MS = env.int("KAFKA_RELAY_TIMEOUT_MS", default=10_000)

ORDERS_MAX_PENDING = env.int("ORDERS_MAX_PENDING", default=100_000)
"""Orders that may wait to be matched, whatever holds them up. Beyond it new ones are refused with
503 for the moment (`orders.backlog`)."""
