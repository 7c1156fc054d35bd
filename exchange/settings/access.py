"""Who may come in: API keys, sign-in, demo mode. What is unsafe does not start."""

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from exchange.settings.base import DEBUG, PRODUCTION, env
from exchange.settings.production import DEVELOPMENT_ENCRYPTION_KEY, refuse_development_keys

API_KEY_ENCRYPTION_KEYS = (
    env.list("API_KEY_ENCRYPTION_KEYS")
    if PRODUCTION
    else env.list("API_KEY_ENCRYPTION_KEYS", default=[DEVELOPMENT_ENCRYPTION_KEY])
)
"""Encrypt the secrets of API keys in the database. The first encrypts, all decrypt."""


def _check_encryption_keys() -> None:
    how = (
        "API_KEY_ENCRYPTION_KEYS: give one or more keys by comma, each of them 32 random bytes in "
        'url-safe base64. python -c "from cryptography.fernet import Fernet; '
        'print(Fernet.generate_key().decode())" makes one.'
    )
    if not API_KEY_ENCRYPTION_KEYS:
        raise ImproperlyConfigured(how)
    for key in API_KEY_ENCRYPTION_KEYS:
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(how) from error
    if not DEBUG:
        refuse_development_keys(API_KEY_ENCRYPTION_KEYS=API_KEY_ENCRYPTION_KEYS)


_check_encryption_keys()

DEMO = env.bool("EXCHANGE_DEMO", default=False)
"""Demo mode: a request from this machine without credentials may act for any user. Always asked
for by this name and never by DEBUG, which the test runner changes."""
if DEMO and PRODUCTION:
    raise ImproperlyConfigured(
        "EXCHANGE_DEMO lets anybody on this machine act for any user, and EXCHANGE_ENV is "
        "production: set EXCHANGE_DEMO=False."
    )
if DEMO and not DEBUG:
    raise ImproperlyConfigured(
        "EXCHANGE_DEMO is for development only: set EXCHANGE_DEMO=False, or DJANGO_DEBUG=True."
    )

LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/docs"
LOGOUT_REDIRECT_URL = "/docs"
