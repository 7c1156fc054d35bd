"""Connections to the cache that first make sure whose memory they are talking to.

A Redis that restarts, or a replica that takes over, may come back empty or with an old snapshot;
marks set before are gone either way. Every such change shows as a new `run_id`, and none happens
without new connections. So each new connection compares, and the first one to see a stranger
empties it and holds back the vouch until every transaction that had marked has ended.
"""

from typing import Any

from redis.connection import Connection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from balances.cache import scripts


class AdoptingPool(ConnectionPool):
    """A connection pool whose connections adopt the server they reach."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, redis_connect_func=adopt)


def adopt(connection: Connection) -> None:
    """Finish the handshake; empty the database if this server has not been seen before."""
    from balances.cache import MARK_MS, QUARANTINE_KEY, SERVER_KEY

    connection.on_connect()  # type: ignore[no-untyped-call]
    connection.send_command("INFO", "server")  # type: ignore[no-untyped-call]
    run_id = _run_id(connection.read_response())
    arguments = (2, SERVER_KEY, QUARANTINE_KEY, run_id, MARK_MS)
    connection.send_command("EVAL", scripts.ADOPT, *arguments)  # type: ignore[no-untyped-call]
    connection.read_response()


def _run_id(info: Any) -> str:
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    raise RedisConnectionError(
        "The server's INFO names no run_id: it cannot be told from another one"
    )
