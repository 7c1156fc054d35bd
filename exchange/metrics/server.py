"""Says on a port of its own what this process has counted: `GET /metrics`, in Prometheus' format.

Each process has its ports in `METRICS_PORTS` and takes the first that is free: the two processes
of a web service have two between them, and one that replaces another takes what that one has
left. It is not part of the public interface, has no users and asks for no credentials, so
`METRICS_BIND` is loopback, or the network of the containers. Must never keep a process from
starting or working: who gets no port goes on without, and tries again.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from django.conf import settings
from django.db import connections
from prometheus_client import make_wsgi_app

from exchange.metrics.state import register_state

logger = structlog.get_logger(__name__)

AGAIN_SECONDS = 5.0
REQUEST_SECONDS = 5

_metrics: Callable[..., Iterable[bytes]] = make_wsgi_app()
_serving = threading.Lock()


def serve() -> None:
    """Answer on one of `METRICS_PORTS` from now on, in a thread; once in a process."""
    if settings.METRICS_PORTS and _serving.acquire(blocking=False):
        register_state()
        threading.Thread(target=_run, name="metrics", daemon=True).start()


def _run() -> None:
    bind, ports = settings.METRICS_BIND, [int(port) for port in settings.METRICS_PORTS]
    is_told = False
    while (server := first_free(bind, ports)) is None:
        if not is_told:
            logger.warning("metrics_port_taken", ports=ports, retry_in=AGAIN_SECONDS)
            is_told = True
        time.sleep(AGAIN_SECONDS)
    server.serve_forever()


def first_free(bind: str, ports: Iterable[int]) -> WSGIServer | None:
    """Return a server on the first of `ports` that nobody listens on, or None."""
    for port in ports:
        try:
            return make_server(bind, port, answer, _Server, _Handler)
        except OSError:
            continue
    return None


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The WSGI application: one address, for reading."""
    if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) != ("GET", "/metrics"):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"GET /metrics\n"]
    try:
        return _metrics(environ, start_response)
    finally:
        connections.close_all()  # this request's thread has its own, and ends


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking the resolver for a name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""
