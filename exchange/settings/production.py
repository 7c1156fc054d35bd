"""What production insists on: it refuses to start with what is made for a developer's machine.

Read before all other settings, so that everything that is missing is named at once. It must never
show a value.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

DEVELOPMENT_KEY = "development-only"
DEVELOPMENT_ENCRYPTION_KEY = "ZGV2ZWxvcG1lbnQtb25seS1kZXZlbG9wbWVudC1vbmw="
"""Both are in the source, so whoever reads it could sign a session or decrypt an API key."""
MIN_KEY_LENGTH = 50
DEVELOPMENT_PASSWORD = "exchange"  # noqa: S105 - to be refused
_OFF = {"", "0", "false", "no", "off", "n", "f"}
_GIVEN = ("API_KEY_ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


def is_production(name: str) -> bool:
    """Return whether `EXCHANGE_ENV` says production.

    Raises:
        ImproperlyConfigured: it is neither of the two; a slip must not end in development.
    """
    if name not in {"development", "production"}:
        raise ImproperlyConfigured(
            f"EXCHANGE_ENV is {name!r}: set it to production or to development."
        )
    return name == "production"


def production_problems(environment: Mapping[str, str]) -> list[str]:
    """Return what keeps `environment` from being one of production, each without its value."""
    problems = []
    key = environment.get("DJANGO_SECRET_KEY", "")
    if not key:
        problems.append("DJANGO_SECRET_KEY is missing")
    elif key == DEVELOPMENT_KEY or len(key) < MIN_KEY_LENGTH or len(set(key)) < 10:
        problems.append(f"DJANGO_SECRET_KEY is not {MIN_KEY_LENGTH} random characters")
    hosts = [host.strip() for host in environment.get("DJANGO_ALLOWED_HOSTS", "").split(",")]
    if not any(hosts):
        problems.append("DJANGO_ALLOWED_HOSTS is missing")
    elif "*" in hosts:
        problems.append("DJANGO_ALLOWED_HOSTS allows every name with *")
    problems += [f"{name} is missing" for name in _GIVEN if not environment.get(name)]
    if urlsplit(environment.get("DATABASE_URL", "")).password == DEVELOPMENT_PASSWORD:
        problems.append("DATABASE_URL has the password of development")
    if environment.get("DJANGO_DEBUG", "").strip().lower() not in _OFF:
        problems.append("DJANGO_DEBUG is on")
    return problems


def insist_on_production(environment: Mapping[str, str]) -> None:
    """Return if the environment may be one of production.

    Raises:
        ImproperlyConfigured: it may not; with everything that is wrong in one sentence.
    """
    if problems := production_problems(environment):
        raise ImproperlyConfigured(
            f"EXCHANGE_ENV is production, but {', '.join(problems)}: see .env.example."
        )


def refuse_development_keys(**given: Collection[str]) -> None:
    """Return if none of the keys is one of development: without DEBUG nobody is developing.

    Asked while the settings load: the test runner turns DEBUG off later, and means nothing by it.

    Raises:
        ImproperlyConfigured: one is; with the name of its variable.
    """
    for name, keys in given.items():
        if {DEVELOPMENT_KEY, DEVELOPMENT_ENCRYPTION_KEY} & {key.strip() for key in keys}:
            raise ImproperlyConfigured(
                f"{name} holds the development key, which is in the source, and DJANGO_DEBUG is "
                "off: give one of your own (.env.example says how to make one)."
            )
