"""The running exchange as an object: start it, ask it, hurt it, stop it.

Starts the servers whose address is not given, brings the database and the topics up to date, then
starts the processes, each step when the one before it is done. Must never change data on a server
that it did not start, except by the project's own idempotent commands.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange.addresses import USUAL
from exchange.embedded.ports import free_port, require_free
from exchange.embedded.server import POLL_SECONDS
from exchange.embedded.tansu import Tansu
from exchange.stack.commands import Command
from exchange.stack.configuration import process_program, server_program
from exchange.stack.errors import StackError
from exchange.stack.health import answers, bridge_is_running
from exchange.stack.lock import RunLock
from exchange.stack.processes import METRICS_PORTS, WEB_PORTS, Process, exchange_processes
from exchange.stack.servers import KafkaChoice, embedded_servers
from exchange.stack.supervisor import Supervisor

READY_POLL_SECONDS = 0.25
"""Long enough that asking takes no time from the many processes that are starting meanwhile."""


class Stack:
    """Servers and processes of one exchange. Use as a context manager, or `start` and `stop`.

    Start it from a thread that outlives it (see `exchange.embedded.launch`).

    Args:
        data_dir: where the embedded servers keep their data.
        run_dir: lock, supervisor's files, `addresses.json`. One stack at a time in each.
        log_dir: a log for each process; `run_dir/logs` by default.
        ports: of the web services; free ones for those not named.
        metrics_ports: of every process, for its metrics; free ones by default.
        kafka: which broker to start when its address is not given.
        given: addresses of servers to use instead of starting them (names as in the environment).
        durable: False lets Postgres skip `fsync`: for tests and throw-away data.
        fresh: True begins without data, and deletes it at the end.
        seed: True runs `manage.py seed` when it starts.
        quiet: True sends what the commands print to files in `log_dir`.
        processes: the processes to run; those of the exchange by default.
    """

    ready_seconds = 60.0
    """How long a process may take until it is ready."""

    def __init__(
        self,
        *,
        data_dir: Path,
        run_dir: Path,
        log_dir: Path | None = None,
        ports: Mapping[str, int] | None = None,
        metrics_ports: Mapping[str, Sequence[int]] | None = None,
        kafka: KafkaChoice = "embedded",
        given: Mapping[str, str] | None = None,
        durable: bool = True,
        fresh: bool = False,
        seed: bool = False,
        quiet: bool = True,
        processes: tuple[Process, ...] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.run_dir = run_dir.absolute()
        self.log_dir = self.run_dir / "logs" if log_dir is None else log_dir.absolute()
        self.ports = {service: free_port() for service in WEB_PORTS} | dict(ports or {})
        self._fresh = fresh
        self._quiet = quiet
        self._seed = seed
        self._say = say
        self._given = {name: given[name] for name in USUAL if name in given} if given else {}
        self.servers = embedded_servers(
            self.data_dir, kafka=kafka, durable=durable, given=self._given
        )
        self.metrics_ports = metrics_ports or {
            name: [free_port() for _ in usual] for name, usual in METRICS_PORTS.items()
        }
        self.processes = processes or exchange_processes(
            ports=self.ports,
            metrics_ports=self.metrics_ports,
            schedule=self.run_dir / "beat.schedule",
        )
        self._lock = RunLock(self.run_dir / "lock")
        self._supervisor: Supervisor | None = None

    def addresses(self) -> dict[str, str]:
        """Return where everything is: the servers' addresses and the web services' URLs."""
        servers = {server.address_variable: server.url for server in self.servers}
        urls = {f"{name.upper()}_URL": self.url_of(name) for name in WEB_PORTS}
        return self._given | servers | urls

    def url_of(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes: this one's, with the stack's addresses."""
        return {
            "EXCHANGE_DEMO": "True",  # everything is on loopback; what is set outside goes first
            "THROTTLES": "0",  # all requests come from this machine; given from outside, it stays
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "exchange.settings",
            **self._settings_for_broker(),
            **self.addresses(),
        }

    def _settings_for_broker(self) -> dict[str, str]:
        """Return what the embedded broker needs: one worker of each kind, and no groups."""
        embedded = any(isinstance(server, Tansu) for server in self.servers)
        return {"KAFKA_STATIC_ASSIGNMENT": "1"} if embedded else {}

    @property
    def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise StackError("The stack is not running: call start() first.")
        return self._supervisor

    def claim(self) -> None:
        """Take the run directory, and check that the ports are free. `start` does it if need be.

        Raises:
            StackError: another stack runs there.
            PortInUseError: a port of a web service is taken.
        """
        self._lock.acquire()
        try:
            require_free({p.name: p.port for p in self.processes if p.port is not None})
        except BaseException:
            self._lock.release()
            raise

    def start(self) -> None:
        """Start everything and wait until it is ready; stop again what was started if it fails.

        Raises:
            StackError, ServerError: with what to do about it.
        """
        if not self._lock.is_held:
            self.claim()
        try:
            self.log_dir.mkdir(parents=True, exist_ok=True)
            if self._fresh:
                self._discard_data()
            self._start_servers()
            self._write_addresses()
            self._run_commands()
            self._start_processes()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the processes, then the servers. Harmless when nothing runs."""
        if not self._lock.is_held:  # what is there belongs to somebody else
            return
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._fresh:
            self._discard_data()
        (self.run_dir / "addresses.json").unlink(missing_ok=True)
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def command(self, *arguments: str, output: Path | None = None) -> Command:
        """Start `manage.py` with these arguments on this stack; what it prints goes to `output`."""
        return Command(arguments, environment=self.environment(), log_file=output)

    def pid_of(self, name: str) -> int:
        """Return the process id of a process or server by its name.

        Raises:
            StackError: it is not running at this moment.
        """
        pid = int(self.supervisor.state_of(name)["pid"])
        if pid == 0:
            raise StackError(f"{name} is not running at this moment.")
        return pid

    def kill(self, name: str, kill_signal: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process or server; return its pid. The supervisor starts it again."""
        pid = self.pid_of(name)
        os.kill(pid, kill_signal)
        return pid

    def stop_process(self, name: str) -> None:
        """Stop a process or server in good order, and leave it stopped until `start_process`."""
        self.supervisor.stop_program(name)

    def start_process(self, name: str) -> None:
        """Start a process or server that was stopped, and wait until it is ready."""
        self.supervisor.start_program(name)
        self.wait_ready(name)

    def restart(self, name: str) -> None:
        """Stop a process or server in good order, start it again, wait until it is ready."""
        self.stop_process(name)
        self.start_process(name)

    def wait_restarted(self, name: str, *, old_pid: int, timeout_seconds: float = 60) -> int:
        """Wait until the supervisor has replaced the process `old_pid` and the new one is ready.

        Returns its pid.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            pid = int(self.supervisor.state_of(name)["pid"])
            if pid not in {0, old_pid}:
                self.wait_ready(name, timeout_seconds=max(1.0, deadline - time.monotonic()))
                return pid
            if time.monotonic() > deadline:
                raise StackError(f"{name} was not started again within {timeout_seconds:g} s.")
            time.sleep(POLL_SECONDS)

    def wait_ready(self, name: str, *, timeout_seconds: float | None = None) -> None:
        """Wait until a server or web service answers, a worker reads, another process stays up.

        Raises:
            StackError: it does not within the time; with the end of its log.
        """
        ready = self._readiness_of(name)
        limit = self.ready_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + limit
        while not ready():
            if not self.supervisor.is_running:
                raise StackError(f"supervisord has ended: see {self.log_dir / 'supervisord.log'}")
            if time.monotonic() > deadline:
                log_file = self.log_dir / f"{name}.log"
                tail = log_file.read_text(errors="replace")[-3000:] if log_file.exists() else ""
                raise StackError(f"{name} is not ready after {limit:g} s. {log_file}:\n{tail}")
            time.sleep(READY_POLL_SECONDS)

    def _readiness_of(self, name: str) -> Callable[[], bool]:
        for server in self.servers:
            if server.name == name:
                return server.is_ready
        process = next(process for process in self.processes if process.name == name)
        port, bridge = process.port, process.bridge
        if port is not None:
            return lambda: answers(port, process.health_path)
        if bridge is not None:
            return lambda: bridge_is_running(
                self.ports.values(), bridge=bridge, pid=int(self.supervisor.state_of(name)["pid"])
            )
        return lambda: self.supervisor.state_of(name)["statename"] == "RUNNING"

    def _start_servers(self) -> None:
        for server in self.servers:
            self._say(f"starting {server.name} on {server.address}")
            server.prepare()
        programs = [server_program(server) for server in self.servers]
        programs += [process_program(process) for process in self.processes]
        self._supervisor = Supervisor(programs, run_dir=self.run_dir, log_dir=self.log_dir)
        self._supervisor.start(environment=self.environment(), lock=self._lock.descriptor)
        for server in self.servers:
            self.wait_ready(server.name, timeout_seconds=server.ready_seconds)

    def _run_commands(self) -> None:
        self._say("bringing database and topics up to date")
        # Side by side: they have nothing to do with each other, and each takes a second to begin.
        together = [("migrate", "--verbosity", "1"), ("create_topics",)]
        running = [self.command(*args, output=self._output(args[0])) for args in together]
        try:
            for command in running:
                command.check()
        finally:
            for command in running:
                command.end()
        if self._seed:
            self.command("seed", output=self._output("seed")).check()

    def _output(self, command: str) -> Path | None:
        return self.log_dir / f"{command}.log" if self._quiet else None

    def _start_processes(self) -> None:
        self._say("starting " + ", ".join(process.name for process in self.processes))
        for process in self.processes:
            self.supervisor.start_program(process.name)
        # Workers last: they take longest, and are asked about through the web services.
        for process in sorted(self.processes, key=lambda process: process.bridge is not None):
            self.wait_ready(process.name)

    def _write_addresses(self) -> None:
        path = self.run_dir / "addresses.json"
        staging = path.with_suffix(".new")
        staging.touch(mode=0o600)
        staging.write_text(json.dumps(self.addresses(), indent=2) + "\n")
        staging.rename(path)

    def _discard_data(self) -> None:
        for server in self.servers:
            server.discard()
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)
