"""The schema is complete and valid, and the pages for people need nobody else's server.

That every answer is documented is checked by `ApiClient` in all tests of the interface.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.generic import View
from drf_spectacular.generators import SchemaGenerator

from balances import services
from balances.models import Transfer
from exchange.access import signatures
from exchange.api import schema_view
from exchange.api.schema_view import SchemaView
from orders.models import Market, Order
from tests.api import ApiClient, openapi
from tests.support import World

SERVICES = ("all", "orders", "balances", "matching")
PAGES = (
    "/orders", "/orders?limit=1", "/orders?limit=0", "/orders/999999999", "/orders/client:x?user_id=1", "/dead-man-switch?user_id=1", "/orders/1/trace", "/balance/1", "/balance/99",
    "/balance/1/ledger", "/balance/99/ledger", "/fills?user_id=1", "/transfers", "/orders/999999999/fills",
    "/markets", "/markets?limit=2", "/markets/ADA-USDT/book", "/markets/ADA-USDT/trades",
    "/markets/ADA-USDT/bbo", "/markets/ADA-USDT/ticker", "/markets/ADA-USDT/candles?interval=1m",
    "/markets/NO-SUCH/book", "/health/live", "/health/ready",
)  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_the_schema_is_valid_and_made_without_a_warning(service: str, tmp_path: Path) -> None:
    call_command(
        "spectacular", urlconf=f"exchange.urls.{service}", file=str(tmp_path / "schema.yaml"),
        validate=True, fail_on_warn=True,
    )  # fmt: skip


def _operations() -> set[tuple[str, str]]:
    """Every (method, path) of the project's own views."""
    found = set()
    for pattern in _patterns(get_resolver("exchange.urls.all").url_patterns):
        view: Any = getattr(pattern.callback, "cls", None)
        if (
            view is None
            or view is SchemaView
            or not view.__module__.startswith(("exchange.", "orders.", "balances.", "matching."))
        ):
            continue
        path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        found |= {
            (method, path)
            for method in View.http_method_names
            if method not in ("head", "options") and hasattr(view, method)
        }
    return found


def _patterns(patterns: list[Any]) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            found.append(pattern)
        elif isinstance(pattern, URLResolver) and str(pattern.pattern) != "admin/":
            found += _patterns(pattern.url_patterns)
    return found


def test_every_operation_is_in_the_schema_and_no_other() -> None:
    documented = {
        (method, path) for path, operations in openapi()["paths"].items() for method in operations
    }
    assert documented == _operations()
    assert ("post", "/orders") in documented
    assert len(documented) == 30


def test_every_operation_says_what_it_is() -> None:
    for operations in openapi()["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["tags"]


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/orders", {"200", "201", "400", "401", "403", "413", "415", "422", "503"}),
        ("get", "/orders", {"200", "400", "401", "403", "503"}),
        ("delete", "/orders", {"202", "400", "401", "403", "503"}),
        ("post", "/orders/batch", {"200", "400", "401", "403", "413", "415", "503"}),
        ("post", "/orders/batch/cancel", {"200", "400", "401", "403", "413", "415", "503"}),
        ("get", "/orders/{order_id}", {"200", "400", "401", "403", "404", "503"}),
        (
            "patch",
            "/orders/{order_id}",
            {"202", "400", "401", "403", "404", "413", "415", "422", "503"},
        ),
        ("get", "/orders/{order_id}/amendments", {"200", "400", "401", "403", "404", "503"}),
        ("delete", "/orders/{order_id}", {"202", "400", "401", "403", "404", "422", "503"}),
        ("get", "/orders/{order_id}/trace", {"200", "400", "401", "403", "404", "503"}),
        ("get", "/dead-man-switch", {"200", "400", "401", "403", "503"}),
        ("put", "/dead-man-switch", {"200", "400", "401", "403", "413", "415", "422", "503"}),
        ("delete", "/dead-man-switch", {"200", "400", "401", "403", "503"}),
        ("get", "/balance/{user_id}", {"200", "401", "403", "404", "503"}),
        ("get", "/balance/{user_id}/ledger", {"200", "400", "401", "403", "404", "503"}),
        ("get", "/transfers", {"200", "400", "401", "403", "503"}),
        ("post", "/transfers", {"200", "201", "400", "401", "403", "413", "415", "422", "503"}),
        ("get", "/fills", {"200", "400", "401", "403", "503"}),
        ("get", "/orders/{order_id}/fills", {"200", "400", "401", "403", "404", "503"}),
        ("get", "/api-keys", {"200", "400", "401", "403", "503"}),
        ("post", "/api-keys", {"201", "400", "401", "403", "413", "415", "422", "503"}),
        ("delete", "/api-keys/{api_key_id}", {"200", "401", "403", "404", "503"}),
        ("get", "/markets", {"200", "400", "401", "503"}),
        ("get", "/markets/{symbol}/book", {"200", "400", "401", "404", "503"}),
        ("get", "/markets/{symbol}/bbo", {"200", "400", "401", "404", "503"}),
        ("get", "/markets/{symbol}/candles", {"200", "400", "401", "404", "503"}),
        ("get", "/markets/{symbol}/ticker", {"200", "400", "401", "404", "503"}),
        ("get", "/markets/{symbol}/trades", {"200", "400", "401", "404", "503"}),
        ("get", "/health/live", {"200"}),
        ("get", "/health/ready", {"200", "503"}),
    ],
)
def test_the_statuses_of_every_operation_are_documented(
    method: str, path: str, statuses: set[str]
) -> None:
    assert set(openapi()["paths"][path][method]["responses"]) >= statuses


@pytest.mark.parametrize(
    ("path", "method"),
    [(path, method) for path, operations in openapi()["paths"].items() for method in operations],
)
def test_every_operation_says_how_to_authenticate(path: str, method: str) -> None:
    signed: dict[str, list[str]] = {"apiKey": [], "apiKeyTimestamp": [], "apiKeySignature": []}
    signed_in: dict[str, list[str]] = {"session": []}
    security = openapi()["paths"][path][method].get("security", [{}])
    if path.startswith("/health/"):
        assert security == [{}]
    elif path.startswith("/markets"):
        assert security == [signed, signed_in, {}]
    else:
        assert security == [signed, signed_in]


def test_the_schema_says_how_to_sign() -> None:
    schemes = openapi()["components"]["securitySchemes"]
    names = {scheme["name"] for scheme in schemes.values()}
    assert names == {"X-Api-Key", "X-Api-Timestamp", "X-Api-Signature", "sessionid"}
    assert signatures.HOW_TO_SIGN in openapi()["info"]["description"]


def test_the_examples_of_an_order_are_what_the_service_takes(
    exchange_world: World, api: ApiClient
) -> None:
    exchange_world.place(2, "sell", 1, "1.9")
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.pump()
    Market.objects.update(price_band="0.1")  # what a market order needs
    body = openapi()["paths"]["/orders"]["post"]["requestBody"]["content"]["application/json"]
    services.deposit(user_id=1, asset="ADA", amount=Decimal(10))  # what the stop order sells
    for example in body["examples"].values():
        response = api.post("/orders", example["value"], content_type="application/json")
        assert response.status_code == 201


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"asset": "ADA", "order_type": "buy"}, True),
        ({"market": "ADA-USDT", "side": "sell"}, True),
        ({"market": "ADA-USDT", "order_type": "buy"}, True),
        ({"asset": "ADA", "side": "buy", "order_type": "buy"}, True),
        ({"asset": "ADA", "side": "buy", "order_type": "sell"}, False),
        ({"asset": "ADA", "market": "ADA-USDT", "side": "buy"}, False),
        ({"side": "buy"}, False),
        ({"asset": "ADA"}, False),
        ({"asset": "ADA\0", "side": "buy"}, False),
        ({"asset": "ADA", "side": "buy", "price": "1,5"}, False),
        ({"asset": "ADA", "side": "buy", "price": 1e20}, False),
        ({"asset": "ADA", "side": "buy", "price": None}, False),
        ({"asset": "ADA", "side": "buy", "type": "limit", "price": None}, False),
        ({"asset": "ADA", "side": "buy", "type": "market", "price": None}, True),
        ({"asset": "ADA", "side": "buy", "type": "market"}, True),
        ({"asset": "ADA", "side": "buy", "quantity": None}, False),
        ({"asset": "ADA", "side": "buy", "type": "market", "quantity": None}, False),
        ({"asset": "ADA", "side": "buy", "quantity": None, "quote_amount": 1}, False),
        (
            {"asset": "ADA", "side": "buy", "type": "market", "quantity": None, "quote_amount": 1},
            True,
        ),
    ],
)
def test_the_schema_says_what_an_order_has_to_name(
    api: ApiClient, fields: dict[str, Any], fits: bool
) -> None:
    order = {"user_id": 1, "quantity": 1, "price": 1.5, **fields}
    order = {name: value for name, value in order.items() if value is not None}
    schema = {
        "$ref": "#/components/schemas/OrderInputRequest",
        "components": openapi()["components"],
    }
    assert jsonschema.Draft4Validator(schema).is_valid(order) == fits
    answer = api.post("/orders", order, content_type="application/json")
    assert (answer.status_code != 400) == fits


def test_a_body_that_is_asked_for_has_to_be_there(api: ApiClient) -> None:
    bodies = {
        path: operation["requestBody"].get("required")
        for path, operations in openapi()["paths"].items()
        for operation in operations.values()
        if "requestBody" in operation
    }
    assert "/orders" in bodies
    assert set(bodies.values()) == {True}, bodies
    assert api.post("/orders", content_type="application/json").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/orders", "/api-keys", "/markets", "/markets/{symbol}/trades", "/balance/{user_id}/ledger",
        "/fills", "/orders/{order_id}/fills", "/orders/{order_id}/amendments", "/transfers",
    ],
)  # fmt: skip
def test_the_schema_says_how_long_a_page_may_be(path: str) -> None:
    parameters = {
        parameter["name"]: parameter["schema"]
        for parameter in openapi()["paths"][path]["get"]["parameters"]
    }
    assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    assert parameters["cursor"] == {"type": "string", "minLength": 1}


@pytest.mark.parametrize(
    ("path", "names"),
    [("/orders", Order.Status.values), ("/transfers", Transfer.Status.values)],
)
def test_the_schema_names_the_statuses_of_each_list(path: str, names: list[str]) -> None:
    parameters = openapi()["paths"][path]["get"]["parameters"]
    (status,) = (one["schema"] for one in parameters if one["name"] == "status")
    assert status == {"type": "array", "items": {"type": "string", "enum": names}}


@pytest.mark.parametrize("service", SERVICES)
def test_the_schema_is_served(settings: Any, service: str) -> None:
    settings.ROOT_URLCONF = f"exchange.urls.{service}"
    response = Client().get("/schema")
    assert response.status_code == 200
    assert response.content.startswith(b"openapi: ")


def test_the_documentation_needs_nobody_elses_server() -> None:
    page = Client().get("/docs").content.decode()
    assert re.findall(r"(?:https?:)?//[a-z][^\s\"'<]*", page) == []


@pytest.mark.parametrize("accept", ["*/*", "application/vnd.oai.openapi+json", "application/yaml"])
def test_the_schema_is_made_once_for_each_format(
    monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    made: list[object] = []

    class Counting(SchemaGenerator):
        def get_schema(self, request: Any = None, public: bool = False) -> Any:
            made.append(request)
            return super().get_schema(request, public)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(schema_view, "_made", {})
    monkeypatch.setattr(schema_view, "SchemaGenerator", Counting)
    with ThreadPoolExecutor(4) as threads:
        queries = ["", "?version=9", "?lang=de", "?version=10"]
        answers = list(
            threads.map(
                lambda query: Client().get(f"/schema{query}", headers={"Accept": accept}), queries
            )
        )

    assert made == [None], "and it depends on nothing that was asked"
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert yaml.safe_load(answers[0].content)["paths"].keys() == openapi()["paths"].keys()
    assert answers[0]["Content-Type"].startswith(("application/vnd.oai", accept))


def test_the_documentation_asks_no_validator() -> None:
    assert '"validatorUrl": null' in Client().get("/docs").content.decode()


def test_the_files_of_the_documentation_are_there() -> None:
    page = Client().get("/docs").content.decode()
    files = re.findall(r"""(?:src|href)=["'](/static/[^"']+)""", page)
    assert files
    for file in files:
        assert Client().get(file).status_code == 200, file


@pytest.mark.parametrize("path", PAGES)
def test_every_get_has_a_page_for_people(exchange_world: World, path: str) -> None:
    exchange_world.place(1, "buy", 1, "1.9")
    exchange_world.place(1, "buy", 1, "1.8")
    as_json = Client().get(path)
    page = Client().get(path, headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.status_code == as_json.status_code
    assert page["Content-Type"].startswith("text/html")
    assert b"Django REST framework" in page.content


@pytest.mark.parametrize("body", ["{", "[]", "null", "{}", '{"side": "\\ud800"}'])
def test_a_refusal_has_a_page_for_people_too(exchange_world: World, body: str) -> None:
    response = Client().post(
        "/orders", body, content_type="application/json", headers={"Accept": "text/html"}
    )
    assert response.status_code == 400
    assert b"errors" in response.content
