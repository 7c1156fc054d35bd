"""What is unsafe does not start, and says why in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from exchange.settings.production import DEVELOPMENT_ENCRYPTION_KEY

PROJECT = Path(__file__).resolve().parents[3]
GOOD_KEY = Fernet.generate_key().decode()
PRODUCTION = {
    "EXCHANGE_ENV": "production",
    "DJANGO_SECRET_KEY": "a-long-random-string-that-nobody-else-knows-0123456789",
    "DJANGO_ALLOWED_HOSTS": "127.0.0.1,exchange.example",
    "API_KEY_ENCRYPTION_KEYS": GOOD_KEY,
    "DATABASE_URL": "postgres://exchange:not-the-usual-one@127.0.0.1:1/exchange",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
OWN_KEYS = {"DJANGO_SECRET_KEY": "own", "API_KEY_ENCRYPTION_KEYS": GOOD_KEY}
OURS = {*PRODUCTION, "EXCHANGE_DEMO", "DJANGO_DEBUG"}


def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Load the project as a web process does, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    environment |= {"DJANGO_SETTINGS_MODULE": "exchange.settings"}
    environment |= {name: value for name, value in changes.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", "import exchange.wsgi"],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"EXCHANGE_DEMO": "False"},
        {"EXCHANGE_DEMO": "True"},
        {"EXCHANGE_DEMO": "True", "DJANGO_DEBUG": "True"},
        OWN_KEYS | {"DJANGO_DEBUG": "False"},
        {"LOGIN_ATTEMPTS": "0", "LOGIN_ATTEMPT_SECONDS": "0"},
        PRODUCTION,
        PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": f"{Fernet.generate_key().decode()},{GOOD_KEY}"},
    ],
)
def test_what_is_safe_starts(changes: dict[str, str]) -> None:
    started = start(**changes)

    assert started.returncode == 0, started.stderr
    assert ("demo_mode" in started.stderr) == (changes.get("EXCHANGE_DEMO") == "True")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (PRODUCTION | {"EXCHANGE_DEMO": "True"}, "EXCHANGE_ENV is production"),
        (PRODUCTION | {"EXCHANGE_DEMO": "True", "DJANGO_DEBUG": "True"}, "DJANGO_DEBUG is on"),
        (OWN_KEYS | {"EXCHANGE_DEMO": "True", "DJANGO_DEBUG": "False"}, "for development only"),
        (PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": None}, "API_KEY_ENCRYPTION_KEYS"),
        (PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": ""}, "API_KEY_ENCRYPTION_KEYS is missing"),
        ({"API_KEY_ENCRYPTION_KEYS": ","}, "give one or more keys"),
        (PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": "too-short"}, "give one or more keys"),
        (PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": DEVELOPMENT_ENCRYPTION_KEY}, "in the source"),
        ({"DJANGO_DEBUG": "False"}, "DJANGO_SECRET_KEY holds the development key"),
        ({"DJANGO_DEBUG": "False", "DJANGO_SECRET_KEY": "own"}, "API_KEY_ENCRYPTION_KEYS holds"),
        (
            PRODUCTION | {"API_KEY_ENCRYPTION_KEYS": f"{GOOD_KEY}, {DEVELOPMENT_ENCRYPTION_KEY}"},
            "in the source",
        ),
        ({"LOGIN_ATTEMPT_SECONDS": "0"}, "LOGIN_ATTEMPT_SECONDS is the time"),
        ({"TRUSTED_PROXIES": "-1"}, "0 or more"),
        ({"API_KEY_ENCRYPTION_KEYS": f"{GOOD_KEY},x"}, "give one or more keys"),
    ],
)
def test_what_is_unsafe_does_not_start(changes: dict[str, str | None], says: str) -> None:
    refused = start(**changes)

    assert refused.returncode != 0
    last_line = refused.stderr.strip().splitlines()[-1]
    assert last_line.startswith("django.core.exceptions.ImproperlyConfigured")
    assert says in last_line
