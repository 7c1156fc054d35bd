"""Who may do what, as a table: every requester at every door."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from balances.services import deposit
from exchange.models import User
from orders.models import Order
from tests.api import SHORT, ApiClient, openapi, refusal
from tests.integration.access.conftest import WHO, browser_of
from tests.support import World

pytestmark = pytest.mark.locked

TABLE = """
what                     | nobody | user 1 | user 2   | superuser | clerk    | support  | read key | trade key | both   | service | monitor
POST /orders             | signin | for 1  | for 2    | for own   | for own  | for own  | scope    | for 1     | for 1  | for own | scope
POST /orders for 1       | signin | for 1  | not you  | for 1     | not you  | not you  | scope    | for 1     | for 1  | for 1   | scope
POST /orders for 2       | signin | not you| for 2    | for 2     | not you  | not you  | scope    | not you   | not you| for 2   | scope
POST /orders for 99      | signin | not you| not you  | no user   | not you  | not you  | scope    | not you   | not you| no user | scope
GET /orders              | signin | 1      | 2        | 1 2       | none     | 1 2      | 1        | scope     | 1      | 1 2     | 1 2
GET /orders?user_id=1    | signin | 1      | not you  | 1         | not you  | 1        | 1        | scope     | 1      | 1       | 1
GET /orders?user_id=2    | signin | not you| 2        | 2         | not you  | 2        | not you  | scope     | not you| 2       | 2
GET /orders/{of 1}       | signin | 200    | no order | 200       | no order | 200      | 200      | scope     | 200    | 200     | 200
PATCH /orders/{of 1}     | signin | 202    | no order | 202       | no order | no order | scope    | 202       | 202    | 202     | scope
DELETE /orders/{of 1}    | signin | 202    | no order | 202       | no order | no order | scope    | 202       | 202    | 202     | scope
POST /orders/batch       | signin | 200    | 200      | 200       | 200      | 200      | scope    | 200       | 200    | 200     | scope
POST /orders/batch/cancel| signin | 200    | 200      | 200       | 200      | 200      | scope    | 200       | 200    | 200     | scope
DELETE /orders           | signin | 202    | 202      | 202       | 202      | 202      | scope    | 202       | 202    | 202     | scope
DELETE /orders?user_id=1 | signin | 202    | not you  | 202       | not you  | not you  | scope    | 202       | 202    | 202     | scope
GET …/client:a           | signin | 200    | no order | no order  | no order | no order | 200      | scope     | 200    | no order| no order
GET …/client:a of 1      | signin | 200    | not you  | 200       | not you  | 200      | 200      | scope     | 200    | 200     | 200
DELETE …/client:a of 1   | signin | 202    | not you  | 202       | not you  | not you  | scope    | 202       | 202    | 202     | scope
cancel client:a of 1     | signin | 200    | not you  | 200       | not you  | not you  | scope    | 200       | 200    | 200     | scope
GET /dead-man-switch     | signin | 200    | 200      | 200       | 200      | 200      | 200      | scope     | 200    | 200     | 200
GET /dead-man…?user_id=1 | signin | 200    | not you  | 200       | not you  | 200      | 200      | scope     | 200    | 200     | 200
PUT /dead-man-switch     | signin | 200    | 200      | 200       | 200      | 200      | scope    | 200       | 200    | 200     | scope
PUT /dead-man… for 1     | signin | 200    | not you  | 200       | not you  | not you  | scope    | 200       | 200    | 200     | scope
PUT /dead-man… for 99    | signin | not you| not you  | no user   | not you  | not you  | scope    | not you   | not you| no user | scope
DELETE /dead-man… of 1   | signin | 200    | not you  | 200       | not you  | not you  | scope    | 200       | 200    | 200     | scope
GET …/{of 1}/trace       | signin | 200    | no order | 200       | no order | 200      | 200      | scope     | 200    | 200     | 200
GET …/{of 1}/amendments  | signin | 200    | no order | 200       | no order | 200      | 200      | scope     | 200    | 200     | 200
GET …/{of 1}/fills       | signin | 200    | no order | 200       | no order | 200      | 200      | scope     | 200    | 200     | 200
GET /fills?user_id=1     | signin | 200    | not you  | 200       | not you  | not you  | 200      | scope     | 200    | 200     | 200
GET /fills?user_id=2     | signin | not you| 200      | 200       | not you  | not you  | not you  | scope     | not you| 200     | 200
GET /balance/1           | signin | 200    | no user! | 200       | no user! | 200      | 200      | scope     | 200    | 200     | 200
GET /balance/2           | signin |no user!| 200      | 200       | no user! | 200      | no user! | scope     |no user!| 200     | 200
GET /balance/99          | signin |no user!| no user! | no user!  | no user! | no user! | no user! | scope     |no user!| no user!| no user!
GET …/1/ledger           | signin | 200    | no user! | 200       | no user! | no user! | 200      | scope     | 200    | 200     | 200
GET …/2/ledger           | signin |no user!| 200      | 200       | no user! | no user! | no user! | scope     |no user!| 200     | 200
POST /transfers          | signin | 201    | 201      | 201       | 201      | 201      | scope    | session   | session| 201     | scope
POST /transfers for 1    | signin | 201    | not you  | 201       | not you  | not you  | scope    | session   | session| 201     | scope
GET /transfers           | signin | 200    | 200      | 200       | 200      | 200      | 200      | scope     | 200    | 200     | 200
GET /transfers?user_id=2 | signin | not you| 200      | 200       | not you  | not you  | not you  | scope     | not you| 200     | 200
GET /api-keys            | signin | 200    | 200      | 200       | 200      | 200      | session  | session   | session| session | session
POST /api-keys           | signin | 201    | 201      | 201       | 201      | 201      | session  | session   | session| session | session
DELETE /api-keys/0       | signin | no key | no key   | no key    | no key   | no key   | session  | session   | session| session | session
GET /markets             | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /markets/…/book      | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /markets/…/trades    | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /markets/…/bbo       | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /markets/…/candles   | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /markets/…/ticker    | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /health/live         | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /schema              | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
GET /docs                | 200    | 200    | 200      | 200       | 200      | 200      | 200      | 200       | 200    | 200     | 200
"""
SAYS = {
    "signin": (401, "not_signed_in", None),
    "scope": (403, "missing_scope", None),
    "session": (403, "session_required", None),
    "not you": (403, "not_your_user", "user_id"),
    "no order": (404, "unknown_order", "order_id"),
    "no user!": (404, "unknown_user", "user_id"),
    "no user": (422, "unknown_user", "user_id"),
    "no key": (404, "unknown_api_key", "api_key_id"),
}
"""What the refusals in the table stand for."""


def column(who: str) -> dict[str, str]:
    """Return what the table says of one requester: row by row."""
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().split("\n")]
    index = head.index(who)
    return {row[0]: row[index] for row in rows}


def order_of(user_id: int) -> int:
    return Order.objects.filter(user_id=user_id).latest("pk").pk


def ask_for_deposit(client: ApiClient, **user: int) -> Any:
    wanted = {"kind": "deposit", "asset": "USDT", "amount": "1", "external_reference": uuid4().hex}
    return client.post("/transfers", json.dumps(wanted | user), content_type="application/json")


def arm(client: ApiClient, **user: int) -> Any:
    body = json.dumps({"timeout_seconds": 60} | user)
    return client.put("/dead-man-switch", body, content_type="application/json")


KEY = json.dumps({"name": "k", "scopes": ["read"]})
DOORS: dict[str, Callable[[ApiClient], Any]] = {
    "POST /orders": lambda client: client.order(user_id=None, quantity=1),
    "POST /orders for 1": lambda client: client.order(user_id=1, quantity=1),
    "POST /orders for 2": lambda client: client.order(user_id=2, quantity=1),
    "POST /orders for 99": lambda client: client.order(user_id=99, quantity=1),
    "GET /orders": lambda client: client.get("/orders"),
    "GET /orders?user_id=1": lambda client: client.get("/orders?user_id=1"),
    "GET /orders?user_id=2": lambda client: client.get("/orders?user_id=2"),
    "GET /orders/{of 1}": lambda client: client.get(f"/orders/{order_of(1)}"),
    "PATCH /orders/{of 1}": lambda client: client.patch(
        f"/orders/{order_of(1)}", {"quantity": "2"}, content_type="application/json"
    ),
    "DELETE /orders/{of 1}": lambda client: client.delete(f"/orders/{order_of(1)}"),
    "POST /orders/batch": lambda client: client.post(
        "/orders/batch", {"orders": [SHORT, {}]}, content_type="application/json"
    ),
    "POST /orders/batch/cancel": lambda client: client.post(
        "/orders/batch/cancel", {"order_ids": [1, "x"]}, content_type="application/json"
    ),
    "DELETE /orders": lambda client: client.delete("/orders"),
    "DELETE /orders?user_id=1": lambda client: client.delete("/orders?user_id=1"),
    "GET …/client:a": lambda client: client.get("/orders/client:a"),
    "GET …/client:a of 1": lambda client: client.get("/orders/client:a?user_id=1"),
    "DELETE …/client:a of 1": lambda client: client.delete("/orders/client:a?user_id=1"),
    "cancel client:a of 1": lambda client: client.post(
        "/orders/batch/cancel",
        {"user_id": 1, "order_ids": ["client:a"]},
        content_type="application/json",
    ),
    "GET /dead-man-switch": lambda client: client.get("/dead-man-switch"),
    "GET /dead-man…?user_id=1": lambda client: client.get("/dead-man-switch?user_id=1"),
    "PUT /dead-man-switch": arm,
    "PUT /dead-man… for 1": lambda client: arm(client, user_id=1),
    "PUT /dead-man… for 99": lambda client: arm(client, user_id=99),
    "DELETE /dead-man… of 1": lambda client: client.delete("/dead-man-switch?user_id=1"),
    "GET …/{of 1}/trace": lambda client: client.get(f"/orders/{order_of(1)}/trace"),
    "GET …/{of 1}/amendments": lambda client: client.get(f"/orders/{order_of(1)}/amendments"),
    "GET …/{of 1}/fills": lambda client: client.get(f"/orders/{order_of(1)}/fills"),
    "GET /fills?user_id=1": lambda client: client.get("/fills?user_id=1"),
    "GET /fills?user_id=2": lambda client: client.get("/fills?user_id=2"),
    "GET /balance/1": lambda client: client.get("/balance/1"),
    "GET /balance/2": lambda client: client.get("/balance/2"),
    "GET /balance/99": lambda client: client.get("/balance/99"),
    "GET …/1/ledger": lambda client: client.get("/balance/1/ledger"),
    "GET …/2/ledger": lambda client: client.get("/balance/2/ledger"),
    "POST /transfers": ask_for_deposit,
    "POST /transfers for 1": lambda client: ask_for_deposit(client, user_id=1),
    "GET /transfers": lambda client: client.get("/transfers"),
    "GET /transfers?user_id=2": lambda client: client.get("/transfers?user_id=2"),
    "GET /api-keys": lambda client: client.get("/api-keys"),
    "POST /api-keys": lambda client: client.post("/api-keys", KEY, content_type="application/json"),
    "DELETE /api-keys/0": lambda client: client.delete("/api-keys/0"),
    "GET /markets": lambda client: client.get("/markets"),
    "GET /markets/…/book": lambda client: client.get("/markets/ADA-USDT/book"),
    "GET /markets/…/trades": lambda client: client.get("/markets/ADA-USDT/trades"),
    "GET /markets/…/bbo": lambda client: client.get("/markets/ADA-USDT/bbo"),
    "GET /markets/…/candles": lambda client: client.get("/markets/ADA-USDT/candles?interval=1m"),
    "GET /markets/…/ticker": lambda client: client.get("/markets/ADA-USDT/ticker"),
    "GET /health/live": lambda client: client.get("/health/live"),
    "GET /schema": lambda client: client.get("/schema"),
    "GET /docs": lambda client: client.get("/docs"),
}


def found(response: Any) -> str:
    """Return what came of a request, in the words of the table."""
    if response.status_code >= 400:
        says = refusal(response)
        return next((word for word, meaning in SAYS.items() if meaning == says), str(says))
    if response.request["PATH_INFO"] != "/orders" or response.status_code == 202:
        return str(response.status_code)
    if response.status_code == 201:
        user_id = response.json()["user_id"]
        return f"for {user_id}" if user_id in {1, 2} else "for own"
    users = {order["user_id"] for order in response.json()["results"]} & {1, 2}
    return " ".join(map(str, sorted(users))) or "none"


@pytest.mark.parametrize("who", WHO)
def test_the_doors(world: World, who: str) -> None:
    expected = column(who)
    assert expected.keys() == DOORS.keys()
    client = WHO[who]()
    for user in User.objects.all():
        deposit(user_id=user.pk, asset="USDT", amount=Decimal(100))
    world.place(1, "buy", 1, "1.8", client_order_id="a")
    world.place(2, "sell", 1, "2.8")

    seen = {what: found(knock(client)) for what, knock in DOORS.items()}

    assert seen == expected


def test_the_order_of_another_is_as_one_that_does_not_exist(world: World) -> None:
    order = world.place(1, "buy", 1, "1.8")
    client = browser_of(User.objects.get(pk=2))
    for method, rest in (
        ("GET", ""), ("DELETE", ""), ("GET", "/fills"), ("GET", "/trace"), ("GET", "/amendments"),
        ("PATCH", ""),
    ):  # fmt: skip
        body = b'{"quantity": "2"}' if method == "PATCH" else b""
        theirs = client.generic(method, f"/orders/{order.pk}{rest}", body, "application/json")
        none = client.generic(method, f"/orders/999999999{rest}", body, "application/json")
        assert theirs.status_code == none.status_code == 404
        assert theirs.content.replace(str(order.pk).encode(), b"999999999") == none.content
        assert {*theirs.headers} == {*none.headers}
    order.refresh_from_db()
    assert order.cancel_requested_at is None


def test_the_balances_of_another_are_as_those_of_no_user(world: World) -> None:
    client = browser_of(User.objects.get(pk=2))
    for rest in ("", "/ledger", "/ledger?format=csv"):
        theirs, none = client.get(f"/balance/1{rest}"), client.get(f"/balance/99{rest}")
        assert theirs.content.replace(b"user 1", b"user 99") == none.content
        assert {*theirs.headers} == {*none.headers}


def test_a_refused_order_holds_nothing(world: World) -> None:
    assert browser_of(User.objects.get(pk=2)).order(user_id=1).status_code == 403
    assert ApiClient().order(user_id=1).status_code == 401
    assert not Order.objects.exists()


def test_who_is_not_signed_in_is_told_how(world: World) -> None:
    response = ApiClient().get("/orders")
    assert response["WWW-Authenticate"] == 'ApiKey realm="exchange"'
    assert "/login" in response.json()["message"]


class Recorder(ApiClient):
    """Notes what would be asked for, and asks nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[tuple[str, str]] = set()

    def request(self, **request: Any) -> Any:
        self.asked.add((request["REQUEST_METHOD"], request["PATH_INFO"]))


def test_every_operation_has_a_door(world: World) -> None:
    """One that nobody thought of would be locked by chance, or not at all."""
    world.place(1, "buy", 1, "1.8")
    recorder = Recorder()
    for knock in DOORS.values():
        knock(recorder)
    operations = {
        (method.upper(), path)
        for path, methods in openapi()["paths"].items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    }
    tried = {
        (method, path)
        for method, path in operations
        for asked, where in recorder.asked
        if asked == method and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", path), where)
    }
    # Nobody has to sign in for that one either; it is not ready here (tests of the health).
    assert operations - tried == {("GET", "/health/ready")}
