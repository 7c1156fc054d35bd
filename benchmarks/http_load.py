"""Clients that ask over HTTP as fast as they are answered, and take little of the machine doing it.

Requests are written as bytes made beforehand, on connections that are kept alive; of an answer
only status and length are read. Anything but the expected status ends the measurement.
"""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0


class UnexpectedStatusError(Exception):
    """An answer that this load must never get; it measures nothing then."""


class Connection:
    """A connection to a server on loopback, kept alive until the server says that it closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        port = self._port
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")

    def ask(self, request: bytes, *, expect: int) -> bytes:
        """Send a request; return the answer's body.

        Raises:
            UnexpectedStatusError: the status is another one.
        """
        self._socket.sendall(request)
        status = int(self._reader.readline().split(b" ", 2)[1])
        length, closes = 0, False
        while (line := self._reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"connection":
                closes = value.strip().lower() == b"close"
        body = self._reader.read(length)
        if closes:
            self.close()
            self._open()
        if status != expect:
            raise UnexpectedStatusError(f"{status}, not {expect}: {body[:500]!r}")
        return body

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


def request_bytes(method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request with a body of JSON, ready to be sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Load:
    """What clients came to: answers, in this time, and how long each took (seconds)."""

    answers: int
    seconds: float
    latencies: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds


def ask_all(
    port: int, requests: Iterator[bytes], *, clients: int, expect: int, seconds: float
) -> Load:
    """Let `clients` ask at once, each its next request when it has its answer.

    Ends after `seconds`, or with the requests.

    Raises:
        UnexpectedStatusError, OSError: what the first client met that did not get its answer.
    """

    @contextmanager
    def connected() -> Iterator[Callable[[bytes], object]]:
        connection = Connection(port)
        try:
            yield lambda request: connection.ask(request, expect=expect)
        finally:
            connection.close()

    return work_all(connected, requests, clients=clients, seconds=seconds)


def work_all(
    connected: Callable[[], AbstractContextManager[Callable[[T], object]]],
    work: Iterator[T],
    *,
    clients: int,
    seconds: float,
) -> Load:
    """Let `clients` do pieces of `work` at once, each its next one when the last is done.

    `connected` gives each client what does a piece. Ends after `seconds`, or with the work; what a
    client meets is raised here.
    """
    lock = threading.Lock()
    latencies: list[float] = []
    errors: list[BaseException] = []
    deadline = perf_counter() + seconds

    def client() -> None:
        try:
            with connected() as do:
                while not errors:
                    with lock:
                        piece = next(work, None)
                    began = perf_counter()
                    if piece is None or began > deadline:
                        return
                    do(piece)
                    latencies.append(perf_counter() - began)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            errors.append(error)

    began = perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Load(len(latencies), perf_counter() - began, tuple(latencies))


def in_turns(measures: dict[str, Callable[[], Load]], turns: int) -> dict[str, float]:
    """Measure each in turn, `turns` times; return their rates over all turns.

    In turns, because the machine is another one from minute to minute.
    """
    loads: dict[str, list[Load]] = {name: [] for name in measures}
    for name, measure in itertools.chain.from_iterable(itertools.repeat(measures.items(), turns)):
        loads[name].append(measure())
    return {
        name: sum(load.answers for load in found) / sum(load.seconds for load in found)
        for name, found in loads.items()
    }
