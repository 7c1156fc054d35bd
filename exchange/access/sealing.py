"""Secrets of API keys, encrypted for the database and back.

An HMAC is checked with the secret itself, so a hash of it would not do. The keys are settings of
their own (`API_KEY_ENCRYPTION_KEYS`), never derived from another secret: the first one encrypts,
all of them decrypt. So they can be changed one after the other.
"""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class UnsealableError(Exception):
    """A stored secret was encrypted with a key that the settings do not have any more."""


def seal(secret: str) -> str:
    return _fernet().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the secret.

    Raises:
        UnsealableError: none of the keys fits.
    """
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise UnsealableError("No key in API_KEY_ENCRYPTION_KEYS fits.") from error


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.API_KEY_ENCRYPTION_KEYS])
