"""Flower sees the periodic tasks: workers send the events that it lives on."""

import threading
from typing import Any

from celery.contrib.testing.worker import start_worker

from exchange.celery import app
from exchange.embedded.server import wait_until
from tests.support import World


def test_a_worker_tells_of_each_periodic_task(exchange_world: World) -> None:
    seen: list[tuple[str, str]] = []
    names: dict[str, str] = {}

    def note(event: dict[str, Any]) -> None:
        names.setdefault(event["uuid"], event.get("name", ""))
        seen.append((event["type"], names[event["uuid"]]))

    with app.connection_for_read() as broker:
        receiver = app.events.Receiver(
            broker, handlers={"task-received": note, "task-succeeded": note}
        )
        thread = threading.Thread(
            target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": False}
        )
        thread.start()
        try:
            with start_worker(app, pool="solo", perform_ping_check=False, queues=["periodic"]):
                app.tasks["balances.care_for_cache"].delay()
                assert wait_until(
                    lambda: ("task-succeeded", "balances.care_for_cache") in seen,
                    timeout_seconds=30,
                )
        finally:
            receiver.should_stop = True
            thread.join(10)
    assert ("task-received", "balances.care_for_cache") in seen
