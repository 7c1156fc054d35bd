"""Celery: periodic work over the Redis broker. The log, not the broker, carries what matters."""

from exchange.settings.stores import REDIS_URL

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 2, "socket_timeout": 10}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "periodic"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = True
"""For Flower, if somebody has one: without a listener they go nowhere (see docs/operations.md)."""
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "exchange.beat:BoundedScheduler"
CELERY_BEAT_SCHEDULE = {
    "relay-unpublished-orders": {
        "task": "orders.relay",
        "schedule": 1.0,
        # A run that nobody picked up in time is worth nothing: the next one does its work.
        "options": {"expires": 2},
    },
    "look-at-dead-man-switches": {
        "task": "orders.dead_man_switches",
        "schedule": 1.0,
        "options": {"expires": 2},
    },
    "expire-orders": {
        "task": "orders.expire",
        "schedule": 1.0,
        "options": {"expires": 2},
    },
    "care-for-cache": {
        "task": "balances.care_for_cache",
        "schedule": 1.0,
        "options": {"expires": 2},
    },
    "watch-results": {
        "task": "balances.watch",
        "schedule": 5.0,
        "options": {"expires": 10},
    },
}
