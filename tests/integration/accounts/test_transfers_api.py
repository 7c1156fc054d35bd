"""Asking for deposits and withdrawals over HTTP, and seeing what became of them."""

import json
from typing import Any

import pytest

from balances import transfers
from balances.models import Transfer
from exchange.models import User
from tests.api import ApiClient, refusal
from tests.support import World, balance_of, differences

WITHDRAWAL = {
    "user_id": 1, "kind": "withdrawal", "asset": "USDT", "amount": "10",
    "external_reference": "payout-1",
}  # fmt: skip


def ask(api: ApiClient, **changes: Any) -> Any:
    wanted = {name: value for name, value in (WITHDRAWAL | changes).items() if value is not None}
    return api.post("/transfers", json.dumps(wanted), content_type="application/json")


def references(api: ApiClient, query: str) -> list[str]:
    response = api.get(f"/transfers{query}")
    assert response.status_code == 200, response.content
    return [transfer["external_reference"] for transfer in response.json()["results"]]


def test_a_request_is_stored_and_answered(exchange_world: World, api: ApiClient) -> None:
    response = ask(api)
    assert response.status_code == 201
    body = response.json()
    assert isinstance(body.pop("id"), int)
    assert body.pop("requested_at").endswith("Z")
    assert body == {
        "external_reference": "payout-1", "user_id": 1, "kind": "withdrawal", "asset": "USDT",
        "amount": "10", "status": "requested", "note": "", "decided_at": None,
    }  # fmt: skip
    assert balance_of(1, "USDT") == ("990", "10")


def test_sent_again_it_is_the_first(exchange_world: World, api: ApiClient) -> None:
    first, again = ask(api), ask(api, amount=10.0)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert balance_of(1, "USDT") == ("990", "10")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"amount": "1001"}, (422, "insufficient_balance", None)),
        ({"amount": "0"}, (422, "invalid_amount", "amount")),
        ({"amount": "0.0000001"}, (422, "invalid_amount", "amount")),
        ({"amount": "ten"}, (400, "invalid", "amount")),
        ({"amount": None}, (400, "required", "amount")),
        ({"asset": "NOSUCH"}, (422, "unknown_asset", "asset")),
        ({"asset": "A\0"}, (400, "invalid", "asset")),
        ({"kind": "gift"}, (400, "invalid_choice", "kind")),
        ({"external_reference": None}, (400, "required", "external_reference")),
        ({"external_reference": "=1+1"}, (400, "invalid", "external_reference")),
        ({"external_reference": 7}, (400, "invalid", "external_reference")),
        ({"external_reference": "x" * 65}, (400, "invalid", "external_reference")),
        ({"user_id": 99}, (422, "unknown_user", "user_id")),
        ({"user_id": None}, (400, "required", "user_id")),
    ],
)
def test_a_refusal_says_why_and_stores_nothing(
    exchange_world: World, api: ApiClient, changes: dict[str, Any], says: tuple[Any, ...]
) -> None:
    assert refusal(ask(api, **changes)) == says
    assert not Transfer.objects.exists()
    assert balance_of(1, "USDT") == ("1000", "0")


def test_a_reference_that_was_used_for_something_else(
    exchange_world: World, api: ApiClient
) -> None:
    ask(api)
    reused = (422, "external_reference_reused", "external_reference")
    assert refusal(ask(api, amount="11")) == reused
    assert refusal(ask(api, kind="deposit")) == reused


def test_too_many_at_once(
    exchange_world: World, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "MAX_REQUESTED", 1)
    ask(api)
    refused = ask(api, external_reference="payout-2")
    assert refusal(refused) == (422, "too_many_transfers", None)


@pytest.fixture
def decided(exchange_world: World, api: ApiClient) -> None:
    """p-1: rejected withdrawal of user 1; p-2: approved deposit; p-3: of user 2, waits."""
    staff = User.objects.create_user("treasurer", is_staff=True).pk
    first = ask(api, external_reference="p-1").json()["id"]
    second = ask(api, external_reference="p-2", kind="deposit", asset="ADA").json()["id"]
    ask(api, external_reference="p-3", user_id=2, asset="ADA")
    transfers.reject_transfer(transfer_id=first, actor_id=staff, note="no such account")
    transfers.approve_transfer(transfer_id=second, actor_id=staff, note="seen")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["p-3", "p-2", "p-1"]),
        ("?user_id=1", ["p-2", "p-1"]),
        ("?kind=deposit", ["p-2"]),
        ("?asset=ADA", ["p-3", "p-2"]),
        ("?status=requested", ["p-3"]),
        ("?status=approved,rejected", ["p-2", "p-1"]),
        ("?external_reference=p-2", ["p-2"]),
        ("?external_reference=p-2&user_id=2", []),
        ("?from=2999-01-01T00:00:00Z", []),
        ("?to=2999-01-01T00:00:00Z&limit=1", ["p-3"]),
    ],
)
def test_requests_are_listed_and_narrowed(
    decided: None, api: ApiClient, query: str, found: list[str]
) -> None:
    assert references(api, query) == found


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("status=paid", "invalid_choice", "status"),
        ("kind=gift", "invalid_choice", "kind"),
        ("from=x", "invalid", "from"),
        ("external_reference=%00", "invalid", "external_reference"),
    ],
)
def test_a_bad_filter_is_refused(
    exchange_world: World, api: ApiClient, query: str, code: str, field: str
) -> None:
    assert refusal(api.get(f"/transfers?{query}")) == (400, code, field)


def test_pages_stay_while_requests_come_in(decided: None, api: ApiClient) -> None:
    first = api.get("/transfers?limit=1").json()
    ask(api, external_reference="p-4")
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()
    seen = [page["results"][0]["external_reference"] for page in (first, second, third)]
    assert (seen, third["next"]) == (["p-3", "p-2", "p-1"], None)


def test_the_user_reads_what_became_of_it(decided: None, api: ApiClient) -> None:
    rejected = api.get("/transfers?external_reference=p-1").json()["results"][0]
    assert (rejected["status"], rejected["note"]) == ("rejected", "no such account")
    assert rejected["decided_at"] is not None
    entries = api.get("/balance/1/ledger?asset=USDT").json()["results"]
    assert [(entry["kind"], entry["transfer_id"]) for entry in entries] == [
        ("release", rejected["id"]), ("hold", rejected["id"]), ("deposit", None),
    ]  # fmt: skip
    assert differences() == []
