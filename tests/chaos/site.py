"""The running stack under chaos, and the hands to hurt it.

Whatever a hand does, it notes what has to be true again before the system counts as recovered.
Must never kill a process that is not of this stack.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exchange.embedded.launch import launch_argv
from exchange.embedded.processes import descendants, is_alive
from exchange.embedded.server import Server, wait_until
from exchange.stack.configuration import PROJECT
from exchange.stack.errors import StackError
from exchange.stack.health import bridge_is_running
from exchange.stack.servers import KafkaChoice
from exchange.stack.stack import Stack

SESSION_TIMEOUT_MS = 3_000
"""Of a consumer group here: shorter than usual, so that a zombie does not take long."""
FROZEN_SECONDS = SESSION_TIMEOUT_MS / 1000 + 1
NEW_WORKER_SECONDS = 30
AGAIN_SECONDS = 15
"""How long to wait for a process that is to be hurt: another fault may just have ended it."""


class ChaosStack(Stack):
    """A stack on throw-away data whose consumer groups notice a dead member soon."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS)}


@dataclass
class Site:
    """One run's stack. `expected` has what must hold before it counts as recovered."""

    stack: Stack
    kafka: KafkaChoice
    rng: random.Random
    log_dir: Path
    expected: list[Callable[[], bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was chosen by chance, for the log line."""
    _never: threading.Event = field(default_factory=threading.Event)

    @property
    def broker(self) -> Server:
        return next(s for s in self.stack.servers if s.name not in {"postgres", "valkey"})

    def begin(self) -> None:
        """Forget what the last fault has left to be expected."""
        self.expected.clear()
        self.notes.clear()

    def pass_time(self, seconds: float) -> None:
        """Let a fault, or the time between two, last."""
        self._never.wait(seconds)

    def kill(self, name: str) -> None:
        """SIGKILL a process or server of the stack; the supervisor has to replace it."""
        self._await_running(name)
        old_pid = self.stack.kill(name)
        self.notes.append(f"{name} {old_pid}")
        self.expected.append(lambda: self._pid(name) not in {0, old_pid})

    def kill_web_worker(self, service: str) -> None:
        """SIGKILL one of the processes in which a web service answers; its master has another."""
        wait_until(lambda: bool(descendants(self._pid(service))), timeout_seconds=AGAIN_SECONDS)
        before = descendants(self._pid(service))
        victim = self.rng.choice(before)
        os.kill(victim, signal.SIGKILL)
        self.notes.append(f"{service} {victim}")
        self.expected.append(lambda: not is_alive(victim))
        self.expected.append(lambda: len(descendants(self._pid(service))) >= len(before))

    def freeze(self, name: str) -> None:
        """SIGSTOP a process for longer than its session on Kafka lasts, then let it go on."""
        pid = self.stack.kill(name, signal.SIGSTOP)
        try:
            self.pass_time(FROZEN_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)

    def lose_log(self) -> None:
        """End the broker, and with it every record."""
        if self.kafka == "embedded":
            self.kill(self.broker.name)  # its log was in memory
            return
        broker = self.broker
        self._await_running(broker.name)
        self.stack.stop_process(broker.name)
        shutil.rmtree(broker.data_dir)
        blank = broker.data_dir.with_name("blank")
        if blank.exists():
            shutil.copytree(blank, broker.data_dir)
        else:  # formatting takes seconds of a processor: once is enough
            broker.prepare()
            shutil.copytree(broker.data_dir, blank)
        self.stack.supervisor.start_program(broker.name)

    @contextmanager
    def second_worker(self, bridge: str, *, static: bool) -> Iterator[None]:
        """Run another worker of this kind meanwhile, ended in good order or by SIGKILL.

        `static`: it takes all partitions; else it joins the group, and a rebalance follows.
        """
        name = f"{bridge}-worker"
        process = next(p for p in self.stack.processes if p.name == name)
        program = str(Path(sys.executable).with_name(process.argv[0]))
        argv = [program, *(a.replace("@%h", "-2@%h") for a in process.argv[1:])]
        environment = self.stack.environment() | {
            **process.environment,
            "PROCESS_NAME": f"{name}-2",
            "KAFKA_STATIC_ASSIGNMENT": str(int(static)),
        }
        with (self.log_dir / f"{name}-2.log").open("ab") as log:
            second = subprocess.Popen(
                launch_argv(argv, parent=str(os.getpid())),
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            if not wait_until(
                lambda: self._second_reads(bridge, second.pid), timeout_seconds=NEW_WORKER_SECONDS
            ):
                raise StackError(f"the second {name} does not read: see {log.name}")
            yield
        finally:
            last = self.rng.choice((signal.SIGTERM, signal.SIGKILL))
            self.notes.append(f"ended by {last.name}")
            second.send_signal(last)
            try:
                second.wait(20)
            except subprocess.TimeoutExpired:
                second.kill()
                second.wait()

    def redeliver(self, topic: str, *, count: int) -> None:
        """Publish random records of a topic once more."""
        argv = [sys.executable, "-m", "tests.chaos.redeliver", topic, str(count)]
        finished = subprocess.run(
            launch_argv([*argv, str(self.rng.random())], parent=str(os.getpid())),
            cwd=PROJECT,
            env=self.stack.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise StackError(f"records of {topic} were not sent again: {finished.stderr[-2000:]}")
        self.notes.append(f"{finished.stdout.strip()} records")

    def _second_reads(self, bridge: str, pid: int) -> bool:
        return bridge_is_running(self.stack.ports.values(), bridge=bridge, pid=pid)

    def _await_running(self, name: str) -> None:
        if not wait_until(lambda: self._pid(name) != 0, timeout_seconds=AGAIN_SECONDS):
            raise StackError(f"{name} does not run, and so cannot be hurt")

    def _pid(self, name: str) -> int:
        return int(self.stack.supervisor.state_of(name)["pid"])
