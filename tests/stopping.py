"""A process that is there and does nothing: stopped for a while, then let go on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop the process `pid`, all of its threads, and let it go on at the end.

    The signal is delivered to one thread, and until that one runs the others go on: on a busy
    machine a server would still answer what is asked right after the call.
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 10
        while not _all_stand(pid):
            assert time.monotonic() < deadline, f"process {pid} does not stop"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _all_stand(pid: int) -> bool:
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    # proc(5): the state comes after the name, which is in parentheses and may hold some.
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
