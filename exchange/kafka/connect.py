"""Making the Kafka client's objects, so that one which cannot connect leaves nothing behind.

A constructor of the client that finds no broker raises, and its network thread goes on without end,
with its sockets. A worker tries several times a second while the log is away.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaAdminClient
from kafka.net.compat import KafkaNetClient

from exchange.kafka.names import connection_settings

Client = TypeVar("Client")

BOOTSTRAP_MS = 3_000
"""How long a client looks for a broker that answers."""


def connect(kind: Callable[..., Client], **options: Any) -> Client:
    """Return a client of `kind` with this package's settings and `options`.

    Raises:
        LogError: no broker answers; the thread and the connections are closed.
    """
    made: list[Any] = []

    def network(**config: Any) -> Any:
        made.append(KafkaNetClient(**config))
        return made[-1]

    options["bootstrap_timeout_ms"] = BOOTSTRAP_MS
    if kind is not KafkaAdminClient:  # it has none
        options["metrics_enabled"] = False
    try:
        return kind(**connection_settings() | options, kafka_client=network)
    except BaseException:
        for client in made:
            client.close()
        raise
