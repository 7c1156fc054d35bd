"""The admin's page of API keys: to look at, to revoke, to make service credentials."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from exchange.access.sealing import unseal
from exchange.admin_columns import admin_url
from exchange.models import ApiKey, User
from tests.api import refusal
from tests.integration.access.test_api_keys import Program
from tests.integration.admin.support import text_of

ADD = "/admin/exchange/apikey/add/"


def send(client: Client, **changes: Any) -> Any:
    """Open the form as a browser does, fill it in, send it."""
    found = re.search(r'name="form_token" value="([^"]+)"', text_of(client.get(ADD)))
    assert found is not None
    operator = User.objects.get(username="operator")
    form = {"form_token": found[1], "owner": operator.pk, "name": "gateway", "trade": "on"}
    return client.post(ADD, form | changes)


def shown(page: str, name: str) -> str:
    found = re.search(rf'id="api-{name}">([^<]+)<', page)
    assert found is not None
    return found[1]


@pytest.mark.locked
def test_a_superuser_makes_a_service_credential_that_works(operator: Client) -> None:
    answer = send(operator, read="on")
    page = text_of(answer)
    key = ApiKey.objects.latest("pk")

    assert "no-store" in answer["Cache-Control"]
    assert key.scopes == ["read", "trade", "act_for_users"]
    assert shown(page, "secret") == unseal(key.sealed_secret)
    program = Program(shown(page, "key"), shown(page, "secret"))
    assert program.order(user_id=1).json()["user_id"] == 1
    assert program.get("/balance/2").status_code == 200
    entry = LogEntry.objects.get(object_id=str(key.pk))
    assert (entry.user.username, entry.is_addition()) == ("operator", True)


def test_a_secret_is_shown_nowhere_else(operator: Client) -> None:
    page = text_of(send(operator))
    key = ApiKey.objects.latest("pk")
    for url in (
        admin_url(ApiKey, "changelist"),
        admin_url(ApiKey, "change", key.pk),
        admin_url(ApiKey, "history", key.pk),
        "/admin/",
    ):
        text = text_of(operator.get(url))
        assert shown(page, "secret") not in text
        assert key.sealed_secret not in text


def test_a_form_sent_twice_makes_one_credential(operator: Client) -> None:
    before = ApiKey.objects.count()
    answer = send(operator)
    token = answer.wsgi_request.POST["form_token"]
    again = send(operator, form_token=token)

    assert "has been sent before" in text_of(again)
    assert ApiKey.objects.count() == before + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trade": ""}, "Choose read, trade, or both."),
        ({"name": ""}, "This field is required."),
        ({"owner": ""}, "This field is required."),
        ({"owner": 1}, "Select a valid choice."),
        ({"allowed_networks": "10.0.0.1/8"}, "with no bit set after the prefix"),
        ({"allowed_networks": "10.0.0.0/8\n" * 21}, "Give at most 20 networks."),
    ],
)
def test_what_is_wrong_is_said(operator: Client, changes: dict[str, Any], message: str) -> None:
    before = ApiKey.objects.count()
    assert message in text_of(send(operator, **changes))
    assert ApiKey.objects.count() == before


def test_nobody_else_makes_one(clerk: Client) -> None:
    user = User.objects.get(username="clerk")
    wanted = ["view_apikey", "add_apikey", "change_apikey"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))

    assert clerk.get(ADD).status_code == 403
    assert clerk.post(ADD, {"name": "x", "owner": user.pk, "trade": "on"}).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.locked
def test_an_operator_revokes_a_key(operator: Client) -> None:
    page = text_of(send(operator))
    key = ApiKey.objects.latest("pk")
    sent = {"action": "revoke_selected", "_selected_action": [key.pk]}

    operator.post(admin_url(ApiKey, "changelist"), sent)

    program = Program(shown(page, "key"), shown(page, "secret"))
    assert refusal(program.order()) == (401, "api_key_revoked", None)
    changes = [e for e in LogEntry.objects.filter(object_id=str(key.pk)) if e.is_change()]
    assert [entry.change_message for entry in changes] == ["Revoked."]


def test_revoking_needs_its_permission(operator: Client, clerk: Client) -> None:
    key = ApiKey.objects.latest("pk")
    viewer = User.objects.get(username="clerk")
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    sent = {"action": "revoke_selected", "_selected_action": [key.pk]}

    assert "revoke_selected" not in text_of(clerk.get(admin_url(ApiKey, "changelist")))
    clerk.post(admin_url(ApiKey, "changelist"), sent)

    key.refresh_from_db()
    assert key.revoked_at is None


def test_secrets_cannot_be_searched(operator: Client) -> None:
    """Else they could be found out letter by letter."""
    lists = {"ApiKey": admin_url(ApiKey, "changelist"), "User": admin_url(User, "changelist")}
    assert operator.get(lists["ApiKey"], {"name__startswith": "a"}).status_code == 200
    for name, lookup in (
        ("ApiKey", "sealed_secret__startswith"),
        ("ApiKey", "owner__password__startswith"),
        ("User", "api_keys__sealed_secret__startswith"),
        ("User", "password__startswith"),
    ):
        assert operator.get(lists[name], {lookup: "a"}).status_code == 400, lookup


def test_a_key_is_only_looked_at(operator: Client) -> None:
    key = ApiKey.objects.latest("pk")
    page = admin_url(ApiKey, "change", key.pk)

    assert operator.post(page, {"may_trade": "on", "name": "x"}).status_code == 403
    assert operator.post(admin_url(ApiKey, "delete", key.pk), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in text_of(operator.get(page))
