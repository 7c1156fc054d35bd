"""How much each user, API key and client address may ask of the API.

Reads and writes are counted apart, each against every limit that applies, in one round trip to
Redis and without a query (`exchange.rates`). What is said about it goes into three headers of every
answer that was counted. Who sends a request is known only after a query, so an address that has
nothing left is refused before that.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from exchange.api.client_address import client_address
from exchange.api.pages import error_answer
from exchange.rates import Limit, Verdict, buckets, whole_seconds

if TYPE_CHECKING:  # it imports this module
    from rest_framework.views import APIView

MAX_COST = 200
"""As how many requests one may count against the limits of orders: the orders of a batch."""
EXEMPT = ("/health/live", "/static/")
"""What asks nothing of anybody."""
PAGES = ("/admin/", "/login", "/logout")
"""What has no view of the API to count it: counted by its address, before anything is asked."""
_VERDICT = "rate_verdict"


class RateLimitedError(Throttled):
    """Too many requests. DRF adds when to come back to the message, and `Retry-After`."""

    default_code = "rate_limited"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(wait=verdict.wait_seconds, detail=_refusal(verdict.limit))


class ExchangeThrottle(BaseThrottle):
    """Charges the limits of user, API key and address, whichever there are."""

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Return True, or raise: so the answer can name the limit.

        A request counts as one, or as many as the view's `throttle_cost` says.

        A service credential is not counted: it acts for all users, only a superuser makes it, and
        it has to count its users itself.

        Raises:
            RateLimitedError: a limit is used up.
        """
        if getattr(request.auth, "may_act_for_users", False):
            setattr(request._request, _VERDICT, None)
            return True
        verdict = charge(
            request._request,
            user_id=request.user.pk if request.user else None,
            key_id=getattr(request.auth, "pk", None),
            cost=cost_of(request, view),
        )
        if verdict is not None and not verdict.allowed:
            raise RateLimitedError(verdict)
        return True


def cost_of(request: Request, view: "APIView") -> int:
    """Return as how many requests this one counts."""
    throttle_cost: Callable[[Request], int] | None = getattr(view, "throttle_cost", None)
    return 1 if throttle_cost is None else max(1, min(throttle_cost(request), MAX_COST))


class RateLimitMiddleware:
    """Refuses before a query, writes the headers, and counts what no view's throttle has counted.

    Without a query, and without a word to Redis, an address is refused that this process knows to
    have nothing left.

    What failed before a throttle (an unknown address, a wrong signature) is charged to the client's
    address afterwards, and so is what a user's or a key's limit has refused: it has cost a query,
    too. So guessing keys is as limited as anything else; and once it is limited, even the right
    guess is answered with 429.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        verdict = _refusal_without_asking(request)
        if verdict is not None:
            response: HttpResponseBase = _too_many(verdict)
        else:
            response = self._get_response(request)
            verdict, refused = _count_afterwards(request, response)
            response = refused or response
        if verdict is not None:
            response["X-RateLimit-Limit"] = str(verdict.limit.burst)
            response["X-RateLimit-Remaining"] = str(verdict.remaining)
            response["X-RateLimit-Reset"] = str(whole_seconds(verdict.reset_seconds))
        return response


def _refusal_without_asking(request: HttpRequest) -> Verdict | None:
    """Return why a request is refused before anybody is asked who sent it, or None."""
    limits = limits_of(request, user_id=None, key_id=None)
    if not limits:
        return None
    known = buckets().refused_already(limits)
    if known is not None:
        return known
    verdict = charge(request) if request.path_info.startswith(PAGES) else None
    return verdict if verdict is not None and not verdict.allowed else None


def _count_afterwards(
    request: HttpRequest, response: HttpResponseBase
) -> tuple[Verdict | None, HttpResponse | None]:
    """Charge the address with what has cost something and was not counted.

    Returns what the headers are to say, and what to answer instead, if anything.
    """
    verdict: Verdict | None = getattr(request, _VERDICT, None)
    if hasattr(request, _VERDICT):
        own = limits_of(request, user_id=None, key_id=None)
        if verdict is not None and not verdict.allowed and verdict.limit not in own:
            charge(request)  # the answer stays that of the limit that has refused
        return verdict, None
    if response.status_code < 400 or response.status_code == 429:
        return None, None
    verdict = charge(request)
    refused = verdict is not None and not verdict.allowed
    return verdict, _too_many(verdict) if verdict is not None and refused else None


def charge(
    request: HttpRequest, *, user_id: Any = None, key_id: Any = None, cost: int = 1
) -> Verdict | None:
    """Count a request against its limits, and remember the verdict; None without limits."""
    limits = limits_of(request, user_id=user_id, key_id=key_id)
    verdict = buckets().charge(limits, cost) if limits else None
    setattr(request, _VERDICT, verdict)
    return verdict


def limits_of(request: HttpRequest, *, user_id: Any, key_id: Any) -> list[Limit]:
    """Return the limits that a request counts against."""
    if not settings.THROTTLES or request.path_info.startswith(EXEMPT):
        return []
    what = "reads" if request.method in SAFE_METHODS else "orders"
    who = {"user": user_id, "API key": key_id, "address": network_of(client_address(request))}
    found = []
    for name, identity in who.items():
        setting = "KEY" if name == "API key" else name.upper()
        per_second = getattr(settings, f"THROTTLE_{setting}_{what.upper()}_PER_SECOND")
        if identity is not None and per_second > 0:
            burst = max(1, round(per_second * settings.THROTTLE_BURST_SECONDS))
            key = f"{what}:{setting.lower()}:{identity}"
            dearest = MAX_COST if what == "orders" else 1
            found.append(Limit(f"{what} of this {name}", key, per_second, burst, dearest))
    return found


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 that IPv6 gives to each."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found), 64), strict=False).network_address)
    return address


def _refusal(limit: Limit) -> str:
    return f"Too many {limit.name}: at most {limit.per_second:g} a second, {limit.burst} at once."


def _too_many(verdict: Verdict) -> HttpResponse:
    error = RateLimitedError(verdict)
    response = error_answer(429, error.default_code, str(error.detail))
    response["Retry-After"] = str(whole_seconds(verdict.wait_seconds))
    return response
