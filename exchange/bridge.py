"""KafkaBridge: a Celery worker that is fed by Kafka.

A bootstep of the *Worker* blueprint, because the Consumer blueprint is restarted at every broker
reconnect and the log has nothing to do with the broker. Its thread owns the Kafka consumer, polls
batches, runs the registered Celery task for each in this process, and commits what the task has
finished. A task that fails is tried again with the same batch, with a back-off, until it succeeds
or the partition goes to somebody else: nothing is ever skipped. A bridge that cannot go on takes
the worker down with it, so that it is started afresh: a dead bridge never looks like a healthy
worker.

What a batch means is not known here: a `Feed` names the topic and the task, and says where each
partition begins.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
import structlog
from celery import Task, bootsteps
from django.conf import settings
from django.db import close_old_connections, connections
from django.utils.module_loading import import_string

from exchange.bridge_status import BridgeStatus
from exchange.kafka import (
    GroupConsumer,
    Log,
    LogIdentity,
    LogRecord,
    Rebalanced,
    TopicsMissingError,
)
from exchange.metrics import BridgeMetrics

logger = structlog.get_logger(__name__)

POLL_MS = 250
CHECK_SECONDS = 2.0
"""How often the bridge asks whether the log is still the same one, and how far behind it is."""
IDLE_CHECKS = 5
"""So many checks without a partition before the bridge asks whether anybody has them."""
MAX_BACKOFF_SECONDS = 2.0


class Feed(Protocol):
    """What a bridge feeds to which task."""

    topic: str
    group: str
    task: Task[Any, Any]
    rest_seconds: float
    """How long to wait after a batch that has emptied the log, so that more comes together for the
    next one. 0: somebody waits for each result."""

    def begin(self, partitions: set[int], alive: Callable[[], None]) -> Mapping[int, int | None]:
        """Get ready for exactly `partitions`; return the offset each begins at.

        None: where the group has committed. Called after every rebalance and whenever the log
        may have changed; may take as long as it needs if it calls `alive` now and then, and is
        called again if it fails.
        """

    def is_current(self) -> bool:
        """Whether what `begin` found still holds, as far as the database knows."""

    def has_room(self) -> bool:
        """Whether to read on; False while what was read before waits elsewhere."""


class LogChangedError(Exception):
    """What this session began on no longer holds: the log is another one, or the database is."""


class StrandedError(Exception):
    """Nobody reads some partitions, and this client does not notice."""


class Bridge:
    """The bridge's thread, apart from Celery."""

    def __init__(self, name: str) -> None:
        self._feed: Feed = import_string(settings.KAFKA_BRIDGES[name])()
        self._status = BridgeStatus(name)
        self._metrics = BridgeMetrics(name)
        self._stopping = threading.Event()
        self._idle_checks = 0
        self._thread = threading.Thread(target=self._run, name=f"bridge-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Finish the batch at hand, leave the group, and end."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        backoff = _Backoff(self._stopping)
        try:
            while not self._stopping.is_set():
                try:
                    self._status.report("connecting")
                    self._session(backoff)
                except LogChangedError as error:
                    logger.warning("log_changed", reason=str(error))
                    backoff.wait()
                except Exception as error:
                    self._status.report("failing", error=repr(error))
                    logger.exception("bridge_session_failed", retry_in=backoff.seconds)
                    close_old_connections()  # one that a restart of Postgres has cut stays cut
                    backoff.wait()
        except BaseException:
            # Nothing here is worth saving: every state survives SIGKILL. Alive without a bridge,
            # the worker would look healthy and do nothing.
            logger.critical("bridge_died", exc_info=True)
            os._exit(70)
        self._status.report("stopped")
        connections.close_all()  # this thread's

    def _session(self, backoff: "_Backoff") -> None:
        """Consume until told to stop; whatever goes wrong with the log ends the session."""
        self._idle_checks = 0
        with Log() as log:
            identity = _identity(log)
            consumer = GroupConsumer(topic=self._feed.topic, group=self._feed.group)
            try:
                self._consume(consumer, log, identity, backoff)
            finally:
                consumer.close()

    def _consume(
        self, consumer: GroupConsumer, log: Log, identity: LogIdentity, backoff: "_Backoff"
    ) -> None:
        check = _Every(CHECK_SECONDS)
        while not self._stopping.is_set():
            try:
                if check.is_due():
                    self._check(consumer, log, identity)
                if not self._feed.has_room():
                    self._wait_for_room(consumer)
                    continue
                batch = consumer.poll(POLL_MS)
                if batch:
                    self._process(batch, consumer)
                    consumer.commit()
                    backoff.reset()
                    if len(batch) < settings.KAFKA_MAX_BATCH:
                        self._stopping.wait(self._feed.rest_seconds)
            except Rebalanced:
                self._begin(consumer)

    def _begin(self, consumer: GroupConsumer) -> None:
        partitions = consumer.assignment()
        if not partitions:
            return  # between two assignments: what is in memory may come back
        due = _Every(CHECK_SECONDS)

        def alive() -> None:
            if due.is_due():
                self._status.report("recovering", partitions=sorted(partitions))
                consumer.keep_alive()

        alive()
        begins = self._feed.begin(partitions, alive)
        if consumer.is_rebalanced():
            return  # meanwhile; the next poll says so, and it begins with what it has then
        consumer.start_at(begins)
        self._status.report("running", partitions=sorted(partitions))
        logger.info("partitions_assigned", partitions=sorted(partitions), topic=self._feed.topic)

    def _wait_for_room(self, consumer: GroupConsumer) -> None:
        self._status.report("waiting", partitions=sorted(consumer.assignment()))
        self._stopping.wait(POLL_MS / 1000)
        consumer.keep_alive()
        if consumer.is_rebalanced():
            consumer.poll(0)  # raises Rebalanced

    def _process(self, batch: list[LogRecord], consumer: GroupConsumer) -> None:
        """Run the task until it has succeeded with this batch.

        Raises:
            Rebalanced: the partitions may have gone to somebody else meanwhile.
        """
        backoff = _Backoff(self._stopping)
        while True:
            began = time.perf_counter()
            try:
                self._feed.task.apply(args=(batch,), throw=True)
            except Exception as error:
                self._metrics.batch_failed()
                self._status.report("failing", error=repr(error))
                logger.exception(
                    "batch_failed", records=len(batch), retry_in=backoff.seconds,
                    action="The same batch is tried again.",
                )  # fmt: skip
                close_old_connections()
                backoff.wait()
                if self._stopping.is_set():
                    raise
                consumer.keep_alive()
                if consumer.is_rebalanced():
                    raise Rebalanced from None  # who has the partitions now reads them again
            else:
                self._metrics.batch_done(len(batch), time.perf_counter() - began)
                return

    def _check(self, consumer: GroupConsumer, log: Log, identity: LogIdentity) -> None:
        if consumer.is_rebalanced():
            return
        positions, ends = consumer.positions(), consumer.end_offsets()
        if consumer.is_rebalanced():
            return  # asking for a position may complete a rebalance; it is the group's then
        if (found := log.identity()) != identity:
            raise LogChangedError(f"the topics are {found}, and were {identity}")
        if positions and not self._feed.is_current():
            raise LogChangedError("the database is at another epoch")
        for partition, position in positions.items():
            if position > ends.get(partition, position):
                raise LogChangedError(f"partition {partition} ends before {position}")
        # Where nothing has been fetched yet the end is not known, and nothing is said.
        lag = {number: ends[number] - at for number, at in positions.items() if number in ends}
        self._metrics.lag(lag)
        if positions:
            self._idle_checks = 0
            self._status.report("running", partitions=sorted(positions), lag=lag)
        else:
            self._status.report("idle")
            self._check_idle(log)

    def _check_idle(self, log: Log) -> None:
        """Make sure that who has nothing to read may rest: others have all partitions.

        A Kafka client that joined a group while a broker came back has been seen to stay a member
        with nothing, or to wait for its admission, for ever.
        """
        self._idle_checks += 1
        if self._idle_checks < IDLE_CHECKS:
            return
        if orphans := log.orphans(self._feed.group, self._feed.topic):
            raise StrandedError(f"nobody in the group has partitions {sorted(orphans)}")


def _identity(log: Log) -> LogIdentity:
    """Return which log this is; one that has been lost altogether is made anew."""
    try:
        return log.identity()
    except TopicsMissingError as error:
        created = log.create_topics()
        logger.warning("topics_created", topics=created, reason=str(error))
        return log.identity()


class _Backoff:
    """Waits longer after each failure in a row, and not at all once the bridge is to stop."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self.seconds = 0.1

    def wait(self) -> None:
        self._stopping.wait(self.seconds)
        self.seconds = min(self.seconds * 2, MAX_BACKOFF_SECONDS)

    def reset(self) -> None:
        self.seconds = 0.1


class _Every:
    """Says once per interval that it is time; the first time at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class KafkaBridge(bootsteps.StartStopStep):
    """Starts, drains and stops the bridge named by `--bridge` with the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, bridge: str | None = None, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        if bridge is not None and bridge not in settings.KAFKA_BRIDGES:
            names = ", ".join(settings.KAFKA_BRIDGES)
            raise click.BadParameter(f"there is no bridge {bridge!r}; there are: {names}")
        self._name = bridge
        self._bridge: Bridge | None = None

    def start(self, worker: Any) -> None:  # noqa: ARG002 - the interface of Celery
        if self._name is not None:
            self._bridge = Bridge(self._name)
            self._bridge.start()

    def stop(self, worker: Any) -> None:  # noqa: ARG002
        if self._bridge is not None:
            self._bridge.stop()
            self._bridge = None

    def terminate(self, worker: Any) -> None:
        self.stop(worker)
