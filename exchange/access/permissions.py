"""Whether a request may come in at all: somebody has signed in, and the key's scopes suffice.

The default of every view. One that is for everybody says so itself (`AllowAny`). For whom a
request acts is another question: `exchange.access.requester`.
"""

from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from exchange.access.demo import is_demo_request
from exchange.models import ApiKey


class SignedIn(BasePermission):
    """Somebody who signed in, a key with the scope for this method, or demo mode.

    Raises DRF's own exceptions: the browsable API asks here which forms to show, and catches only
    those.
    """

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002
        if isinstance(request.auth, ApiKey):
            _require_scope(request.auth, "read" if request.method in SAFE_METHODS else "trade")
        elif not request.user.is_authenticated and not is_demo_request(request._request):
            raise _nobody()
        return True


class SignedInPerson(BasePermission):
    """Somebody who signed in with a password: a key cannot make keys."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002
        if isinstance(request.auth, ApiKey):
            raise PermissionDenied(
                "Sign in with your password: an API key cannot do this.", code="session_required"
            )
        if not request.user.is_authenticated:
            raise _nobody()
        return True


class SignedInToTransfer(SignedIn):
    """As `SignedIn`, but a user's key only looks: what it could lose by trading is bounded."""

    def has_permission(self, request: Request, view: Any) -> bool:
        allowed = super().has_permission(request, view)
        is_key_of_user = isinstance(request.auth, ApiKey) and not request.auth.may_act_for_users
        if is_key_of_user and request.method not in SAFE_METHODS:
            raise PermissionDenied(
                "Sign in with your password: an API key cannot do this.", code="session_required"
            )
        return allowed


def _nobody() -> NotAuthenticated:
    return NotAuthenticated(
        "Sign in at /login, or sign the request with an API key (GET /schema says how).",
        code="not_signed_in",
    )


def _require_scope(key: ApiKey, scope: str) -> None:
    if scope not in key.scopes:
        raise PermissionDenied(
            f"This API key does not have the scope {scope}.", code="missing_scope"
        )
