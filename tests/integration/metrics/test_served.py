"""Each process answers on a port of its own, also after a SIGKILL, and leaves nothing behind."""

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.test import Client

from exchange.embedded.ports import free_port
from exchange.embedded.processes import descendants
from exchange.embedded.server import wait_until
from exchange.metrics.server import first_free
from exchange.stack.health import answers
from exchange.stack.processes import METRICS_PORTS, WEB_PORTS, WEB_WORKERS, exchange_processes

PROJECT = Path(__file__).resolve().parents[3]


def ask(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def answers_metrics(port: int) -> bool:
    try:
        return ask(port)[0] == 200
    except OSError:
        return False


@pytest.fixture
def port() -> Iterator[int]:
    """A server in this process."""
    server = first_free("127.0.0.1", [free_port()])
    assert server is not None
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_answers_in_the_format_of_prometheus(port: int) -> None:
    status, text = ask(port)
    assert status == 200
    assert "# TYPE exchange_orders_total counter" in text
    assert "# TYPE exchange_batch_seconds histogram" in text


@pytest.mark.parametrize(
    ("path", "method"), [("/", "GET"), ("/metrics", "POST"), ("/admin/", "GET")]
)
def test_it_answers_nothing_else(port: int, path: str, method: str) -> None:
    assert ask(port, path, method)[0] == 404


def test_a_process_takes_the_first_port_that_is_free(port: int) -> None:
    other = free_port()
    second = first_free("127.0.0.1", [port, other])
    assert second is not None
    with closing(second.socket):
        assert second.server_port == other
        assert first_free("127.0.0.1", [port, other]) is None


def test_the_public_interface_has_no_metrics() -> None:
    assert Client().get("/metrics").status_code == 404


def test_every_process_has_its_ports() -> None:
    processes = exchange_processes(schedule=Path("/nowhere"))
    assert {process.name for process in processes} == METRICS_PORTS.keys()
    for service, workers in WEB_WORKERS.items():
        assert len(METRICS_PORTS[service]) == workers
    ports = [port for of_one in METRICS_PORTS.values() for port in of_one]
    assert len(ports) == len({*ports, *WEB_PORTS.values()}) - len(WEB_PORTS)
    for process in processes:
        assert process.environment["METRICS_BIND"] == "127.0.0.1"


def test_each_web_process_answers_and_its_successor_takes_its_port(tmp_path: Path) -> None:
    ports = {name: free_port() for name in WEB_PORTS}
    metrics = {name: [free_port() for _ in usual] for name, usual in METRICS_PORTS.items()}
    process = exchange_processes(
        ports=ports, metrics_ports=metrics, schedule=Path("/nowhere")
    )[1]  # fmt: skip
    nobody = {
        "DATABASE_URL": "postgres://exchange:exchange@127.0.0.1:1/exchange",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TMPDIR": str(tmp_path),
    }
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            [str(Path(sys.executable).with_name(process.argv[0])), *process.argv[1:]],
            cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **nobody, **process.environment},
        )  # fmt: skip

    def all_answer() -> bool:
        return all(answers_metrics(port) for port in metrics["orders"])

    try:
        assert wait_until(lambda: answers(ports["orders"], "/health/live"), timeout_seconds=60)
        assert wait_until(all_answer, timeout_seconds=60)
        files = set(tmp_path.iterdir())
        before = descendants(running.pid)
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        assert wait_until(
            lambda: len(set(descendants(running.pid)) - set(before)) == 2 and all_answer(),
            timeout_seconds=60,
        )
        assert 'exchange_state_known{store="postgres"} 0.0' in ask(metrics["orders"][0])[1]
        assert set(tmp_path.iterdir()) <= files | {tmp_path / "log"}, "nothing is left of the dead"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
