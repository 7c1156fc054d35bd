"""Requests that no schema describes: any bytes as address, query, headers and body.

Each is answered, never with an error of ours, and every refusal has the one form that they all have.
"""

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.fuzz.callers import Application, Environ, nobody
from tests.support import World, differences

CASES = settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    # One exchange for all cases: what they leave behind must do the next ones no harm.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.from_regex(rb"\A-?[0-9]{1,60}\Z"),
    st.sampled_from(
        [b"\x00", b"1\x00", b"%00", b"..", b"ADA-USDT", b"\xff\xfe", b"9" * 2_000, b"A" * 60_000]
    ),
)
PATHS = st.one_of(
    st.sampled_from(
        [b"/orders", b"/orders/batch", b"/orders/batch/cancel", b"/dead-man-switch", b"/fills",
         b"/transfers", b"/api-keys", b"/markets"]
    ),
    st.builds(
        lambda form, name: form.replace(b"*", name),
        st.sampled_from(
            [b"/*", b"/orders/*", b"/orders/client:*", b"/orders/*/fills", b"/orders/*/amendments", b"/orders/*/trace",
             b"/balance/*", b"/balance/*/ledger", b"/api-keys/*", b"/markets/*/book",
             b"/markets/*/trades", b"/markets/*/candles", b"/markets/*/ticker", b"/markets/*/bbo"]
        ),
        NAMES,
    ),
)  # fmt: skip
HEADER = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["HTTP_ACCEPT", "HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_HOST", "HTTP_ORIGIN",
         "HTTP_X_API_KEY", "HTTP_X_API_SIGNATURE", "HTTP_X_API_TIMESTAMP", "HTTP_X_API_WINDOW",
         "HTTP_X_CSRFTOKEN", "HTTP_X_FORWARDED_FOR", "HTTP_X_REQUEST_ID", "HTTP_RANGE"]
    ),
    HEADER, max_size=3,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode()),
)
QUERIES = st.one_of(
    st.just(""),
    HEADER,
    st.builds(
        "{}={}".format,
        st.sampled_from(["cursor", "limit", "levels", "market", "status", "user_id", "format"]),
        HEADER | st.sampled_from(["%00", "%ff", "%F0%9F", "1" * 1_000, "cD0x"]),
    ),
)
KINDS = st.sampled_from(["application/json", "application/json; charset=utf-16"]) | HEADER
METHODS = st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "X"])


@pytest.fixture
def application(exchange_world: World) -> Iterator[Application]:
    made = Application(nobody())
    yield made
    made.close()


def test_any_bytes_are_answered(application: Application, exchange_world: World) -> None:
    @CASES
    @given(METHODS, PATHS, QUERIES, HEADERS, KINDS, BODIES)
    def send(
        method: str, path: bytes, query: str, headers: dict[str, str], kind: str, body: bytes
    ) -> None:
        environ: Environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            **headers,
        }
        check_answer(method, *answer_to(application, environ))

    send()
    assert differences() == []


def answer_to(application: Application, environ: Environ) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    started: list[Any] = []
    body = b"".join(application(environ, lambda *given: started.append(given)))
    status, headers = started[0][:2]
    return int(status.split()[0]), dict(headers).get("Content-Type", ""), body


def check_answer(method: str, status: int, kind: str, body: bytes) -> None:
    assert status < 500, body
    if status < 400 or method == "HEAD" or kind.startswith("text/html"):
        return
    assert kind == "application/json"
    refusal = json.loads(body)
    assert set(refusal) == {"code", "field", "message", "errors"}
    assert refusal["errors"][0] == {name: refusal[name] for name in ("code", "field", "message")}
