"""Threads that do one step after the other until they are paused or stopped.

What goes wrong in a step is kept as a problem of the run, with its words; the thread ends. A pause
begins between two steps, so that whoever has paused the crew knows that no request is under way.
"""

import threading
import time
from collections.abc import Callable

from tests.chaos.client import StoppedError

Step = Callable[[], None]
STOP_SECONDS = 20
"""Longer than a request may wait for its answer."""


class Crew:
    """All threads that act on the exchange in a run."""

    def __init__(self, *, stopping: threading.Event) -> None:
        self.problems: list[str] = []
        self._stopping = stopping
        self._changed = threading.Condition()
        self._paused = True
        self._busy = 0
        self._threads: list[threading.Thread] = []

    def add(self, name: str, step: Step, *, seconds: Callable[[], float]) -> None:
        """Add a thread; it takes a step every so many `seconds`, asked anew each time."""
        thread = threading.Thread(target=self._work, args=(step, seconds), name=name, daemon=True)
        self._threads.append(thread)

    def start(self) -> None:
        """Start every thread, paused."""
        for thread in self._threads:
            thread.start()

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def pause(self, *, timeout_seconds: float) -> bool:
        """Let every thread finish its step and take no other; return whether all have."""
        with self._changed:
            self._paused = True
            return self._changed.wait_for(lambda: self._busy == 0, timeout_seconds)

    def stop(self) -> None:
        """End all threads: what still waits for an answer is given up."""
        self._stopping.set()
        self.resume()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=STOP_SECONDS)

    def _work(self, step: Step, seconds: Callable[[], float]) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._enter()
            try:
                if not self._stopping.is_set():
                    step()
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the run's finding
                self.problems.append(f"{threading.current_thread().name}: {error!r}")
                return
            finally:
                self._leave()
            # Not caught up when a step took long: a steady load, not a flood after an outage.
            due = max(time.monotonic(), due + seconds())
            self._stopping.wait(due - time.monotonic())

    def _enter(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._paused)
            self._busy += 1

    def _leave(self) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()
