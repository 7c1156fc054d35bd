"""The embedded servers: they start, answer, crash, come back, and are seen by this machine only."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis

from exchange.embedded import accounts
from exchange.embedded.apache_kafka import ApacheKafka
from exchange.embedded.broker import count_brokers
from exchange.embedded.errors import ServerError
from exchange.embedded.ports import PortInUseError, free_port
from exchange.embedded.postgres import Postgres
from exchange.embedded.processes import descendants, is_alive, listeners_of
from exchange.embedded.server import Server, wait_until
from exchange.embedded.tansu import Tansu
from exchange.embedded.valkey import Valkey

SERVERS: list[type[Server]] = [Postgres, Valkey, Tansu]
needs_java = pytest.mark.skipif(
    not (shutil.which("java") and shutil.which("mvn")), reason="needs Java and Maven"
)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres")
    yield server
    server.discard()


def execute(server: Postgres, *statements: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.url)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_server_listens_on_loopback_and_nowhere_else(kind: type[Server], tmp_path: Path) -> None:
    server = kind(tmp_path / kind.name)

    with server:
        processes = [server.pid, *descendants(server.pid)]
        found = [listener for pid in processes for listener in listeners_of(pid)]

        assert {listener.port for listener in found} == {server.port}
        assert all(listener.is_loopback for listener in found)

    server.discard()


@pytest.mark.parametrize("kind", SERVERS)
def test_server_starts_again_fast_on_the_same_port_after_a_crash(
    kind: type[Server], tmp_path: Path
) -> None:
    server = kind(tmp_path / kind.name)
    server.start()
    server.wait_ready()
    first = server.pid

    server.kill()
    begin = time.monotonic()
    server.start()
    server.wait_ready()

    assert server.pid != first
    assert time.monotonic() - begin < 5
    server.discard()
    assert not server.data_dir.exists()


def test_postgres_keeps_what_was_committed_over_a_stop_and_a_crash(postgres: Postgres) -> None:
    with postgres:
        execute(postgres, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")

    postgres.start()
    postgres.wait_ready()
    execute(postgres, "INSERT INTO kept VALUES (2)")
    postgres.kill()

    with postgres:
        assert execute(postgres, "SELECT n FROM kept ORDER BY n") == [(1,), (2,)]


def test_postgres_is_durable_unless_told_otherwise(tmp_path: Path, postgres: Postgres) -> None:
    careless = Postgres(tmp_path / "careless", durable=False)

    with postgres, careless:
        assert execute(postgres, "SHOW fsync") == [("on",)]
        assert execute(postgres, "SHOW server_encoding") == [("UTF8",)]
        assert execute(careless, "SHOW fsync") == [("off",)]

    careless.discard()


def test_postgres_never_runs_as_root(postgres: Postgres) -> None:
    with postgres:
        assert Path(f"/proc/{postgres.pid}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_postgres_of_root_works_in_a_directory_that_is_closed_to_its_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "data" / "postgres")

    with server:
        assert server.data_dir.is_symlink()
        kept_in = server.data_dir.resolve()
        assert execute(server, "SELECT 1") == [(1,)]

    server.discard()
    assert not kept_in.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_postgres_of_root_works_with_binaries_that_are_closed_to_its_user(
    monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as base:
        Path(base).chmod(0o755)
        monkeypatch.setattr(accounts, "ELSEWHERE", Path(base))
        monkeypatch.setattr("exchange.embedded.postgres.can_reach", lambda *_: False)

        with postgres:
            assert postgres.command()[0].startswith(base)
            assert execute(postgres, "SELECT 1") == [(1,)]
        postgres.discard()


def test_interrupted_initialisation_is_begun_anew(postgres: Postgres) -> None:
    postgres.prepare()
    cluster = postgres.data_dir.resolve()
    cluster.rename(cluster.with_name("postgres.new"))  # as if it had not been completed

    with postgres:
        assert execute(postgres, "SELECT 1") == [(1,)]


def test_cluster_of_another_version_is_refused_with_advice(postgres: Postgres) -> None:
    postgres.prepare()
    (postgres.data_dir / "PG_VERSION").write_text("12\n")

    with pytest.raises(ServerError, match=r"is of PostgreSQL 12.*delete the directory"):
        postgres.start()


def test_valkey_forgets_and_never_evicts(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "valkey")

    with server:
        client = redis.Redis.from_url(server.url)
        client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.close()

    with server:
        client = redis.Redis.from_url(server.url)
        assert client.get("key") is None
        client.close()


def test_tansu_answers_requests_of_the_kafka_protocol(tmp_path: Path) -> None:
    with Tansu(tmp_path / "tansu") as server:
        assert count_brokers(server.host, server.port) == 1


@needs_java
def test_apache_kafka_answers_crashes_and_comes_back(tmp_path: Path) -> None:
    server = ApacheKafka(tmp_path / "kafka")

    with server:
        listeners = listeners_of(server.pid)
        assert {listener.port for listener in listeners} == {server.port, server.controller_port}
        assert all(listener.is_loopback for listener in listeners)
        server.kill()
        server.start()
        server.wait_ready()
        assert count_brokers(server.host, server.port) == 1


def test_occupied_port_is_named_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as holder:
        port = holder.getsockname()[1]

        with pytest.raises(PortInUseError) as error:
            Valkey(tmp_path / "valkey", port=port).start()

    assert f"{port} (valkey): held by process {os.getpid()}: " in str(error.value)


def test_server_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    class Broken(Valkey):
        def command(self) -> list[str]:
            return [*super().command(), "--no-such-option", "1"]

    server = Broken(tmp_path / "valkey")
    server.start()

    with pytest.raises(ServerError, match=r"ended with status 1.*(?s:.*)no-such-option"):
        server.wait_ready()


def test_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from exchange.embedded.valkey import Valkey\n"
        f"with Valkey(pathlib.Path({str(tmp_path / 'valkey')!r})) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)

        parent.kill()

        assert wait_until(lambda: not is_alive(pid), timeout_seconds=5)
