"""A whole exchange on throw-away data, for a benchmark: started, filled, asked, audited, deleted.

Postgres is durable here, as in production: a commit is on disk. Nothing is measured by these
functions but the audit's verdict: a figure of an exchange whose books do not balance is worth
nothing.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import psutil

from exchange.embedded.ports import free_port
from exchange.stack.processes import WEB_PORTS, Process, exchange_processes
from exchange.stack.stack import Stack

PAUSE_SECONDS = 0.02
"""Between two looks at the database: short against what is measured, and cheap."""


@contextmanager
def running_exchange(
    *,
    kafka: Literal["embedded", "apache"] = "embedded",
    workers: int = 1,
    more: Sequence[Process] = (),
    users: int = 200,
) -> Iterator[Stack]:
    """Start an exchange with `users` funded traders, and set Django up in this process to see it.

    One of them a process, as Django reads its settings once.
    """
    os.environ["LOG_FORMAT"] = "json"  # as in production
    with tempfile.TemporaryDirectory(prefix="exchange-benchmark-") as scratch:
        ports = {service: free_port() for service in WEB_PORTS}
        processes = exchange_processes(ports=ports, schedule=Path(scratch, "beat.schedule"))
        stack = Stack(
            data_dir=Path(scratch, "data"), run_dir=Path(scratch, "run"), kafka=kafka,
            ports=ports, fresh=True, processes=(*_multiplied(processes, workers), *more),
        )  # fmt: skip
        with stack:
            os.environ.update(stack.environment())
            stack.command("seed", "--users", str(users), output=Path(scratch, "seed.log")).check()
            import django

            django.setup()
            yield stack


def _multiplied(processes: Sequence[Process], workers: int) -> list[Process]:
    """Return the processes with each bridge's worker this many times."""
    found: list[Process] = []
    for process in processes:
        found.append(process)
        if process.bridge is None:
            continue
        for number in range(2, workers + 1):
            name = f"{process.name}-{number}"
            argv = tuple(
                part.replace("@%h", f"-{number}@%h") if part.endswith("@%h") else part
                for part in process.argv
            )
            found.append(replace(process, name=name, argv=argv, environment={"PROCESS_NAME": name}))
    return found


def worker_names(stack: Stack) -> list[str]:
    """Return the names of all workers that read the log."""
    return [process.name for process in stack.processes if process.bridge is not None]


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float = 1_800) -> float:
    """Wait until `condition` holds; return the seconds it took.

    Raises:
        TimeoutError: it does not within the time.
    """
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > timeout_seconds:
            raise TimeoutError(f"waited {timeout_seconds:g} s in vain")
        time.sleep(PAUSE_SECONDS)
    return time.perf_counter() - began


def require_sound_books(stack: Stack) -> None:
    """Run the audit.

    Raises:
        CommandError: it found a difference.
    """
    stack.command("audit").check()


def families(stack: Stack) -> dict[str, list[psutil.Process]]:
    """Return each running server and process by its name, with its children behind it."""
    found: dict[str, list[psutil.Process]] = {}
    names = [server.name for server in stack.servers] + [p.name for p in stack.processes]
    for name in names:
        pid = int(stack.supervisor.state_of(name)["pid"])
        if pid:
            process = psutil.Process(pid)
            found[name] = [process, *process.children(recursive=True)]
    return found


def processor_seconds(stack: Stack) -> dict[str, float]:
    """Return the processor time of each running server and process so far, children included.

    Of a server with a process for each connection, those that have ended count too.
    """
    found: dict[str, float] = {}
    for name, (parent, *children) in families(stack).items():
        found[name] = sum(map(_own_seconds, children))
        ended = parent.cpu_times()  # last: a child that ends meanwhile is among these
        found[name] += ended.user + ended.system + ended.children_user + ended.children_system
    return found


def _own_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
