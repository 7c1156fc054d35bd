"""Which servers the stack starts: those whose address is not given. Starts nothing."""

from collections.abc import Container
from pathlib import Path
from typing import Literal

from exchange.embedded.apache_kafka import ApacheKafka
from exchange.embedded.postgres import Postgres
from exchange.embedded.server import Server
from exchange.embedded.tansu import Tansu
from exchange.embedded.valkey import Valkey

KafkaChoice = Literal["embedded", "apache"]


def embedded_servers(
    data_dir: Path, *, kafka: KafkaChoice, durable: bool, given: Container[str]
) -> list[Server]:
    """Return the servers to start, each on a free port, with its data under `data_dir`.

    `given` has the names of the addresses (`DATABASE_URL`, …) that need no server.
    """
    servers: list[Server] = []
    if Postgres.address_variable not in given:
        servers.append(Postgres(data_dir / Postgres.name, durable=durable))
    if Valkey.address_variable not in given:
        servers.append(Valkey(data_dir / Valkey.name))
    if Tansu.address_variable not in given:
        broker = ApacheKafka if kafka == "apache" else Tansu
        servers.append(broker(data_dir / broker.name))
    return servers
