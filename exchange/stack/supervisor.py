"""supervisord as a child process, and the questions and orders we have for it over XML-RPC.

It runs in a session of its own, so that Ctrl-C reaches only us and everything stops in order; and
it stops everything when we die. Knows programs by name, not what they do.
"""

import http.client
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from exchange.embedded.launch import launch_argv
from exchange.embedded.server import POLL_SECONDS
from exchange.stack.configuration import PROJECT, Program, render
from exchange.stack.errors import StackError
from exchange.stack.supervisord import LOCK_VARIABLE

START_SECONDS = 15
MARGIN_SECONDS = 10
LONGEST_SOCKET_PATH = 90
"""Bytes: the kernel's limit is 107, and supervisord first makes it with its pid appended."""


class Supervisor:
    """supervisord with the programs given, from `start` to `stop`."""

    def __init__(self, programs: Iterable[Program], *, run_dir: Path, log_dir: Path) -> None:
        self.programs = {program.name: program for program in programs}
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._password = secrets.token_hex(16)
        self._socket_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, environment: Mapping[str, str], lock: int) -> None:
        """Start supervisord with the programs that start by themselves; wait until it answers.

        `lock` is the descriptor of a lock that it is to hold too.
        """
        assert self._process is None, "it runs already"
        configuration = self._run_dir / "supervisord.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            render(
                self.programs.values(),
                socket=self._socket(),
                password=self._password,
                run_dir=self._run_dir,
                log_dir=self._log_dir,
            )
        )
        command = [sys.executable, "-m", "exchange.stack.supervisord", "-c", str(configuration)]
        with (self._log_dir / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                launch_argv(command, parent=str(os.getpid()), death_signal=signal.SIGTERM),
                cwd=PROJECT,
                env={**environment, LOCK_VARIABLE: str(lock)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        self._wait_answering()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "start() first"
        return self._process.pid

    def start_program(self, name: str) -> None:
        """Start a program that is stopped; does not wait for it."""
        self._call("startProcess", self.programs[name].full_name, False)

    def stop_program(self, name: str) -> None:
        """Stop a program in good order, wait until it has ended, and leave it stopped."""
        self._call("stopProcess", self.programs[name].full_name, True)

    def state_of(self, name: str) -> dict[str, Any]:
        """Return supervisord's report: `statename`, `pid` (0 while it does not run), and more."""
        report: dict[str, Any] = self._call("getProcessInfo", self.programs[name].full_name)
        return report

    def stop(self) -> None:
        """Stop everything in order, processes before servers, then supervisord itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            longest = [program.stop_seconds for program in self.programs.values()]
            try:
                self._process.wait(2 * max(longest, default=0) + MARGIN_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()  # the kernel ends its children with it
                self._process.wait()
        self._process = None
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    def _socket(self) -> Path:
        wanted = self._run_dir / "supervisor.sock"
        if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
            return wanted
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="exchange-"))
        return self._socket_dir / wanted.name

    def _wait_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._call("getState")
            except StackError:
                if not self.is_running or time.monotonic() > deadline:
                    output = (self._log_dir / "supervisord.out").read_text(errors="replace")
                    raise StackError(f"supervisord did not start:\n{output[-2000:]}") from None
            else:
                return
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, *arguments: object) -> Any:
        # A connection for each call: it may come from any thread.
        transport = SupervisorTransport("exchange", self._password, f"unix://{self._socket()}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise StackError(f"supervisord refused {method}{arguments}: {fault.faultString}") from (
                fault
            )
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise StackError(f"supervisord does not answer: {error}") from error
        finally:
            transport.close()
