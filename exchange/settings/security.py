"""Who may come near, and what production insists on.

With `EXCHANGE_ENV=production` the process refuses to start with what is made for a developer's
machine, and names all of it at once. The same settings let `manage.py check --deploy` find nothing.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from exchange.settings.base import DEVELOPMENT_KEY, PRODUCTION, env

MIN_KEY_LENGTH = 50
DEVELOPMENT_PASSWORD = "exchange"  # noqa: S105 - to be refused
_ADDRESSES = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


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
    problems += [f"{name} is missing" for name in _ADDRESSES if not environment.get(name)]
    if urlsplit(environment.get("DATABASE_URL", "")).password == DEVELOPMENT_PASSWORD:
        problems.append("DATABASE_URL has the password of development")
    if environment.get("DJANGO_DEBUG", "").strip().lower() in env.BOOLEAN_TRUE_STRINGS:
        problems.append("DJANGO_DEBUG is on")
    return problems


if PRODUCTION and (_problems := production_problems(os.environ)):
    raise ImproperlyConfigured(
        f"EXCHANGE_ENV is production, but {', '.join(_problems)}: see .env.example."
    )

TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
"""How many proxies of ours every request passes; 0: clients connect directly. Too large, and a
client can choose the address that it is counted by."""

AUTHENTICATION_BACKENDS = [
    "exchange.login_limits.LoginLimitBackend",  # first: it counts the attempts
    "django.contrib.auth.backends.ModelBackend",
]

SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health/(live|ready)$"]  # asked for over plain HTTP, on loopback
if PRODUCTION and TRUSTED_PROXIES > 0:
    # Without a proxy that sets it, any client could.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("DJANGO_HSTS_SECONDS", default=31_536_000) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
