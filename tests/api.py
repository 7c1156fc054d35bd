"""What tests of the HTTP interface say in one line: send, look at the refusal, compare the stores."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.client import FakePayload
from django.urls import Resolver404, resolve
from django_redis import get_redis_connection

from exchange.access import signatures
from exchange.access.keys import NewApiKey
from exchange.kafka import TOPICS, LogRecord
from orders import outbox
from tests.support import records_on

SHORT = {"user_id": 1, "asset": "ADA", "quantity": 10, "price": 1.9, "order_type": "buy"}
FULL = {
    "user_id": 1, "market": "ADA-USDT", "side": "buy", "type": "limit",
    "quantity": "10", "price": "1.9", "client_order_id": "my-1",
}  # fmt: skip

UNDOCUMENTED = {405, 406}
"""Statuses that any address may answer with, and that say nothing about its operation."""


class ApiClient(Client):
    """Sends JSON, and holds every answer against the OpenAPI schema: status and body."""

    def order(self, **changes: Any) -> Any:
        """POST the short form with `changes`; None takes a field away."""
        order = {name: value for name, value in (SHORT | changes).items() if value is not None}
        return self.send(json.dumps(order))

    def send(self, body: str | bytes, content_type: str = "application/json") -> Any:
        """POST /orders with `body` as it is."""
        return self.post("/orders", body, content_type=content_type)

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        assert response.status_code < 500 or response.status_code == 503, response.content
        assert response["X-Request-Id"]
        if response["Content-Type"] == "application/json":
            check_against_schema(request["REQUEST_METHOD"], request["PATH_INFO"], response)
        return response


class SigningClient(ApiClient):
    """Signs every request with an API key, as a program does.

    `ahead_ms`: how far its clock is ahead. `changed`: what a request says after it was signed.
    """

    def __init__(self, made: NewApiKey, *, window: int | None = None, **defaults: Any) -> None:
        super().__init__(**defaults)
        self.public_id = made.key.public_id
        self.secret = made.secret
        self.window = window
        self.ahead_ms = 0
        self.changed: dict[str, Any] = {}

    def request(self, **request: Any) -> Any:
        body = request["wsgi.input"].read() if "wsgi.input" in request else b""
        timestamp = signatures.now_ms() + self.ahead_ms
        text = signatures.canonical_text(
            timestamp=timestamp,
            window=self.window or signatures.DEFAULT_WINDOW_MS,
            method=request["REQUEST_METHOD"],
            path=request["PATH_INFO"],
            query=request["QUERY_STRING"],
            body=body,
        )
        signed: dict[str, Any] = {
            "HTTP_X_API_KEY": self.public_id,
            "HTTP_X_API_TIMESTAMP": str(timestamp),
            "HTTP_X_API_SIGNATURE": signatures.sign(self.secret, text),
        }
        if self.window is not None:
            signed["HTTP_X_API_WINDOW"] = str(self.window)
        if body:
            signed["wsgi.input"] = FakePayload(body)
        sent = {**request, **signed, **self.changed}
        return super().request(**{name: value for name, value in sent.items() if value is not None})


def check_against_schema(method: str, path: str, response: Any) -> None:
    """Assert that the schema knows this answer: its status, and every field of its body."""
    if method in ("HEAD", "OPTIONS") or response.status_code in UNDOCUMENTED:
        return
    try:
        template = _template(path)
    except Resolver404:
        return
    if template in ("/login", "/logout"):  # pages for people
        return
    schema = openapi()
    documented = schema["paths"][template][method.lower()]["responses"]
    assert str(response.status_code) in documented, (
        f"{method} {path} is not documented to answer so"
    )
    body = documented[str(response.status_code)]["content"]["application/json"]["schema"]
    jsonschema.validate(response.json(), {**body, "components": schema["components"]})


def _template(path: str) -> str:
    """Turn `orders/<int:order_id>` into `orders/{order_id}`."""
    parts = resolve(path).route.split("/")
    names = [part.strip("<>").rpartition(":")[2] for part in parts]
    return "/" + "/".join(
        f"{{{name}}}" if part.startswith("<") else part
        for part, name in zip(parts, names, strict=True)
    )


@cache
def openapi() -> dict[str, Any]:
    """The schema of all services, as JSON Schema understands it."""
    from drf_spectacular.generators import SchemaGenerator

    generator = SchemaGenerator(urlconf="exchange.urls.all")  # type: ignore[no-untyped-call]
    generated = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    schema: dict[str, Any] = _plain(json.loads(json.dumps(generated, default=str)))
    return schema


def _plain(node: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type null; nothing else is added here."""
    if isinstance(node, list):
        return [_plain(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(inner) for name, inner in node.items() if name != "nullable"}
    if plain.get("type") == "object" and "properties" in plain:
        plain["additionalProperties"] = False
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def refusal(response: Any) -> tuple[int, str, str | None]:
    """Return (status, code, field) of a refusal, whose body is as every refusal's body is."""
    body = response.json()
    assert set(body) == {"code", "field", "message", "errors"}
    first = body["errors"][0]
    assert first == {name: body[name] for name in ("code", "field", "message")}
    for error in body["errors"]:
        assert set(error) == {"code", "field", "message"}
        assert error["message"]
    return response.status_code, body["code"], body["field"]


@dataclass(frozen=True)
class Stores:
    """Everything the three stores hold: each row, each cached balance, each record."""

    rows: dict[str, list[tuple[Any, ...]]]
    cached: dict[bytes, dict[bytes, bytes]]
    records: dict[str, list[LogRecord]]

    @classmethod
    def look(cls) -> "Stores":
        outbox.flush()
        return cls(_rows(), _cached(), {topic: records_on(topic) for topic in TOPICS})


def _rows() -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    with connection.cursor() as cursor:
        for name in ("orders", "balances", "exchange"):
            for model in apps.get_app_config(name).get_models():
                table = model._meta.db_table
                cursor.execute(f'SELECT * FROM "{table}" ORDER BY 1')
                found[table] = cursor.fetchall()
    return found


def _cached() -> dict[bytes, dict[bytes, bytes]]:
    """The balances in Redis, and the marks: a refused change leaves neither."""
    redis = get_redis_connection("default")
    entries = {}
    for key in redis.scan_iter("balance:[0-9]*"):
        fields = redis.hgetall(key).items()
        entries[key] = {name: value for name, value in fields if name.startswith((b"a:", b"w:"))}
    return {key: fields for key, fields in entries.items() if fields}
