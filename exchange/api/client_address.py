"""Where a request comes from: the address that limits and address lists are about.

A client can write whatever it likes into `X-Forwarded-For`. So the header counts only as far as
our own proxies have written it: each adds, on the right, the address that it was reached from.
`TRUSTED_PROXIES` says how many of them every request passes. Never read `REMOTE_ADDR` or the header
anywhere else.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

UNKNOWN = "0.0.0.0"  # noqa: S104 - the answer for a peer without an address, nothing is bound to it
"""For a request over a Unix socket that no proxy has written an address into."""
_WITH_PORT = re.compile(r"\[(?P<six>[^\[\]]+)\](?::[0-9]{1,5})?|(?P<four>[0-9.]+):[0-9]{1,5}")
"""Some proxies write the client's port, too."""


def client_address(request: HttpRequest | Request) -> str:
    """Return the client's IP address in its usual spelling; always one that `ipaddress` reads.

    With `TRUSTED_PROXIES` 0 it is the address of the peer. With n, it is the n-th from the right in
    `X-Forwarded-For`. A header with fewer entries has passed fewer proxies: the first one counts.
    """
    peer = _address(str(request.META.get("REMOTE_ADDR", ""))) or UNKNOWN
    proxies: int = settings.TRUSTED_PROXIES
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
    if proxies == 0 or not forwarded.strip():
        return peer
    entries = forwarded.split(",")
    return _address(entries[-min(proxies, len(entries))]) or peer


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    """Return the address in its usual spelling, or None: what is not one is not guessed at."""
    plain = text.strip()
    if match := _WITH_PORT.fullmatch(plain):
        plain = match["six"] or match["four"]
    try:
        found = ip_address(plain)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found)))  # a zone is of one machine only
    return str(found)
