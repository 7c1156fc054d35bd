"""A user's own API keys over HTTP, and what the database lets none of them be."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog
from django.db import IntegrityError, connection, transaction
from django.test import Client

from exchange.access.keys import MAX_ACTIVE_KEYS, create_api_key
from exchange.access.sealing import unseal
from exchange.embedded.server import wait_until
from exchange.models import ApiKey, User
from exchange.redaction import redactor
from tests.api import ApiClient, SigningClient, refusal
from tests.integration.access.conftest import browser_of
from tests.support import World

pytestmark = pytest.mark.locked


@pytest.fixture
def browser(world: World) -> ApiClient:
    """User 1, signed in."""
    return browser_of(User.objects.get(pk=1))


def make(client: ApiClient, **changes: Any) -> Any:
    wanted = {"name": "my bot", "scopes": ["read", "trade"]} | changes
    return client.post("/api-keys", json.dumps(wanted), content_type="application/json")


def test_a_new_key_works_and_its_secret_is_shown_once(browser: ApiClient) -> None:
    response = make(browser, allowed_networks=["127.0.0.1", "2001:DB8::/32"])
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    made = response.json()
    assert set(made) == {
        "id", "key", "name", "scopes", "allowed_networks", "created_at", "last_used_at",
        "revoked_at", "secret",
    }  # fmt: skip
    assert made["allowed_networks"] == ["127.0.0.1/32", "2001:db8::/32"]
    listed = browser.get("/api-keys")
    assert listed.json()["results"] == [{k: made[k] for k in made if k != "secret"}]
    key = ApiKey.objects.get()
    assert made["secret"] not in key.sealed_secret
    assert unseal(key.sealed_secret) == made["secret"]

    program = Program(made["key"], made["secret"])
    assert program.get("/balance/1").status_code == 200


class Program(SigningClient):
    """A program that knows no more than the answer has said."""

    def __init__(self, public_id: str, secret: str) -> None:
        ApiClient.__init__(self)
        self.public_id, self.secret = public_id, secret
        self.window, self.ahead_ms, self.changed = None, 0, {}


def test_a_revoked_key_stays_in_the_list(browser: ApiClient) -> None:
    made = make(browser).json()
    revoked = browser.delete(f"/api-keys/{made['id']}")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] is not None
    assert browser.delete(f"/api-keys/{made['id']}").json() == revoked.json()
    assert browser.get("/api-keys").json()["results"] == [revoked.json()]
    answer = Program(made["key"], made["secret"]).get("/balance/1")
    assert refusal(answer) == (401, "api_key_revoked", None)


def test_the_key_of_another_is_as_one_that_does_not_exist(browser: ApiClient) -> None:
    theirs = create_api_key(owner_id=2, name="theirs", scopes=["read"]).key
    for number in (theirs.pk, 999_999_999, 2**63, 10**40):
        response = browser.delete(f"/api-keys/{number}")
        assert refusal(response) == (404, "unknown_api_key", "api_key_id")
    theirs.refresh_from_db()
    assert theirs.revoked_at is None
    assert browser.get("/api-keys").json()["results"] == []


def test_keys_come_in_pages(browser: ApiClient) -> None:
    numbers = [make(browser, name=f"bot {number}").json()["id"] for number in range(3)]
    first = browser.get("/api-keys?limit=2").json()
    rest = browser.get(first["next"]).json()
    assert [key["id"] for key in first["results"] + rest["results"]] == numbers[::-1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, (400, "required", "name")),
        ({"name": "x" * 51}, (400, "too_long", "name")),
        ({"name": "a\nb"}, (400, "invalid", "name")),
        ({"name": 7}, (400, "invalid", "name")),
        ({"name": "a\x00b"}, (400, "invalid", "name")),
        ({"name": None}, (400, "required", "name")),
        ({"scopes": []}, (400, "min_length", "scopes")),
        ({"scopes": "read"}, (400, "not_a_list", "scopes")),
        ({"scopes": ["write"]}, (400, "invalid_choice", "scopes.0")),
        ({"scopes": ["read", "act_for_users"]}, (400, "invalid_choice", "scopes.1")),
        ({"scopes": ["read"] * 3}, (400, "too_long", "scopes")),
        ({"allowed_networks": ["10.0.0.1/8"]}, (422, "invalid_network", "allowed_networks")),
        ({"allowed_networks": ["::ffff:10.0.0.1"]}, (422, "invalid_network", "allowed_networks")),
        ({"allowed_networks": ["::ffff:0:0/96"]}, (422, "invalid_network", "allowed_networks")),
        ({"allowed_networks": ["fe80::1%eth0"]}, (422, "invalid_network", "allowed_networks")),
        ({"allowed_networks": ["here"]}, (422, "invalid_network", "allowed_networks")),
        ({"allowed_networks": [""]}, (400, "required", "allowed_networks.0")),
        ({"allowed_networks": ["10.0.0.0/8"] * 21}, (400, "too_long", "allowed_networks")),
    ],
)
def test_a_key_that_cannot_be_is_refused(
    browser: ApiClient, changes: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    assert refusal(make(browser, **changes)) == expected
    assert not ApiKey.objects.exists()


def test_nobody_has_too_many_keys(browser: ApiClient) -> None:
    for number in range(MAX_ACTIVE_KEYS):
        create_api_key(owner_id=1, name=f"bot {number}", scopes=["read"])
    assert refusal(make(browser)) == (422, "too_many_api_keys", None)
    browser.delete(f"/api-keys/{ApiKey.objects.latest('pk').pk}")
    assert make(browser).status_code == 201


def test_nobody_has_too_many_keys_by_asking_at_once(browser: ApiClient) -> None:
    """The second request waits until the first one has committed, and counts its key."""
    for number in range(MAX_ACTIVE_KEYS - 1):
        create_api_key(owner_id=1, name=f"bot {number}", scopes=["read"])

    def ask() -> Any:
        try:
            return make(browser)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            create_api_key(owner_id=1, name="the last one", scopes=["read"])
            asked = threads.submit(ask)
            wait_until(lambda: asked.done() or _somebody_waits_for_a_lock(), timeout_seconds=30)
            assert not asked.done()
        assert refusal(asked.result()) == (422, "too_many_api_keys", None)
    assert ApiKey.objects.count() == MAX_ACTIVE_KEYS


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_a_page_of_somebody_else_cannot_make_keys(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(pk=1))
    body = json.dumps({"name": "theirs", "scopes": ["trade"]})
    for path in ("/api-keys", "/orders"):
        response = client.post(path, body, content_type="application/json")
        assert refusal(response) == (403, "csrf_failed", None)
    assert not ApiKey.objects.exists()


def test_a_key_needs_no_token_against_forged_requests(world: World) -> None:
    made = create_api_key(owner_id=1, name="bot", scopes=["trade"])
    assert SigningClient(made, enforce_csrf_checks=True).order().status_code == 201


def test_making_and_revoking_is_logged_without_the_secret(browser: ApiClient) -> None:
    with structlog.testing.capture_logs() as lines:
        made = make(browser).json()
        browser.delete(f"/api-keys/{made['id']}")
    assert [line["event"] for line in lines] == ["api_key_created", "api_key_revoked"]
    for line in lines:
        assert line["key_id"] == made["key"]
        assert made["key"] in str(redactor.processor(None, "", dict(line))), "lost in the log"
        assert line["actor_id"] == 1
        assert made["secret"] not in str(line)


def test_the_page_for_people_has_a_form_to_send_as_it_is(browser: ApiClient) -> None:
    page = browser.get("/api-keys", headers={"Accept": "text/html"}).content.decode()
    assert "my bot" in page
    assert "Demo mode" not in page


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"may_read": False, "may_trade": False}, "api_key_may_something"),
        ({"public_id": "ek_x"}, "api_key_public_id_form"),
        ({"name": ""}, "api_key_name_and_secret"),
        ({"sealed_secret": ""}, "api_key_name_and_secret"),
        ({"allowed_networks": ["10.0.0.0/8"] * 21}, "api_key_networks_bounded"),
        ({"revoked_at": "2020-01-01T00:00:00Z"}, "api_key_revoked_after_creation"),
    ],
)
def test_the_database_refuses_what_no_key_is(
    world: World, changes: dict[str, Any], constraint: str
) -> None:
    create_api_key(owner_id=1, name="bot", scopes=["read"])
    with pytest.raises(IntegrityError, match=constraint):
        ApiKey.objects.update(**changes)


def test_two_keys_never_have_the_same_public_id(world: World) -> None:
    made = [create_api_key(owner_id=1, name="bot", scopes=["read"]).key for _ in range(2)]
    with pytest.raises(IntegrityError, match="public_id"):
        ApiKey.objects.filter(pk=made[0].pk).update(public_id=made[1].public_id)
