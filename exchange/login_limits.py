"""How often somebody may try to log in, whichever form they use.

Every login form of Django and of the browsable API asks the authentication backends. The first of
them only counts: for the name from this address, for the address, and for the name from everywhere.
It runs before any password is looked at, and it does not know whether the user exists: so the
answer is the same if not. It must never say which of the limits refused.

A name is locked soon for the address that guesses, and hardly for others: one address cannot use up
what the name may do from everywhere. Seven can, for as long as they go on: see docs/security.md.
"""

import hashlib
import unicodedata
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from rest_framework.exceptions import Throttled

from exchange.api.client_address import client_address
from exchange.api.pages import error_answer, wants_page
from exchange.api.throttling import network_of
from exchange.rates import Limit, Verdict, buckets, whole_seconds

logger = structlog.get_logger(__name__)

ADDRESS_FACTOR = 4
"""What an address may do with all names together, compared to one name."""
NAME_FACTOR = 6
"""What may be done with a name from all addresses together, compared to one address."""


class TooManyLoginsError(Throttled):
    """Too many attempts. Views of the API answer it themselves; see `LoginLimitMiddleware`."""

    default_code = "rate_limited"

    def __init__(self, verdict: Verdict) -> None:
        self.seconds = whole_seconds(verdict.wait_seconds)
        super().__init__(wait=self.seconds, detail="Too many attempts to log in.")


class LoginLimitBackend:
    """The first authentication backend: lets nobody in, and stops who has tried too often.

    Not a `BaseBackend`: it has no users and no permissions to be asked about.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **_: Any
    ) -> None:
        """Count an attempt.

        Raises:
            TooManyLoginsError: it is one too many.
        """
        if request is None or username is None or not settings.THROTTLES:
            return
        limits = limits_of(username, client_address(request))
        if not limits:
            return
        verdict = buckets().charge(limits)
        if not verdict.allowed:
            logger.warning("login_refused", address=client_address(request))
            raise TooManyLoginsError(verdict)


class LoginLimitMiddleware:
    """Turns the refusal into a page, or an error's body for programs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if not isinstance(exception, TooManyLoginsError):
            return None
        response: HttpResponse
        if wants_page(request):
            context = {"seconds": exception.seconds}
            response = SimpleTemplateResponse("exchange/too_many_logins.html", context, status=429)
            response.render()
        else:
            response = error_answer(429, exception.default_code, str(exception.detail))
        response["Retry-After"] = str(exception.seconds)
        return response


def limits_of(username: str, address: str) -> list[Limit]:
    """Return what an attempt counts against; nothing when `LOGIN_ATTEMPTS` is 0."""
    attempts: int = settings.LOGIN_ATTEMPTS
    if attempts <= 0:
        return []
    per_second = 1 / settings.LOGIN_ATTEMPT_SECONDS
    name, network = _hash(username), network_of(address)
    return [
        Limit("logins", _pair_key(name, network), per_second, attempts),
        Limit(
            "logins",
            f"login:address:{network}",
            per_second * ADDRESS_FACTOR,
            attempts * ADDRESS_FACTOR,
        ),
        Limit("logins", f"login:name:{name}", per_second * NAME_FACTOR, attempts * NAME_FACTOR),
    ]


@receiver(user_logged_in)
def _after_login(request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Who knows the password has not been guessing: their name counts afresh at their address."""
    if request is None:
        return
    address = client_address(request)
    logger.info("login_succeeded", user_id=user.pk, address=address)
    if settings.THROTTLES:
        buckets().forget([_pair_key(_hash(user.get_username()), network_of(address))])


@receiver(user_login_failed)
def _after_failure(request: HttpRequest | None = None, **_: Any) -> None:
    """Without the name: people type passwords into that field."""
    if request is not None:
        logger.info("login_failed", address=client_address(request))


def _pair_key(name: str, network: str) -> str:
    return f"login:pair:{name}:{network}"


def _hash(username: str) -> str:
    """Return a name for the store: of bounded length, and the same however it is written."""
    plain = unicodedata.normalize("NFKC", username).casefold()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]
