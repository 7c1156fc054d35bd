"""Connections to Postgres on which nobody waits without end.

Postgres ends a transaction that takes too long, and TCP notices a server that has vanished. Neither
helps against one that is there and does nothing: its disk hangs, or it is stopped. Its kernel
acknowledges what it is sent, so a client would wait for as long as that lasts. Therefore a
connection notes since when it has been waiting, and a thread of each process cuts those that wait
for longer than a server in good health lets anybody wait. Whoever waited is told that the
connection is lost, as with a server that has died.
"""

import math
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg2 import InterfaceError, extensions

logger = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 1.0
"""So much longer than allowed may a wait become."""


class Wait:
    """Since when a connection has been waiting for its server; as a context, one such wait."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.guard = threading.Lock()

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        with self.guard:  # nobody cuts what is not waiting any more
            self.since = None


class WatchedCursor(extensions.cursor):
    """A cursor whose questions have an end."""

    connection: "WatchedConnection"

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - the driver's name
        with self.connection.wait:
            super().execute(query, vars)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        if self.name is None:  # everything is here already
            return super().fetchmany(size)
        with self.connection.wait:
            return super().fetchmany(size)


class WatchedConnection(extensions.connection):
    """A connection whose questions and commits have an end, with `WatchedCursor` as its cursors.

    `patience`: for how many seconds one of them may wait, as long as this transaction lasts.
    """

    def __init__(self, dsn: str, *, patience: float) -> None:
        super().__init__(dsn)
        self.patience = self.usual_patience = patience
        self.wait = Wait()
        _watch.add(self)

    def commit(self) -> None:
        with self.wait:
            super().commit()
        self.patience = self.usual_patience

    def rollback(self) -> None:
        self.patience = self.usual_patience
        with self.wait:
            super().rollback()

    def cut_if_hanging(self) -> None:
        """Close the socket under a call that has waited for too long; it then raises."""
        with self.wait.guard:
            since = self.wait.since
            if since is None or time.monotonic() - since < self.patience:
                return
            self.wait.since = None
            with socket.socket(fileno=os.dup(self.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)
        logger.error("postgres_hangs", waited_seconds=self.patience)


class _Watch:
    """The thread of this process that looks at its connections."""

    _lock: threading.Lock
    _connections: "weakref.WeakSet[WatchedConnection]"
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._lock = threading.Lock()
        self._connections = weakref.WeakSet()
        self._thread = None

    def add(self, connection: WatchedConnection) -> None:
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="postgres-watch", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            with self._lock:
                connections = list(self._connections)
            for connection in connections:
                try:
                    connection.cut_if_hanging()
                except (OSError, InterfaceError):
                    logger.info("postgres_connection_gone", exc_info=True)


_watch = _Watch()
os.register_at_fork(
    after_in_child=_watch.forget
)  # neither its thread nor its connections are there


def lift_time_limits(*, using: str = DEFAULT_DB_ALIAS, local: bool = True) -> None:
    """Let this transaction take as long as it takes; with `local=False` all later ones, too."""
    database = connections[using]
    with database.cursor() as cursor:
        cursor.execute(f"SET {'LOCAL' if local else ''} transaction_timeout = 0")
    database.connection.patience = math.inf
    if not local:
        database.connection.usual_patience = math.inf


@contextmanager
def patience(seconds: float, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Wait for so long at most, for questions of somebody who cannot wait."""
    connections[using].ensure_connection()
    connection = connections[using].connection
    before, connection.patience = connection.patience, seconds
    try:
        yield
    finally:
        connection.patience = before
