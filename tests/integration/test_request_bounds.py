"""Bounds of a request as a real gunicorn keeps them, by the command that the stack runs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.embedded.ports import free_port
from exchange.embedded.server import wait_until
from exchange.stack.health import answers
from exchange.stack.processes import exchange_processes

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The order service, without any server behind it."""
    ports = {name: free_port() for name in ("balances", "orders", "matching")}
    process = exchange_processes(ports=ports, schedule=Path("/nowhere"))[1]
    assert process.port is not None
    nobody = {
        "DATABASE_URL": "postgres://exchange:exchange@127.0.0.1:1/exchange",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    with (tmp_path_factory.mktemp("gunicorn") / "log").open("wb") as log:
        running = subprocess.Popen(
            [str(Path(sys.executable).with_name(process.argv[0])), *process.argv[1:]],
            cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **nobody, **process.environment},
        )  # fmt: skip
    try:
        assert wait_until(lambda: answers(ports["orders"], "/health/live"), timeout_seconds=60)
        yield ports["orders"]
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def ask(port: int, request: str) -> tuple[int, str]:
    """Send bytes as they are; return the final status and everything that came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    statuses = [line for line in answer.decode().splitlines() if line.startswith("HTTP/1.1 ")]
    return int(statuses[-1].split()[1]), answer.decode()


def post(*headers: str, body: str = "") -> str:
    lines = ["POST /orders HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "Connection: close", "", body])


def test_a_chunked_body_is_refused(port: int) -> None:
    status, answer = ask(port, post("Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n\r\n"))
    assert status == 411
    assert '"code": "length_required"' in answer


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["at once", "asks first"])
def test_a_large_body_is_refused_before_it_comes(port: int, expect: tuple[str, ...]) -> None:
    status, answer = ask(port, post("Content-Length: 10000000000", *expect))
    assert status == 413
    assert '"code": "body_too_large"' in answer


def test_a_length_that_is_none_is_refused(port: int) -> None:
    for length in ("-1", "1e3", "ten", "1, 2"):
        assert ask(port, post(f"Content-Length: {length}", body="{}"))[0] == 400, length


def test_a_long_query_gets_the_body_of_an_error_and_a_longer_one_no_further(port: int) -> None:
    def get(size: int) -> tuple[int, str]:
        return ask(port, f"GET /orders?cursor={'A' * size} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    status, answer = get(3_000)
    assert status == 414
    assert '"code": "query_too_long"' in answer
    assert get(5_000)[0] in {400, 414}


def test_many_and_large_headers_are_refused(port: int) -> None:
    many = "".join(f"X-Field-{number}: 1\r\n" for number in range(60))
    large = f"X-Field: {'x' * 9_000}\r\n"
    for headers in (many, large):
        status, _ = ask(port, f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n")
        assert status in {400, 431}


def test_two_lengths_are_refused(port: int) -> None:
    both = post("Content-Length: 2", "Transfer-Encoding: chunked", body="{}")
    assert ask(port, both)[0] in {400, 411}
