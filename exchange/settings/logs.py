"""Logs: JSON lines in production, readable lines in development; the same fields in both.

Every line carries the process's name and, where there is one, the `request_id` that ties an
order's lines together from request to settlement. No line carries a secret (`exchange.redaction`).
"""

import logging
import os

import structlog

from exchange.redaction import redact_uncaught, redactor
from exchange.settings.base import PRODUCTION, env

LOG_FORMAT = env.str("LOG_FORMAT", default="json" if PRODUCTION else "console")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")

redact_uncaught()


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """The way every line goes, tracebacks included: without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return redactor.text(super().format(record))


def _add_process_name(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["process"] = os.environ.get("PROCESS_NAME", "manage")
    return event


def _is_not_health(record: logging.LogRecord) -> bool:
    """Drop the lines about 503 of the health checks: that is their answer, not an error."""
    request = getattr(record, "request", None)
    return request is None or not request.path.startswith("/health/")


_shared_processors: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_process_name,
]

structlog.configure(
    processors=[*_shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": RedactingFormatter,
            "foreign_pre_chain": _shared_processors,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redactor.processor,
                *(
                    [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
                    if LOG_FORMAT == "json"
                    else [
                        structlog.dev.ConsoleRenderer(
                            colors=False, exception_formatter=structlog.dev.plain_traceback
                        )
                    ]
                ),
            ],
        },
    },
    "filters": {
        "not_health": {"()": "django.utils.log.CallbackFilter", "callback": _is_not_health},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "structured"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Two lines for every batch and every second: what they did is logged where it is done.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "kafka": {"level": "WARNING"},
        "kafka.coordinator": {"level": "ERROR"},
        # It calls it an error that a client which is closed was just asking for the brokers.
        "kafka.cluster": {"level": "CRITICAL"},
        # It warns of every step that takes 0.1 s, which a busy machine makes of any.
        "kafka.net.selector": {"level": "ERROR"},
        # Django's own handler for this one would write every line a second time.
        "django": {"handlers": []},
        "django.server": {"handlers": ["stderr"], "propagate": False},
        # The browser's 4xx are the client's affair and counted elsewhere.
        "django.request": {"level": "ERROR", "filters": ["not_health"]},
    },
}
