"""How the OpenAPI schema describes the doors. Loaded once, when Django is ready."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension

from exchange.access import signatures
from exchange.api.errors import ErrorBody

PUBLIC = {401: ErrorBody}
"""What an operation for everybody may answer, too, that looks at credentials and finds bad ones."""
LOCKED = {401: ErrorBody, 403: ErrorBody}
"""What an operation may answer, too, that asks who is there."""


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # untyped metaclass
    """Three headers that go together."""

    target_class = "exchange.access.authentication.KeyAuthentication"
    name = ["apiKey", "apiKeyTimestamp", "apiKeySignature"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:  # noqa: ARG002
        headers = {
            signatures.KEY_HEADER: "The key's public part.",
            signatures.TIMESTAMP_HEADER: "Milliseconds since 1970-01-01 UTC.",
            signatures.SIGNATURE_HEADER: signatures.HOW_TO_SIGN,
        }
        return [
            {"type": "apiKey", "in": "header", "name": name, "description": description}
            for name, description in headers.items()
        ]


class SignInScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # untyped metaclass
    """The session's cookie."""

    target_class = "exchange.access.authentication.SignInAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "For people: sign in at /login. What changes something needs the header "
            "X-CSRFToken, too, with the value of the cookie csrftoken.",
        }
