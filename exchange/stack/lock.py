"""One stack for each run directory: a lock that ends with the processes that hold it.

supervisord inherits it, so that after a SIGKILL of `make up` nobody can start on the same data
before everything that was left has stopped. Never decided by a pid in a file: the kernel decides.
"""

import fcntl
import os
from pathlib import Path

from exchange.embedded.processes import is_alive
from exchange.embedded.server import wait_until
from exchange.stack.errors import StackError

LEFTOVER_SECONDS = 45
"""How long what a killed stack left behind may take to stop."""


class RunLock:
    """An exclusive lock on a file that names the process which holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        assert self._descriptor is not None, "acquire() first"
        return self._descriptor

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StackError: another stack runs here; the message names its process.
        """
        assert self._descriptor is None, "it is ours already"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        if not self._try():
            holder = self._holder()
            abandoned = holder is not None and not is_alive(holder)
            if not abandoned or not wait_until(self._try, timeout_seconds=LEFTOVER_SECONDS):
                self.release()
                raise StackError(
                    f"A stack runs here already: process {holder or 'unknown'} holds {self._path}."
                    " Stop it with Ctrl-C in its terminal"
                    + (f", or with `kill {holder}`." if holder else ".")
                )
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let go of the lock; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> int | None:
        text = os.pread(self.descriptor, 32, 0).decode()
        return int(text) if text.isdigit() else None
