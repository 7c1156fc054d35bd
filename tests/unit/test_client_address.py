"""The address that a request is counted by: nothing that a client writes can change it."""

from ipaddress import ip_address

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from exchange.api.client_address import UNKNOWN, client_address


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "expected"),
    [
        (0, "203.0.113.9", None, "203.0.113.9"),
        (0, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (1, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1", "198.51.100.1,203.0.113.9 ", "203.0.113.9"),
        (2, "10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1", None, "10.0.0.1"),
        (1, "10.0.0.1", " ", "10.0.0.1"),
        (1, "10.0.0.1", "203.0.113.9, not an address", "10.0.0.1"),
        (1, "10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        (0, "2001:DB8:0:0::1", None, "2001:db8::1"),
        (0, "::ffff:203.0.113.9", None, "203.0.113.9"),
        (1, "::1", "::FFFF:203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
        (1, "10.0.0.1", "198.51.100.1, [2001:db8::1]:443", "2001:db8::1"),
        (1, "10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        (1, "10.0.0.1", "2001:db8::1:443", "2001:db8::1:443"),
        (1, "10.0.0.1", "203.0.113.9:x", "10.0.0.1"),
        (1, "10.0.0.1", "[203.0.113.9", "10.0.0.1"),
        (0, "fe80::1%eth0", None, "fe80::1"),
        (0, "", None, UNKNOWN),
        (1, "", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_client_address(
    settings: Settings, proxies: int, peer: str, forwarded: str | None, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=peer)
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded

    assert client_address(request) == expected
    assert ip_address(expected)
