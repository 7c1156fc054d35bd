"""What is signed, to the last byte, and how a signature is compared."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.access.signatures import canonical_text, is_signature_of, sign

REQUEST: dict[str, Any] = {
    "timestamp": 1_700_000_000_123,
    "window": 5_000,
    "method": "POST",
    "path": "/orders",
    "query": "",
    "body": b'{"price": 1.9}',
}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_text_has_six_lines() -> None:
    body_hash = hashlib.sha256(b'{"price": 1.9}').hexdigest()

    assert canonical_text(**REQUEST) == f"1700000000123\n5000\nPOST\n/orders\n\n{body_hash}"


def test_a_request_without_body_or_with_a_query() -> None:
    request = REQUEST | {"method": "GET", "query": "user_id=1&limit=2", "body": b""}

    assert canonical_text(**request) == (
        f"1700000000123\n5000\nGET\n/orders\nuser_id=1&limit=2\n{EMPTY}"
    )


def test_a_signature_is_an_hmac_of_the_text() -> None:
    expected = hmac.new(b"secret", b"text", hashlib.sha256).hexdigest()

    assert sign("secret", "text") == expected
    assert is_signature_of("secret", "text", expected)


@pytest.mark.parametrize("given", ["", "0" * 64, "é" * 64, sign("secret", "text").upper()])
def test_another_signature_is_none(given: str) -> None:
    assert not is_signature_of("secret", "text", given)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": 1_700_000_000_124}, {"window": 60_000}, {"method": "DELETE"},
        {"path": "/orders/"}, {"query": "user_id=1"}, {"body": b'{"price": 1.90}'},
    ],
)  # fmt: skip
def test_every_part_counts(change: dict[str, Any]) -> None:
    assert canonical_text(**REQUEST | change) != canonical_text(**REQUEST)


_lines = st.text(st.sampled_from("/a?\n="), max_size=5)
_query = st.text(st.sampled_from("/a?="), max_size=5)
_requests = st.tuples(
    st.integers(1, 20), st.integers(1, 20), st.sampled_from(["GET", "POST"]), _lines, _query,
    st.binary(max_size=2),
)  # fmt: skip


@given(_requests, _requests)
def test_two_requests_never_have_the_same_text(one: Any, other: Any) -> None:
    names = ("timestamp", "window", "method", "path", "query", "body")
    texts = [canonical_text(**dict(zip(names, request, strict=True))) for request in (one, other)]

    assert (texts[0] == texts[1]) == (one == other)
