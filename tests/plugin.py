"""Real servers for the tests: started once per run, on free ports, and only when a test needs them.

Loaded with `-p tests.plugin`, before Django's settings, which take the addresses from the
environment. An address that is given there is used as it is; its data will be deleted.

With `-n`, each process of pytest-xdist has servers of its own.
"""

import os
import shutil
from collections.abc import Iterator

import pytest

from exchange.addresses import LOCAL
from exchange.embedded.apache_kafka import ApacheKafka
from exchange.embedded.postgres import Postgres
from exchange.embedded.server import Server
from exchange.embedded.tansu import Tansu
from exchange.embedded.valkey import Valkey

DATA = LOCAL / "tests" / str(os.getpid())
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""The process of xdist this is, if any."""
_SERVERS: tuple[Server, ...] = (
    Postgres(DATA / "postgres", durable=False),
    Valkey(DATA / "valkey"),
    Tansu(DATA / "tansu"),
)
_CHOSEN = "TESTS_CHOSE"
"""Names the addresses that no user gave: a process of xdist inherits those of the process that
started it, and chooses its own."""
_given = os.environ.keys() - set(os.environ.get(_CHOSEN, "").split())
_OWN = tuple(server for server in _SERVERS if server.address_variable not in _given)
for _server in _OWN:
    os.environ[_server.address_variable] = _server.url
os.environ[_CHOSEN] = " ".join(server.address_variable for server in _OWN)
os.environ["PROCESS_NAME"] = "tests"
# All requests of the tests come from one address; those about limits switch them on.
os.environ["THROTTLES"] = "0"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=("embedded", "apache"),
        default="embedded",
        help="the broker to test with: the embedded one, or Apache Kafka itself",
    )


@pytest.fixture(scope="session")
def kafka_choice(request: pytest.FixtureRequest) -> str:
    """Which broker this run tests with."""
    return str(request.config.getoption("--kafka"))


@pytest.fixture(scope="session")
def servers(kafka_choice: str) -> Iterator[dict[str, Server]]:
    """Postgres, Valkey and the broker, running and answering; by name of the address variable."""
    running: dict[str, Server] = {}
    try:
        for server in _OWN:
            chosen = server
            if isinstance(server, Tansu) and kafka_choice == "apache":
                chosen = ApacheKafka(DATA / "kafka", port=server.port)
            chosen.start()
            running[chosen.address_variable] = chosen
        for server in running.values():
            server.wait_ready()
        yield running
    finally:
        for server in running.values():
            server.stop()
            server.discard()
        shutil.rmtree(DATA, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast tests first: unit, reference, integration, e2e, chaos.

    A whole system that runs beside other tests would take their time.
    """
    items.sort(key=lambda item: _LAYERS.index(_layer(item)))


_LAYERS = ("unit", "reference", "integration", "e2e", "chaos")


def _layer(item: pytest.Item) -> str:
    return next(part for part in reversed(item.path.parts) if part in _LAYERS)
