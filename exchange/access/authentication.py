"""Who sent a request: by an API key's signature, or by the session of somebody who signed in.

A request with bad credentials is refused, never treated as one without. What somebody may do is
decided elsewhere (`exchange.access.permissions`, `exchange.access.requester`).
"""

import re
from dataclasses import dataclass
from typing import Any

import structlog
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from exchange.access import keys, signatures
from exchange.access.sealing import UnsealableError, unseal
from exchange.api.client_address import client_address
from exchange.api.headers import meta_keys, shows_any
from exchange.api.parsers import BodyTooLargeError, most_bytes
from exchange.models import ApiKey, User

logger = structlog.get_logger(__name__)

KEY_HEADERS = (
    signatures.KEY_HEADER,
    signatures.TIMESTAMP_HEADER,
    signatures.SIGNATURE_HEADER,
    signatures.WINDOW_HEADER,
)
_KEY_META = meta_keys(KEY_HEADERS)
_CREDENTIALS_META = meta_keys(("Authorization", *KEY_HEADERS))
_PUBLIC_ID = re.compile(r"ek_[0-9a-f]{24}")
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,15}")
_WINDOW = re.compile(r"[1-9][0-9]{0,4}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Claim:
    """What the headers of a signed request say. `timestamp`, `window`: milliseconds."""

    public_id: str
    timestamp: int
    window: int
    signature: str


class KeyAuthentication(BaseAuthentication):
    """A signed request: `request.user` is the key's owner, `request.auth` the key.

    Costs one query, and one more each minute for noting that the key was used.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        if not shows_any(request._request, _KEY_META):
            return None
        claim = _read_claim(request)
        _check_window(claim, now=signatures.now_ms())
        key = keys.find_api_key(public_id=claim.public_id)
        if key is None:
            raise AuthenticationFailed("There is no such API key.", code="unknown_api_key")
        if key.revoked_at is not None:  # first: its secret is gone
            raise AuthenticationFailed("This API key has been revoked.", code="api_key_revoked")
        text = _signed_text(request._request, claim)
        if not signatures.is_signature_of(_secret_of(key), text, claim.signature):
            raise AuthenticationFailed(
                "The signature is not that of this request by this key: see GET /schema for what "
                "is signed.",
                code="bad_signature",
            )
        _check_key(key, address=client_address(request._request))
        keys.note_use(key)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """Return what `WWW-Authenticate` says; without it DRF would answer 403 in place of 401."""
        return 'ApiKey realm="exchange"'


class SignInAuthentication(SessionAuthentication):
    """The session of somebody who signed in, with Django's token against forged requests."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            raise PermissionDenied(str(error.detail), code="csrf_failed") from error


def carries_credentials(request: HttpRequest) -> bool:
    """Return whether a request shows credentials of any kind but the session cookie."""
    return shows_any(request, _CREDENTIALS_META)


def signature_of(request: Request) -> str | None:
    """Return the signature of a request that was signed with an API key."""
    if not isinstance(request.auth, ApiKey):
        return None
    return str(request.headers[signatures.SIGNATURE_HEADER])


def _read_claim(request: Request) -> Claim:
    window = request.headers.get(signatures.WINDOW_HEADER, str(signatures.DEFAULT_WINDOW_MS))
    given: dict[str, tuple[Any, re.Pattern[str]]] = {
        signatures.KEY_HEADER: (request.headers.get(signatures.KEY_HEADER), _PUBLIC_ID),
        signatures.TIMESTAMP_HEADER: (request.headers.get(signatures.TIMESTAMP_HEADER), _TIMESTAMP),
        signatures.SIGNATURE_HEADER: (request.headers.get(signatures.SIGNATURE_HEADER), _SIGNATURE),
        signatures.WINDOW_HEADER: (window, _WINDOW),
    }
    wrong = [name for name, (text, form) in given.items() if not form.fullmatch(text or "")]
    if wrong or int(window) > signatures.MAX_WINDOW_MS:
        raise AuthenticationFailed(
            f"Missing or malformed: {', '.join(wrong or [signatures.WINDOW_HEADER])}. See "
            "GET /schema for how to sign a request.",
            code="malformed_signature",
        )
    public_id, timestamp, signature, window = (str(text) for text, _ in given.values())
    return Claim(public_id, int(timestamp), int(window), signature)


def _check_window(claim: Claim, *, now: int) -> None:
    if now - claim.timestamp > claim.window:
        message = f"The request was signed {now - claim.timestamp} ms ago: sign it anew."
    elif claim.timestamp - now > signatures.CLOCK_TOLERANCE_MS:
        message = f"The timestamp is {claim.timestamp - now} ms ahead: set your clock."
    else:
        return
    raise AuthenticationFailed(message, code="timestamp_out_of_window")


def _signed_text(request: HttpRequest, claim: Claim) -> str:
    """Return what the client has to have signed. The body is kept for the parser."""
    length = str(request.META.get("CONTENT_LENGTH", ""))
    most = most_bytes(request.path)
    if length.isdecimal() and int(length) > most:  # Django reads no further than this
        raise BodyTooLargeError(most)
    return signatures.canonical_text(
        timestamp=claim.timestamp,
        window=claim.window,
        method=request.method or "",
        path=request.path,
        query=request.META.get("QUERY_STRING", ""),
        body=request.body,
    )


def _secret_of(key: ApiKey) -> str:
    try:
        return unseal(key.sealed_secret)
    except UnsealableError as error:
        logger.error("api_key_unsealable", key_id=key.public_id, error=str(error))
        raise AuthenticationFailed(
            "This API key cannot be used any more: make a new one.", code="api_key_unusable"
        ) from error


def _check_key(key: ApiKey, *, address: str) -> None:
    """Refuse a key that is not to be used any more, or not from there."""
    if not key.owner.is_active:
        raise AuthenticationFailed("The key's owner is not active.", code="owner_inactive")
    if key.may_act_for_users and not key.owner.is_staff:
        raise AuthenticationFailed(
            "The owner of this service credential is no operator any more: have a new one made.",
            code="owner_not_staff",
        )
    if not keys.is_allowed_from(key, address):
        raise AuthenticationFailed(
            f"This API key may not be used from {address}.", code="address_not_allowed"
        )
