"""People sign in with a password, on any of the services, for all of them."""

import pytest
from pytest_django import Settings

from exchange.models import User
from tests.api import ApiClient, refusal
from tests.support import World

pytestmark = pytest.mark.locked

LOGIN = {"username": "user1", "password": "rather-long-9"}


@pytest.fixture
def trader(world: World) -> User:
    user = User.objects.get(pk=1)
    user.set_password("rather-long-9")
    user.save()
    return user


@pytest.mark.parametrize("service", ["balances", "orders", "matching"])
def test_a_session_of_one_service_is_good_on_the_others(
    trader: User, settings: Settings, service: str
) -> None:
    settings.ROOT_URLCONF = f"exchange.urls.{service}"
    browser = ApiClient()
    answer = browser.post("/login?next=/docs", LOGIN)
    assert (answer.status_code, answer["Location"]) == (302, "/docs")
    settings.ROOT_URLCONF = "exchange.urls.balances"
    assert browser.get("/balance/1").status_code == 200
    settings.ROOT_URLCONF = "exchange.urls.orders"
    assert browser.get("/orders").status_code == 200


def test_who_signs_out_is_out(trader: User) -> None:
    browser = ApiClient()
    browser.post("/login", LOGIN)
    assert browser.get("/orders").status_code == 200
    assert browser.post("/logout")["Location"] == "/docs"
    assert refusal(browser.get("/orders")) == (401, "not_signed_in", None)


def test_a_wrong_password_opens_nothing(trader: User) -> None:
    browser = ApiClient()
    assert browser.post("/login", LOGIN | {"password": "wrong"}).status_code == 200
    assert browser.get("/orders").status_code == 401


def test_who_becomes_inactive_is_out(trader: User) -> None:
    browser = ApiClient()
    browser.post("/login", LOGIN)
    User.objects.filter(pk=1).update(is_active=False)
    assert refusal(browser.get("/orders")) == (401, "not_signed_in", None)


def test_who_is_not_signed_in_finds_the_way(world: World) -> None:
    response = ApiClient().get("/orders", headers={"Accept": "text/html"})
    assert response.status_code == 401
    assert 'href="/login?next=/orders"' in response.content.decode().replace("'", '"')
    assert ApiClient().get("/login").status_code == 200


def test_sign_in_leads_to_no_other_host(trader: User) -> None:
    answer = ApiClient().post("/login?next=https://evil.example/", LOGIN)
    assert answer["Location"] == "/docs"
