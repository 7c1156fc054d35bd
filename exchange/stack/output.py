"""What the user of `make up` sees: every process's output, and the table of addresses.

Follows the log files that supervisord writes, so a slow terminal cannot slow a process down.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

POLL_SECONDS = 0.1
COLORS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


class LogFile:
    """The lines that are appended to a log file from now on, also when it is rotated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = b""
        self._file: BinaryIO | None = None
        if path.exists():
            self._file = path.open("rb")
            self._file.seek(0, 2)

    def new_lines(self) -> list[str]:
        """Return the complete lines that have been written since the last call."""
        written = self._read()
        if self._was_rotated():
            self.close()
            written += self._read()
        *lines, self._partial = (self._partial + written).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> bytes:
        if self._file is None:
            if not self.path.exists():
                return b""
            self._file = self.path.open("rb")
        return self._file.read()

    def _was_rotated(self) -> bool:
        if self._file is None or not self.path.exists():
            return False
        return self.path.stat().st_ino != os.fstat(self._file.fileno()).st_ino


class Follower:
    """Prints what is appended to the logs of `names`, each line with its name before it."""

    def __init__(self, names: Iterable[str], *, log_dir: Path, console: Console) -> None:
        self._logs = {name: LogFile(log_dir / f"{name}.log") for name in names}
        self._width = max(len(name) for name in self._logs)
        self._console = console
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Print what is still to be printed, and end."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._print_new()
        self._print_new()
        for log in self._logs.values():
            log.close()

    def _print_new(self) -> None:
        for number, (name, log) in enumerate(self._logs.items()):
            for line in log.new_lines():
                prefix = Text(f"{name:<{self._width}} | ", style=COLORS[number % len(COLORS)])
                self._console.print(prefix + Text.from_ansi(line), soft_wrap=True)


def print_addresses(
    console: Console, *, addresses: Mapping[str, str], log_dir: Path, hide: Callable[[str], str]
) -> None:
    """Print where everything is and how to stop it; `hide` takes passwords out of an address."""
    orders = addresses["ORDERS_URL"]
    table = Table(title="The exchange is running", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for what, where in (
        ("order service", orders),
        ("balance service", addresses["BALANCES_URL"]),
        ("matching engine", addresses["MATCHING_URL"]),
        ("admin", f"{orders}/admin/"),
        ("API documentation", f"{orders}/docs"),
        ("Postgres", hide(addresses["DATABASE_URL"])),
        ("Redis", hide(addresses["REDIS_URL"])),
        ("Kafka", addresses["KAFKA_BOOTSTRAP_SERVERS"]),
        ("logs", str(log_dir)),
        ("stop", "Ctrl-C"),
    ):
        table.add_row(what, where)
    console.print(table)
