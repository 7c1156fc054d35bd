"""The Celery app: periodic tasks over Redis, and workers that a Kafka bridge feeds.

`celery -A exchange worker --bridge NAME` runs a bridge (see `exchange.bridge`) inside the worker;
the names are those of `settings.KAFKA_BRIDGES`. Without it, it is an ordinary worker.
"""

import os
from typing import Any

import click
from celery import Celery
from celery.signals import beat_init, setup_logging, task_postrun, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")

app = Celery("exchange")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_django_logging(**_: Any) -> None:
    """Stop Celery from putting its own handlers in place of the project's."""


@worker_init.connect
@beat_init.connect
def _serve_metrics(**_: Any) -> None:
    from exchange.metrics.server import serve

    serve()


@task_postrun.connect
def _count_periodic_task(task: Any = None, state: str | None = None, **_: Any) -> None:
    from exchange.metrics import PERIODIC_TASKS

    if not task.request.is_eager:  # what a bridge runs, it counts itself
        PERIODIC_TASKS.labels(task.name, (state or "unknown").lower()).inc()


def _add_bridge() -> None:
    from exchange.bridge import KafkaBridge

    app.user_options["worker"].add(
        click.Option(["--bridge"], help="Feed this worker: matching, trades or market-data.")
    )
    app.steps["worker"].add(KafkaBridge)


_add_bridge()
