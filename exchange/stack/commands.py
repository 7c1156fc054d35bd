"""`manage.py` commands, run as children that end when we do."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exchange.embedded.launch import launch_argv
from exchange.stack.configuration import PROJECT
from exchange.stack.errors import StackError

STOP_SECONDS = 10


class Command:
    """A `manage.py` command under way, its output in a file or, without one, on our own."""

    def __init__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], log_file: Path | None
    ) -> None:
        self._arguments = arguments
        self._log_file = log_file
        argv = [sys.executable, str(PROJECT / "manage.py"), *arguments]
        output = None if log_file is None else log_file.open("wb")
        try:
            self._process = subprocess.Popen(
                launch_argv(argv, parent=str(os.getpid())),
                cwd=PROJECT,
                env={**environment, "PROCESS_NAME": arguments[0]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us to handle
            )
        finally:
            if output is not None:
                output.close()

    def wait(self) -> int:
        """Wait for the end and return the exit status; when interrupted, end the command first."""
        try:
            return self._process.wait()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the command if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def check(self) -> None:
        """Wait for the end.

        Raises:
            StackError: it failed; with the end of its output.
        """
        status = self.wait()
        if status != 0:
            command = " ".join(self._arguments)
            shown = "" if self._log_file is None else self._log_file.read_text(errors="replace")
            raise StackError(f"`manage.py {command}` failed with status {status}.\n{shown[-3000:]}")
