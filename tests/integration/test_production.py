"""Production: refuses to start with what is made for a developer's machine, and is safe without."""

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from pytest_django import Settings

from exchange.content_policy import FOR_PEOPLE, FOR_PROGRAMS
from exchange.embedded.ports import free_port
from exchange.embedded.server import wait_until
from exchange.settings.production import is_production, production_problems
from exchange.stack.health import answers as answers_on
from exchange.stack.processes import Process, exchange_processes

PROJECT = Path(__file__).resolve().parents[2]
KEY = "".join(chr(ord("!") + n) for n in range(60))
GOOD = {
    "EXCHANGE_ENV": "production",
    "DJANGO_SECRET_KEY": KEY,
    "DJANGO_ALLOWED_HOSTS": "exchange.example.org,127.0.0.1",
    "DATABASE_URL": "postgres://exchange:not-the-usual-one@127.0.0.1:1/exchange",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "API_KEY_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
}
PROCESSES = exchange_processes(
    ports=dict.fromkeys(("balances", "orders", "matching"), 0), schedule=Path("/nowhere/beat")
)


def environment(**changes: str | None) -> dict[str, str]:
    """Return this process's environment without its settings, and with those of production."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {name: value for name, value in (GOOD | changes).items() if value is not None}


def run(*argv: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        cwd=PROJECT, env=environment(**changes), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"DJANGO_SECRET_KEY": ""}, "DJANGO_SECRET_KEY is missing"),
        ({"DJANGO_SECRET_KEY": "development-only"}, "not 50 random characters"),
        ({"DJANGO_SECRET_KEY": KEY[:49]}, "not 50 random characters"),
        ({"DJANGO_SECRET_KEY": "ab" * 40}, "not 50 random characters"),
        ({"DJANGO_ALLOWED_HOSTS": ""}, "DJANGO_ALLOWED_HOSTS is missing"),
        ({"DJANGO_ALLOWED_HOSTS": " , "}, "DJANGO_ALLOWED_HOSTS is missing"),
        ({"DJANGO_ALLOWED_HOSTS": "a.example.org, *"}, "allows every name"),
        ({"DATABASE_URL": ""}, "DATABASE_URL is missing"),
        ({"REDIS_URL": ""}, "REDIS_URL is missing"),
        ({"API_KEY_ENCRYPTION_KEYS": ""}, "API_KEY_ENCRYPTION_KEYS is missing"),
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is missing"),
        ({"DATABASE_URL": "postgres://exchange:exchange@db/x"}, "password of development"),
        ({"DJANGO_DEBUG": "True"}, "DJANGO_DEBUG is on"),
        ({"DJANGO_DEBUG": " 1"}, "DJANGO_DEBUG is on"),
        ({"DJANGO_DEBUG": "2"}, "DJANGO_DEBUG is on"),
    ],
)
def test_each_thing_of_development_is_a_problem(changes: dict[str, str], problem: str) -> None:
    problems = production_problems(GOOD | changes)

    assert len(problems) == 1
    assert problem in problems[0]
    for value in changes.values():
        assert len(value) < 10 or value not in problems[0], "a secret is shown"


@pytest.mark.parametrize("name", ["prod", "Production", "production ", ""])
def test_a_slip_in_the_name_does_not_end_in_development(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EXCHANGE_ENV"):
        is_production(name)


def test_production_without_them_has_no_problem() -> None:
    assert production_problems(GOOD) == []
    assert production_problems(GOOD | {"DJANGO_DEBUG": "False"}) == []


def test_it_refuses_to_start_and_names_everything_at_once() -> None:
    missing = dict.fromkeys(GOOD.keys() - {"EXCHANGE_ENV"})
    refused = run("manage.py", "check", **missing, DJANGO_DEBUG="1")

    assert refused.returncode != 0
    sentence = refused.stderr.strip().splitlines()[-1]
    assert sentence.startswith(
        "django.core.exceptions.ImproperlyConfigured: EXCHANGE_ENV is production, but "
    )
    for name in missing:
        assert name in sentence
    assert "DJANGO_DEBUG is on" in sentence


@pytest.mark.parametrize(
    "process", [PROCESSES[1], PROCESSES[3], PROCESSES[5]], ids=lambda process: process.name
)
def test_no_kind_of_process_starts(process: Process) -> None:
    executable = str(Path(sys.executable).with_name(process.argv[0]))
    refused = run(executable, *process.argv[1:], **process.environment, REDIS_URL=None)

    assert refused.returncode != 0
    assert "EXCHANGE_ENV is production, but REDIS_URL is missing" in refused.stderr


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_the_deployment_check_finds_nothing(proxies: str) -> None:
    checked = run("manage.py", "check", "--deploy", "--fail-level", "INFO", TRUSTED_PROXIES=proxies)

    assert checked.returncode == 0, checked.stderr
    # The one that is silenced is about preloading, which is a decision: see settings.security.
    assert "no issues (1 silenced)" in checked.stdout


def test_preloading_is_only_asked_for_by_name() -> None:
    checked = run("manage.py", "check", "--deploy", "--fail-level", "INFO", DJANGO_HSTS_PRELOAD="1")

    assert "no issues (0 silenced)" in checked.stdout


ASK = """
import json, django
django.setup()
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
def ask(path, **headers):
    answer = Client().get(path, headers={"Host": "exchange.example.org", **headers})
    cookies = {name: dict(morsel) for name, morsel in answer.cookies.items()}
    return {"status": answer.status_code, "headers": dict(answer.headers), "cookies": cookies}
over_tls = {"X-Forwarded-Proto": "https"}
print(json.dumps({
    "health": ask("/health/live"), "local": ask("/health/live", Host="127.0.0.1:5002"),
    "plain": ask("/docs"), "plain_orders": ask("/orders"),
    "tls": ask("/docs", **over_tls), "login": ask("/admin/login/", **over_tls),
    "foreign": ask("/docs", Host="elsewhere.example.org", **over_tls),
}))
"""


def answers(**changes: str | None) -> dict[str, Any]:
    ran = run("-c", ASK, DJANGO_SETTINGS_MODULE="exchange.settings", **changes)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_behind_a_proxy_everything_but_health_goes_over_tls() -> None:
    found = answers(TRUSTED_PROXIES="1", THROTTLES="0")

    assert found["health"]["status"] == found["local"]["status"] == 200
    assert found["plain"]["status"] == found["plain_orders"]["status"] == 301
    assert found["plain"]["headers"]["Location"] == "https://exchange.example.org/docs"
    assert found["foreign"]["status"] == 400
    assert found["tls"]["status"] == 200
    headers = found["tls"]["headers"]
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    # The page of the schema asks for less; it has no cookies and no forms.
    assert found["login"]["headers"]["Cross-Origin-Opener-Policy"] == "same-origin"
    cookie = found["login"]["cookies"]["csrftoken"]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")


def test_without_a_proxy_a_client_cannot_claim_to_use_tls() -> None:
    found = answers(TRUSTED_PROXIES="0", THROTTLES="0")

    assert found["tls"]["status"] == 301
    assert found["health"]["status"] == 200


def test_gunicorn_believes_nobody_on_loopback(tmp_path: Path) -> None:
    """A client on this machine, or a proxy that passes headers on, says how it came."""
    ports = {name: free_port() for name in ("balances", "orders", "matching")}
    process = exchange_processes(ports=ports, schedule=Path("/nowhere"))[0]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            [str(Path(sys.executable).with_name(process.argv[0])), *process.argv[1:]],
            cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
            env=environment(**process.environment, THROTTLES="0"),
        )  # fmt: skip

    def ask(path: str, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", ports["balances"], timeout=20)
        connection.request("GET", path, headers=headers)
        with closing(connection):
            return connection.getresponse().status

    try:
        assert wait_until(lambda: answers_on(ports["balances"], "/health/live"), timeout_seconds=60)
        assert ask("/docs", **{"X-Forwarded-Proto": "https"}) == 301, "still sent to TLS"
        assert ask("/health/live", SCRIPT_NAME="/health") == 200, "still the same address"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_development_stays_easy(settings: Settings) -> None:
    assert not settings.SECURE_SSL_REDIRECT
    assert not settings.SESSION_COOKIE_SECURE
    assert settings.SECURE_HSTS_SECONDS == 0


def test_a_page_about_an_error_shows_no_password(settings: Settings) -> None:
    """On a developer's machine; anybody who reaches it can ask for a wrong host."""
    settings.DEBUG = True
    settings.REDIS_URL = "redis://:planted@127.0.0.1:1/0"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
    shown = Client().get("/docs", headers={"Host": "elsewhere.example.org", "Accept": "text/html"})
    assert shown.status_code == 400
    assert "redis://:***@127.0.0.1:1/0" in shown.content.decode(), "it is the page with settings"
    assert "planted" not in shown.content.decode()


def test_pages_load_nothing_from_elsewhere_and_answers_nothing_at_all() -> None:
    assert Client().get("/health/live")["Content-Security-Policy"] == FOR_PROGRAMS
    assert Client().get("/docs")["Content-Security-Policy"] == FOR_PEOPLE
