"""Apache Kafka itself (KRaft, one node), from Maven Central; needs Java 17 and Maven.

For tests on the real broker and for `make up KAFKA=apache`. Maven fetches the jars once, into
`.local/apache-kafka/<version>/libs`. The log is on disk under `data_dir` and nothing in it ever
expires; topics are made by the exchange, never by a stray request.
"""

import base64
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from exchange.addresses import LOCAL
from exchange.embedded.broker import Broker
from exchange.embedded.errors import ServerError
from exchange.embedded.launch import launch_argv
from exchange.embedded.ports import free_port

HERE = Path(__file__).resolve().parent
POM = HERE / "pom.xml"
JARS = LOCAL / "apache-kafka"
MAVEN_TIMEOUT_SECONDS = 600


class ApacheKafka(Broker):
    """Apache Kafka as broker and controller in one process."""

    name = "apache-kafka"
    ready_seconds = 60
    stop_seconds = 30

    def __init__(
        self, data_dir: Path, *, port: int | None = None, controller_port: int | None = None
    ) -> None:
        super().__init__(data_dir, port=port)
        self.controller_port = free_port() if controller_port is None else controller_port

    @cached_property
    def _libraries(self) -> Path:
        return install()

    @property
    def _configuration(self) -> Path:
        return self.data_dir / "server.properties"

    def prepare(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._configuration.write_text(self._properties())
        if (self.data_dir / "log" / "meta.properties").exists():
            return
        formatted = subprocess.run(
            launch_argv(
                self._java(
                    *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                    *("--cluster-id", new_cluster_id(), "--config", str(self._configuration)),
                ),
                parent=str(os.getpid()),
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            raise ServerError(
                f"Kafka's storage under {self.data_dir} cannot be formatted:\n"
                f"{formatted.stdout[-2000:]}{formatted.stderr[-2000:]}"
            )

    def command(self) -> list[str]:
        return self._java("kafka.Kafka", str(self._configuration))

    def _java(self, *arguments: str) -> list[str]:
        return [
            *(_required("java", "Java 17"), "-Xmx512m", "-Xms256m"),
            # For a quick start, not for throughput: half the time on a machine with two cores.
            *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
            *("-cp", f"{self._libraries}/*"),
            *arguments,
        ]

    def _properties(self) -> str:
        # A static quorum: the controller's port may be another at every start.
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.host}:{self.controller_port}",
            "listeners": f"BROKER://{self.address},CONTROLLER://{self.host}:{self.controller_port}",
            "advertised.listeners": f"BROKER://{self.address}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_dir / "log",
            "log.retention.ms": -1,
            "log.retention.bytes": -1,
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # After a crash the broker is let in again when its old session has run out.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def new_cluster_id(draw: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Return a random id in Kafka's own form, never with a dash in front.

    As an argument that would be an option, and the storage could not be formatted.
    """
    while True:
        text = base64.urlsafe_b64encode(draw().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def version() -> str:
    """Return the version of Kafka that `pom.xml` pins."""
    found = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text())
    assert found is not None, "pom.xml pins no kafka.version"
    return found.group(1)


def install() -> Path:
    """Return the directory with Kafka's jars; the first time, Maven fetches them."""
    libraries = JARS / version() / "libs"
    if libraries.exists():
        return libraries
    staging = libraries.with_name(f"libs.{os.getpid()}")
    maven = [
        *(_required("mvn", "Maven"), "--quiet", "--batch-mode", "--file", str(POM)),
        *("dependency:copy-dependencies", f"-DoutputDirectory={staging}"),
        "-DincludeScope=runtime",
    ]
    finished = subprocess.run(
        launch_argv(maven, parent=str(os.getpid())),
        capture_output=True,
        text=True,
        check=False,
        timeout=MAVEN_TIMEOUT_SECONDS,
    )
    if finished.returncode != 0:
        shutil.rmtree(staging, ignore_errors=True)
        raise ServerError(
            f"Maven cannot fetch Apache Kafka {version()}. It needs Maven Central, or a mirror of "
            "it in ~/.m2/settings.xml, the first time; `--kafka embedded` needs neither.\n"
            f"{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
        )
    try:
        staging.rename(libraries)  # complete or not there at all
    except OSError:
        if not libraries.exists():
            raise
        shutil.rmtree(staging)  # another process was first
    return libraries


def _required(program: str, what: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ServerError(
            f"Apache Kafka needs {what}: `{program}` is not in the PATH. Install it, or use "
            "--kafka embedded, or give KAFKA_BOOTSTRAP_SERVERS."
        )
    return path
