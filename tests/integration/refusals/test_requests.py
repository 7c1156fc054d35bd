"""Requests that are wrong as requests: bodies, addresses, methods, cursors. Never a 500."""

import base64
import json
from typing import Any

import pytest

from orders.models import Order
from tests.api import SHORT, ApiClient, refusal
from tests.support import World


@pytest.mark.parametrize(
    "body",
    [
        "{", "{'user_id': 1}", '{"user_id": 1,}', "NaN", '{"price": NaN}', '{"price": Infinity}',
        '{"price": -Infinity}', '{"price": .5}', '{"price": 1.}', '{"price": 01}', '{"price": +1}',
        '{"price": 0x10}', '{"price": 1_000}', '{"price": 1e99999999999999999999}', "order",
        '{"a": "\u0000"}', "{}{}", " ", '{"user_id": 1, "user_id": 2}',
        b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf{}", b"\x00",
        json.dumps(SHORT).encode("utf-16"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(refusing: ApiClient, body: str | bytes) -> None:
    assert refusal(refusing.send(body)) == (400, "malformed_json", None)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ("[]", "invalid", None),
        (f"[{json.dumps(SHORT)}]", "invalid", None),
        ('"buy 10 ADA"', "invalid", None),
        ("17", "invalid", None),
        ("1.9", "invalid", None),
        ("true", "invalid", None),
        ("null", "required", None),
        ("{}", "required", "quantity"),
        ("", "required", "quantity"),
        ("[" * 16 + "]" * 16, "invalid", None),
    ],
)
def test_a_body_that_is_no_order_is_refused(
    refusing: ApiClient, body: str, code: str, field: str | None
) -> None:
    assert refusal(refusing.send(body)) == (400, code, field)


@pytest.mark.parametrize("depth", [1, 5, 10, 15])
@pytest.mark.parametrize(
    "field", ["user_id", "market", "order_type", "quantity", "price", "client_order_id"]
)
def test_a_deeply_nested_value_is_refused(refusing: ApiClient, field: str, depth: int) -> None:
    rest = json.dumps({name: value for name, value in SHORT.items() if name != field})
    body = f'{rest[:-1]}, "{field}": {"[" * depth}{"]" * depth}}}'
    assert refusal(refusing.send(body))[0] == 400


def test_a_body_that_is_too_large_is_refused(refusing: ApiClient) -> None:
    body = json.dumps(SHORT | {"note": "x" * 100_000})
    assert refusal(refusing.send(body)) == (413, "body_too_large", None)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "nonsense", "a/b/c", "*/*", "application/*", "*/json", ""],
)
def test_a_media_type_other_than_json_is_refused(refusing: ApiClient, content_type: str) -> None:
    response = refusing.send(json.dumps(SHORT), content_type)
    assert refusal(response) == (415, "unsupported_media_type", None)


def test_an_answer_in_an_unknown_format_is_refused(refusing: ApiClient) -> None:
    response = refusing.get("/orders", headers={"Accept": "image/png"})
    assert refusal(response) == (406, "not_acceptable", None)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/orders", "GET, POST, DELETE, HEAD, OPTIONS"),
        ("GET", "/orders/batch", "POST, OPTIONS"),
        ("DELETE", "/orders/batch/cancel", "POST, OPTIONS"),
        ("POST", "/orders/1", "GET, PATCH, DELETE, HEAD, OPTIONS"),
        ("PUT", "/orders/1", "GET, PATCH, DELETE, HEAD, OPTIONS"),
        ("POST", "/balance/1", "GET, HEAD, OPTIONS"),
        ("POST", "/markets", "GET, HEAD, OPTIONS"),
        ("DELETE", "/markets/ADA-USDT/book", "GET, HEAD, OPTIONS"),
        ("PUT", "/markets/ADA-USDT/trades", "GET, HEAD, OPTIONS"),
        ("POST", "/health/live", "GET, HEAD, OPTIONS"),
        ("POST", "/health/ready", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_an_address_does_not_have_is_refused(
    refusing: ApiClient, method: str, path: str, allowed: str
) -> None:
    response = refusing.generic(method, path)
    assert refusal(response) == (405, "method_not_allowed", None)
    assert response["Allow"] == allowed


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "order_id", ["0", "999999999", "9223372036854775807", "9223372036854775808", "9" * 40]
)
def test_an_unknown_order_is_not_found(refusing: ApiClient, method: str, order_id: str) -> None:
    response = refusing.generic(method, f"/orders/{order_id}")
    assert refusal(response) == (404, "unknown_order", "order_id")


def test_a_finished_order_cannot_be_canceled(refusing: ApiClient) -> None:
    filled = Order.objects.filter(status="filled").first()
    assert filled
    response = refusing.delete(f"/orders/{filled.pk}")
    assert refusal(response) == (422, "order_finished", "order_id")


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/orders/", "/orders/-1", "/orders/one", "/orders/1.0", "/orders/%00",
        "/orders/%F0%9F%92%B0", "/orders/" + "9" * 5_000, "/orders/1/", "/balance", "/balance/",
        "/balance/-1", "/balance/me", "/balance/" + "9" * 5_000, "/markets/ADA-USDT",
        "/markets//book", "/markets/ADA/USDT/book", "/%ED%A0%80",
    ],
)  # fmt: skip
def test_an_address_that_is_nothing_is_not_found(refusing: ApiClient, path: str) -> None:
    assert refusal(refusing.get(path)) == (404, "not_found", None)


@pytest.mark.parametrize("what", ["book", "trades"])
@pytest.mark.parametrize(
    "symbol",
    [
        "DOGE-USDT",
        "ada-usdt",
        "ADA",
        "ADA-USDT%00",
        "%00",
        "%ED%A0%80",
        "x" * 5_000,
        "%27",
        "%F0%9F",
    ],
)
def test_an_unknown_market_is_not_found(refusing: ApiClient, symbol: str, what: str) -> None:
    response = refusing.get(f"/markets/{symbol}/{what}")
    assert refusal(response) == (404, "unknown_market", "market")


@pytest.mark.parametrize("user_id", ["999999999", "9223372036854775808", "9" * 40])
def test_an_unknown_user_has_no_balances(refusing: ApiClient, user_id: str) -> None:
    assert refusal(refusing.get(f"/balance/{user_id}")) == (404, "unknown_user", "user_id")


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


PAGED = ["/orders", "/markets", "/markets/ADA-USDT/trades", "/balance/1/ledger", "/transfers"]


@pytest.mark.parametrize("path", PAGED)
@pytest.mark.parametrize(
    "cursor",
    [
        "x", "%00", "%F0%9F%92%B0", "=", _cursor("p=abc"), _cursor("p=%00"), _cursor("p=1;drop"),
        _cursor("p=-1"), _cursor("p=1.5"), _cursor("o=x"), _cursor("o=-1"), _cursor("p=" + "9" * 99),
        _cursor("p=\u0661"), "A" * 2_000, "", _cursor("o=5"), _cursor("r=1"),
    ],
)  # fmt: skip
def test_a_bad_cursor_is_refused(refusing: ApiClient, path: str, cursor: str) -> None:
    assert refusal(refusing.get(f"{path}?cursor={cursor}")) == (400, "invalid_cursor", "cursor")


@pytest.mark.parametrize("path", PAGED)
@pytest.mark.parametrize("limit", ["0", "-1", "501", "1.5", "ten", "", "%00", "1_0", "9" * 2_000])
def test_a_bad_limit_is_refused(refusing: ApiClient, path: str, limit: str) -> None:
    assert refusal(refusing.get(f"{path}?limit={limit}")) == (400, "invalid", "limit")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("user_id=me", "invalid", "user_id"),
        ("user_id=0", "too_small", "user_id"),
        ("user_id=9223372036854775808", "too_large", "user_id"),
        ("user_id=1_0", "invalid", "user_id"),
        ("user_id=%00", "invalid", "user_id"),
        ("market=%00", "invalid", "market"),
        ("market=" + "x" * 22, "too_long", "market"),
        ("status=done", "invalid_choice", "status"),
        ("status=%00", "invalid_choice", "status"),
        ("status=", "invalid_choice", "status"),
        ("status=open,", "invalid_choice", "status"),
        ("status=open&status=done", "invalid_choice", "status"),
        ("side=long", "invalid_choice", "side"),
        ("client_order_id=%00", "invalid", "client_order_id"),
        ("client_order_id=" + "x" * 65, "too_long", "client_order_id"),
        ("from=2026-01-01", "invalid", "from"),
        ("to=", "invalid", "to"),
        ("user_id=", "invalid", "user_id"),
        ("market=", "required", "market"),
    ],
)
def test_a_bad_filter_is_refused(refusing: ApiClient, query: str, code: str, field: str) -> None:
    assert refusal(refusing.get(f"/orders?{query}")) == (400, code, field)


@pytest.mark.parametrize(
    ("levels", "code"),
    [
        ("0", "too_small"),
        ("-1", "too_small"),
        ("501", "too_large"),
        ("ten", "invalid"),
        ("1_0", "invalid"),
        ("", "invalid"),
    ],
)
def test_a_bad_number_of_levels_is_refused(refusing: ApiClient, levels: str, code: str) -> None:
    response = refusing.get(f"/markets/ADA-USDT/book?levels={levels}")
    assert refusal(response) == (400, code, "levels")


@pytest.mark.parametrize(
    "request_id", ["", "x" * 65, "a b", "a;b", "<script>", "\u00e9", "a\tb", "a\n"]
)
def test_an_unacceptable_request_id_is_replaced(refusing: ApiClient, request_id: str) -> None:
    headers: dict[str, Any] = {"X-Request-Id": request_id}
    assert len(refusing.get("/orders/1", headers=headers)["X-Request-Id"]) == 32


@pytest.mark.parametrize("path", ["/orders", "/orders/1", "/balance/1", "/markets"])
def test_options_describe_and_change_nothing(refusing: ApiClient, path: str) -> None:
    assert refusing.options(path).status_code == 200


def test_a_page_for_people_says_not_found_too(lasting_world: World, refusing: ApiClient) -> None:
    response = refusing.get("/nothing", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
