"""Measure the memory of the workers under a backlog of a million events.

    python -m benchmarks.backlog [--events N] [--kafka embedded|apache]

Starts a whole stack on throw-away data, stops its workers, stores N pending orders with their holds
and puts their records on the log. Then the matching worker is started alone, until it waits for
the settlement; then the trades worker, until all is settled. The resident memory of each process is
sampled once a second. At the end the audit has to pass.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.waiting import count_pending
from exchange.stack.stack import Stack

USERS = 200
WORKERS = ("matching-worker", "trades-worker")
SAMPLE_SECONDS = 1.0
"""How often memory is read: the condition is time itself."""


class Memory:
    """The resident memory of the workers, in MiB: at the first look of each phase, and at most."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.first: dict[str, float] = {}
        self.most: dict[str, float] = {}

    def look(self, name: str) -> None:
        now = _resident(self._stack.pid_of(name))
        self.first.setdefault(name, now)
        self.most[name] = max(now, self.most.get(name, 0.0))


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fill(events: int) -> None:
    """Store pending orders with their holds, and put their records on the log."""
    from benchmarks import waiting

    waiting.fill(events)
    with _progress("published", events) as advance:
        waiting.publish(events, advance)


def drain(stack: Stack, memory: Memory, events: int) -> tuple[float, float]:
    """Match until the worker waits, then settle everything; return the seconds of both."""
    from exchange.bridge_status import bridge_reports

    def is_waiting() -> bool:
        reports = [report for report in bridge_reports() if report.bridge == "matching"]
        return any(
            report.state == "waiting" or (report.lag and not any(report.lag.values()))
            for report in reports
        )

    stack.start_process("matching-worker")
    alone = _until(is_waiting, lambda: memory.look("matching-worker"))
    stack.start_process("trades-worker")
    with _progress("settled", events) as advance:

        def look() -> None:
            for name in WORKERS:
                memory.look(name)
            advance(events - count_pending())

        together = _until(lambda: count_pending() == 0, look)
    return alone, together


def _until(condition: Callable[[], bool], look: Callable[[], None]) -> float:
    began = time.monotonic()
    while not condition():
        look()
        time.sleep(SAMPLE_SECONDS)
    return time.monotonic() - began


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f}"))
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task: TaskID = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)


def measure(stack: Stack, events: int) -> int:
    """Fill, drain, print what it took; return the exit status of the audit."""
    for name in WORKERS:
        stack.stop_process(name)
    fill(events)
    memory = Memory(stack)
    alone, together = drain(stack, memory, events)
    table = Table("process", "MiB at first", "MiB at most", title=f"{events:,} events waiting")
    for name in WORKERS:
        table.add_row(name, f"{memory.first[name]:.0f}", f"{memory.most[name]:.0f}")
    Console().print(table)
    print(f"matched alone, until it waited: {alone:.0f} s; matched and settled: {together:.0f} s")
    return stack.command("audit", "--no-cache").wait()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--kafka", choices=("embedded", "apache"), default="embedded")
    options: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exchange-backlog-") as scratch:
        stack = Stack(
            data_dir=Path(scratch, "data"), run_dir=Path(scratch, "run"), kafka=options.kafka,
            durable=False, fresh=True, say=print,
        )  # fmt: skip
        with stack:
            os.environ.update(stack.environment())
            stack.command("seed", "--users", str(USERS)).check()
            import django

            django.setup()
            return measure(stack, options.events)


if __name__ == "__main__":
    sys.exit(main())
