"""gunicorn's own lines without secrets: what it says of requests and workers outside of Django."""

from typing import Any

from gunicorn.glogging import Logger

from exchange.redaction import RedactingFilter, redact_uncaught

redact_uncaught()  # the arbiter never loads the settings, which do it everywhere else


class RedactingLogger(Logger):  # type: ignore[misc] # gunicorn has no type information
    """gunicorn's logger, with a filter on each of its handlers."""

    def setup(self, cfg: Any) -> None:
        """Set up as usual, then put the filter on."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.addFilter(RedactingFilter())
