"""Demo mode: the doors are open for this machine, and for nobody who shows bad credentials."""

import json
from pathlib import Path

import pytest
from pytest_django import Settings

from exchange.access.demo import FORWARDED
from exchange.access.keys import NewApiKey
from exchange.models import User
from tests.api import ApiClient, SigningClient, refusal
from tests.integration.access.conftest import browser_of
from tests.support import World
from tests.unit.test_docs import curl_calls

PROJECT = Path(__file__).resolve().parents[3]


def test_the_curl_lines_of_the_readme_work_as_they_are(world: World) -> None:
    client = ApiClient()
    calls = curl_calls((PROJECT / "README.md").read_text())
    placed: list[int] = []
    for call in calls:
        path = call.url.split("/", 3)[3]
        if path == "orders/1":
            path = f"orders/{placed[0]}"  # the README's numbers are those of a fresh database
        response = client.generic(
            call.method, f"/{path}", call.body or "", content_type="application/json"
        )
        assert response.status_code in {200, 201, 202}, call
        response.close()
        if (call.method, path) == ("POST", "orders"):
            placed.append(response.json()["id"])
    assert len(placed) == 3


def test_nobody_in_particular_has_to_say_for_whom(world: World) -> None:
    assert refusal(ApiClient().order(user_id=None)) == (400, "required", "user_id")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_it_is_for_this_machine(world: World, address: str) -> None:
    assert ApiClient(REMOTE_ADDR=address).order().status_code == 201


@pytest.mark.parametrize("address", ["10.0.0.1", "172.17.0.1", "203.0.113.9", "2001:db8::1", ""])
def test_it_is_for_no_other_machine(world: World, address: str) -> None:
    client = ApiClient(REMOTE_ADDR=address)
    assert refusal(client.order()) == (401, "not_signed_in", None)
    assert refusal(client.get("/balance/1")) == (401, "not_signed_in", None)


@pytest.mark.parametrize("name", FORWARDED)
def test_it_is_not_for_what_comes_through_a_proxy(world: World, name: str) -> None:
    response = ApiClient().get("/orders", headers={name: "127.0.0.1"})
    assert refusal(response) == (401, "not_signed_in", None)


def test_bad_credentials_are_refused(world: World, signing: SigningClient) -> None:
    signing.secret = "another"
    assert refusal(signing.get("/orders")) == (401, "bad_signature", None)
    for headers, code in (
        ({"Authorization": "Bearer x"}, "not_signed_in"),
        ({"X-Api-Key": "ek_x"}, "malformed_signature"),
        ({"X-Api-Signature": "0" * 64}, "malformed_signature"),
    ):
        assert refusal(ApiClient().get("/orders", headers=headers)) == (401, code, None)


def test_who_is_signed_in_acts_for_himself(world: World, key: NewApiKey) -> None:
    for client in (browser_of(User.objects.get(pk=1)), SigningClient(key)):
        assert client.order().status_code == 201
        assert refusal(client.order(user_id=2)) == (403, "not_your_user", "user_id")
        assert client.get("/balance/2").status_code == 404


def test_it_makes_no_keys(world: World) -> None:
    body = json.dumps({"name": "bot", "scopes": ["read"]})
    response = ApiClient().post("/api-keys", body, content_type="application/json")
    assert refusal(response) == (401, "not_signed_in", None)


def test_the_pages_say_so(world: World, settings: Settings) -> None:
    operator = browser_of(User.objects.create_superuser("operator"))
    for is_demo in (True, False):
        settings.DEMO = is_demo
        for page in (
            ApiClient().get("/orders", headers={"Accept": "text/html"}),
            operator.get("/admin/"),
        ):
            assert ("Demo mode" in page.content.decode()) == is_demo
