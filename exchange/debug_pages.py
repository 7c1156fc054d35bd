"""What Django's pages about errors show of the settings, on a developer's machine: no secret.

Such a page needs no sign-in, and no error of ours: a wrong `Host` is enough. Django hides settings
by their names; passwords inside of addresses (`REDIS_URL`, the cache's) have none.
"""

from typing import Any

from django.views.debug import SafeExceptionReporterFilter

from exchange.redaction import redactor


class RedactingReporterFilter(SafeExceptionReporterFilter):
    """Django's own, and then what is taken out of the logs."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Return the setting `key` as it may be shown."""
        shown = super().cleanse_setting(key, value)
        return redactor.text(shown) if isinstance(shown, str) else shown
