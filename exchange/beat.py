"""The sender of periodic tasks, which sends nothing more while nobody takes what was sent.

Redis keeps every message until a worker has taken it, also when it has expired. With no worker for
a day the queue would hold hundreds of thousands, and fill the server that the cache lives on.
"""

from typing import Any

import structlog
from celery.beat import PersistentScheduler, ScheduleEntry
from kombu import Producer

from exchange.metrics import BEAT_TASKS

logger = structlog.get_logger(__name__)

MAX_WAITING = 100
"""Messages in the queue beyond which a task is left out; its next turn comes within seconds."""


class BoundedScheduler(PersistentScheduler):
    """Celery's own scheduler, but for tasks that would only wait behind a hundred others."""

    def apply_entry(self, entry: ScheduleEntry, producer: Producer | None = None) -> None:
        waiting = self._waiting()
        if waiting >= MAX_WAITING:
            logger.warning(
                "periodic_task_left_out", task=entry.task, waiting=waiting,
                action="Does the trades worker run? It carries out the periodic tasks.",
            )  # fmt: skip
            BEAT_TASKS.labels(entry.task, "left_out").inc()
            return
        super().apply_entry(entry, producer=producer)
        BEAT_TASKS.labels(entry.task, "sent").inc()

    def _waiting(self) -> int:
        """Return the length of the queue; 0 when the broker is away: sending then says so."""
        with self.app.connection_for_write() as broker:
            try:
                channel: Any = broker.default_channel
                declared = channel.queue_declare(queue=self.app.conf.task_default_queue)
            except broker.connection_errors:
                return 0
        return int(declared.message_count)
