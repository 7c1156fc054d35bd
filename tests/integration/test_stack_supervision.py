"""The stack with stand-ins for its processes: what the supervisor does when things die."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.embedded.ports import free_port
from exchange.embedded.processes import command_line, descendants, is_alive
from exchange.embedded.server import wait_until
from exchange.stack.errors import StackError
from exchange.stack.processes import Process
from exchange.stack.stack import Stack

# Notes in a file when it stops, and whether Postgres was still there then.
WORKER = """
import os, signal, sys, time
from urllib.parse import urlsplit
import psycopg2
def stop(*_):
    time.sleep(0.3)
    psycopg2.connect(os.environ["DATABASE_URL"]).close()
    open(sys.argv[1], "w").write("stopped with Postgres still there")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("working as", os.environ["PROCESS_NAME"], flush=True)
while True: time.sleep(1)
"""


class StandIns(Stack):
    """A stack whose processes are stand-ins and that runs no `manage.py` command."""

    def __init__(self, base: Path) -> None:
        port = free_port()
        web = Process(
            name="web",
            argv=("python", "-m", "http.server", "--bind", "127.0.0.1", str(port)),
            port=port,
            health_path="/",
        )
        script = base / "worker.py"
        script.write_text(WORKER)
        worker = Process(
            name="worker",
            argv=("python", str(script), str(base / "note")),
            environment={"PROCESS_NAME": "worker"},
            start_seconds=1,
        )
        super().__init__(
            data_dir=base / "data",
            run_dir=base / "run",
            durable=False,
            fresh=True,
            processes=(web, worker),
        )

    def _run_commands(self) -> None:
        """Run none."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StandIns]:
    with StandIns(tmp_path) as running:
        yield running


def test_whatever_is_killed_comes_back(stack: StandIns) -> None:
    for name in ("web", "worker", "postgres", "valkey", "tansu"):
        old_pid = stack.kill(name)

        new_pid = stack.wait_restarted(name, old_pid=old_pid)

        assert new_pid != old_pid
        assert stack.pid_of(name) == new_pid


def test_stopped_process_stays_stopped_until_it_is_started(stack: StandIns) -> None:
    stack.stop_process("valkey")
    with pytest.raises(StackError, match="valkey is not running"):
        stack.pid_of("valkey")

    stack.start_process("valkey")

    assert is_alive(stack.pid_of("valkey"))


def test_processes_stop_before_the_servers_and_nothing_is_left(tmp_path: Path) -> None:
    stack = StandIns(tmp_path)
    stack.start()
    pids = [stack.supervisor.pid, *descendants(stack.supervisor.pid)]
    assert (stack.run_dir / "addresses.json").exists()

    stack.stop()

    assert (tmp_path / "note").read_text() == "stopped with Postgres still there"
    assert not any(map(is_alive, pids))
    assert not (stack.run_dir / "addresses.json").exists()
    assert not stack.data_dir.exists()


def test_everything_ends_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    stack = StandIns(tmp_path)
    with stack:
        pids = descendants(stack.supervisor.pid)
        assert len(pids) >= 5

        os.kill(stack.supervisor.pid, signal.SIGKILL)

        assert wait_until(lambda: not any(map(is_alive, pids)), timeout_seconds=10)


def test_everything_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from tests.integration.test_stack_supervision import StandIns\n"
        f"stack = StandIns(pathlib.Path({str(tmp_path)!r}))\n"
        "stack.start()\n"
        "print(stack.supervisor.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        supervisor = int(parent.stdout.readline())
        pids = [supervisor, *descendants(supervisor)]

        parent.kill()

        assert wait_until(lambda: not any(map(is_alive, pids)), timeout_seconds=20), [
            command_line(pid) for pid in pids if is_alive(pid)
        ]
    # The next one in the same place cleans up what was left, and starts.
    with StandIns(tmp_path) as again:
        assert is_alive(again.pid_of("worker"))


def test_process_that_does_not_come_up_is_reported_with_its_log(tmp_path: Path) -> None:
    stack = StandIns(tmp_path)
    broken = Process(name="broken", argv=("python", "-c", "raise SystemExit('no such thing')"))
    stack.processes = (broken,)
    stack.ready_seconds = 3

    with pytest.raises(StackError, match=r"broken is not ready after 3 s.*(?s:.*)no such thing"):
        stack.start()
