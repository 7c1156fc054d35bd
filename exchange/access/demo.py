"""Demo mode: without credentials, a request from this machine may act for any user.

For the walk-through of the README. `exchange.settings.access` refuses to start with it outside of
development; here it is kept to this machine.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest

from exchange.access.authentication import carries_credentials
from exchange.api.client_address import client_address
from exchange.api.headers import meta_keys, shows_any

logger = structlog.get_logger(__name__)

FORWARDED = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
    "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip",
    "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
)  # fmt: skip
_FORWARDED = meta_keys(FORWARDED)
"""What proxies add: behind one, every request seems to come from this machine."""


def is_demo_request(request: HttpRequest) -> bool:
    """Return whether demo mode lets a request in that nobody has signed in for."""
    return (
        settings.DEMO
        and not carries_credentials(request)
        and not shows_any(request, _FORWARDED)
        and _is_loopback(client_address(request))
    )


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


def warn_of_demo() -> None:
    """Say at the start of a web process that its doors are open."""
    if settings.DEMO:
        logger.warning("demo_mode", meaning="from this machine anybody may act for any user")


def admin_label(request: HttpRequest) -> Any:  # noqa: ARG001 - the interface of unfold
    """Return the label that the admin shows at the top of each page, if any."""
    return ["Demo mode: the API needs no sign-in", "danger"] if settings.DEMO else None
