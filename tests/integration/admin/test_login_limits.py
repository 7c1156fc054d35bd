"""Logins: attempts are limited, the answer tells nothing, and operators elsewhere can work."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth import authenticate
from django.test import Client, RequestFactory
from pytest_django import Settings

from exchange import rates
from exchange.embedded.server import Server
from exchange.login_limits import TooManyLoginsError
from exchange.models import User

HERE, THERE = "203.0.113.1", "203.0.113.2"


@pytest.fixture(autouse=True)
def alice(transactional_db: None, settings: Settings) -> Iterator[User]:
    """Somebody who may log in; two attempts at a time, and no more while the test runs."""
    settings.THROTTLES = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    settings.LOGIN_ATTEMPTS = 2
    settings.LOGIN_ATTEMPT_SECONDS = 100_000
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*(client.keys("rate:*") or ["none"]))
    rates.buckets.cache_clear()
    yield User.objects.create_superuser("alice", password="right")
    rates.buckets.cache_clear()


def log_in(
    username: str, password: str, address: str = HERE, path: str = "/admin/login/", **how: Any
) -> Any:
    form = {"username": username, "password": password}
    return Client(REMOTE_ADDR=address).post(path, form, **how)


PAGE: dict[str, Any] = {"headers": {"Accept": "text/html"}}


def test_after_too_many_attempts_even_the_right_password_is_refused() -> None:
    statuses = [log_in("alice", "wrong").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    refused = log_in("alice", "right", **PAGE)
    assert refused.status_code == 429
    assert 99_000 < int(refused["Retry-After"]) <= 100_000
    assert b"Too many attempts to log in" in refused.content
    assert "sessionid" not in refused.cookies


def test_a_program_is_answered_with_the_body_of_an_error() -> None:
    for _ in range(2):
        log_in("alice", "wrong")
    refused = log_in("alice", "wrong")
    assert refused.json()["code"] == "rate_limited"
    assert int(refused["Retry-After"]) > 99_000


def test_the_answers_do_not_say_whether_there_is_such_a_user() -> None:
    def answers(username: str, address: str) -> list[tuple[int, bytes]]:
        found = [log_in(username, "wrong", address, **PAGE) for _ in range(4)]
        return [(answer.status_code, _constant(answer.content, username)) for answer in found]

    assert answers("alice", HERE) == answers("nobody", THERE)


def _constant(page: bytes, username: str) -> bytes:
    """Without the form's token, the seconds that have passed, and the name that was typed."""
    page = re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", page)
    return re.sub(rb"Wait \d+", b"Wait", page).replace(username.encode(), b"")


def test_a_lock_out_at_one_address_does_not_lock_out_the_operator_elsewhere() -> None:
    for _ in range(50):
        log_in("alice", "wrong", HERE)
    assert log_in("alice", "right", HERE).status_code == 429
    assert log_in("alice", "right", THERE).status_code == 302


def test_an_address_that_tries_many_names_is_stopped() -> None:
    statuses = [log_in(f"name{n}", "wrong").status_code for n in range(9)]
    assert statuses == [200] * 8 + [429]
    assert log_in("alice", "right", THERE).status_code == 302


def test_a_name_that_is_tried_from_many_addresses_is_stopped() -> None:
    statuses = [log_in("alice", "wrong", f"198.51.100.{n}").status_code for n in range(13)]
    assert statuses == [200] * 12 + [429]


@pytest.mark.parametrize("written", ["ALICE", "Alice", "\uff41lice"])
def test_another_spelling_is_the_same_name(written: str) -> None:
    for _ in range(2):
        log_in(written, "wrong")
    assert log_in("alice", "right").status_code == 429


def test_who_logs_in_may_do_so_again_and_again() -> None:
    for _ in range(4):
        assert log_in("alice", "wrong").status_code == 200
        assert log_in("alice", "right").status_code == 302


@pytest.mark.parametrize("kwargs", [{"LOGIN_ATTEMPTS": 0}, {"THROTTLES": False}])
def test_off_means_off(settings: Settings, kwargs: dict[str, Any]) -> None:
    for name, value in kwargs.items():
        setattr(settings, name, value)
    assert [log_in("alice", "wrong").status_code for _ in range(5)] == [200] * 5


def test_every_form_that_asks_the_backends_is_limited(settings: Settings) -> None:
    request = RequestFactory().post("/any/form", REMOTE_ADDR=HERE)
    assert authenticate(request, username="alice", password="wrong") is None
    assert authenticate(request, username="alice", password="right") is not None
    with pytest.raises(TooManyLoginsError):
        authenticate(request, username="alice", password="right")


def test_without_redis_logins_are_limited_in_the_process(servers: dict[str, Server]) -> None:
    server = servers["REDIS_URL"]
    server.kill()
    try:
        statuses = [log_in("alice", "wrong").status_code for _ in range(3)]
        assert log_in("alice", "right", THERE).status_code == 302
    finally:
        server.start()
        server.wait_ready()
    assert statuses == [200, 200, 429]
