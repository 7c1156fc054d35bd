"""A server as a child process: prepare, start, wait until it answers, stop, kill.

The life cycle only; what is particular to a server is in its own module. A server listens on
loopback and nowhere else, dies with the process that started it, and leaves its data in
`data_dir`. Nothing here knows what the exchange keeps in it.
"""

import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from exchange.embedded.errors import ServerError
from exchange.embedded.launch import launch_argv
from exchange.embedded.ports import free_port, require_free
from exchange.embedded.processes import descendants, is_alive

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02


class Server(ABC):
    """One embedded server. Use as a context manager, or `start`, `wait_ready` and `stop`."""

    name: ClassVar[str]
    address_variable: ClassVar[str]
    """The environment variable in which the exchange looks for this server's address."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    """What it gets when the process that started it has died."""
    ready_seconds: ClassVar[float] = 30
    stop_seconds: ClassVar[float] = 15

    def __init__(self, data_dir: Path, *, port: int | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.host = LOOPBACK
        self.port = free_port() if port is None else port
        self.log_file = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make `data_dir` what `command` needs. Does nothing the second time."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground. Call `prepare` first."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether a client gets an answer now."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The value for `address_variable`."""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the variables that the server needs on top of those of this process."""
        return {}

    @property
    def run_as(self) -> str | None:
        """The user to run as, None for the current one."""
        return None

    def launch_command(self, *, parent: str) -> list[str]:
        """Return `command` as `run_as`, ended by `death_signal` when `parent` dies."""
        return launch_argv(
            self.command(), parent=parent, user=self.run_as, death_signal=self.death_signal
        )

    @property
    def pid(self) -> int:
        """The process id of the running server.

        Raises:
            ServerError: it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} is not running: call start() first.")
        return self._process.pid

    def start(self, log_file: Path | None = None) -> None:
        """Start the server; what it prints is appended to `log_file`. Does not wait for it.

        Call this from a thread that outlives the server: the kernel takes the end of the thread
        for the end of the parent (see `launch`).
        """
        assert self._process is None or self._process.poll() is not None, "it runs already"
        require_free({self.name: self.port})
        self.prepare()
        if log_file is not None:
            self.log_file = log_file
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.launch_command(parent=str(os.getpid())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for the parent to handle
            )

    def wait_ready(self, timeout_seconds: float | None = None) -> None:
        """Wait until the server answers.

        Raises:
            ServerError: it ended, or did not answer in time; with the end of its log.
        """
        assert self._process is not None, "start() first"
        limit = self.ready_seconds if timeout_seconds is None else timeout_seconds
        deadline = time.monotonic() + limit
        while True:
            status = self._process.poll()
            if status is not None:
                raise ServerError(f"{self.name} ended with status {status}.{self._log_tail()}")
            if self.is_ready():
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} does not answer on {self.address} after {limit:g} s."
                    f"{self._log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server in good order; by force when it takes longer than `stop_seconds`."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server and its child processes with SIGKILL, as a crash would."""
        pid = self.pid
        assert self._process is not None
        children = descendants(pid)
        self._process.kill()
        self._process.wait()
        for child in filter(is_alive, children):
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, children)), timeout_seconds=10)

    def discard(self) -> None:
        """Stop the server and delete its data, wherever it is kept."""
        self.stop()
        if self.data_dir.is_symlink():
            target = self.data_dir.resolve()
            self.data_dir.unlink()
            if target.exists():
                shutil.rmtree(target)
        elif self.data_dir.exists():
            shutil.rmtree(self.data_dir)

    def _log_tail(self, lines: int = 20) -> str:
        text = self.log_file.read_text(errors="replace").splitlines()[-lines:]
        return (
            f" The end of {self.log_file}:\n" + "\n".join(text) if text else " It printed nothing."
        )

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Poll until `condition` holds; return whether it did within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
