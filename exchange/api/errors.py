"""Errors a client can cause, and the one place that turns them into an HTTP answer.

Services raise `ClientError` subclasses and know nothing of HTTP. Every answer to a mistake has
the same body: `code` (stable, for programs), `field` (which input, or null) and `message` (for
people: what to do), of the first mistake; `errors` lists all.
"""

from typing import Any, ClassVar

import structlog
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response

logger = structlog.get_logger(__name__)


class ClientError(Exception):
    """A request that cannot be carried out as it is. Nothing has been changed.

    `code` is part of the API and never changes its meaning; `field` names the input at fault;
    `retry_after_seconds` says when the same request may succeed.
    """

    code: ClassVar[str]
    field: str | None = None
    http_status: ClassVar[int] = status.HTTP_422_UNPROCESSABLE_ENTITY
    retry_after_seconds: ClassVar[int | None] = None

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field or self.field


class ErrorDetail(serializers.Serializer[Any]):
    """One mistake."""

    code = serializers.CharField(help_text="Stable; made for programs.")
    field = serializers.CharField(allow_null=True, help_text="Which input, or null.")
    message = serializers.CharField(help_text="Made for people; says what to do.")


class ErrorBody(ErrorDetail):
    """The first mistake, and all of them."""

    errors = ErrorDetail(many=True)  # type: ignore[assignment] # DRF's attribute, as a field


def handle_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: map `error` to an answer, or None for what is our own fault."""
    if isinstance(error, ClientError):
        refusal = _answer(*refusal_of(error))
        if error.retry_after_seconds is not None:
            refusal["Retry-After"] = str(error.retry_after_seconds)
        return refusal
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("database_unavailable", error=str(error).strip())
        unavailable = _detail(
            "unavailable",
            None,
            "A store does not answer. Try again; with a client_order_id an order is placed once.",
        )
        response = _answer(status.HTTP_503_SERVICE_UNAVAILABLE, [unavailable])
        response["Retry-After"] = "1"
        return response
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    # Loading it loads the authentication, which loads this module.
    from rest_framework.views import exception_handler

    response_of_drf = exception_handler(error, context)
    if response_of_drf is None or not isinstance(error, exceptions.APIException):
        return None
    response = _answer(response_of_drf.status_code, refusal_of(error)[1])
    for name in ("Retry-After", "WWW-Authenticate", "Allow"):
        if response_of_drf.has_header(name):
            response[name] = response_of_drf[name]
    return response


def refusal_of(error: ClientError | exceptions.APIException) -> tuple[int, list[dict[str, Any]]]:
    """Return the status that `error` is answered with, and its mistakes."""
    if isinstance(error, ClientError):
        return error.http_status, [_detail(error.code, error.field, error.message)]
    return error.status_code, _details(error.get_full_details())


def body_of(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body that says these mistakes, as every refusal has it (`ErrorBody`)."""
    return {**errors[0], "errors": errors}


def _detail(code: str, field: str | None, message: str) -> dict[str, Any]:
    return {"code": code, "field": field, "message": message}


def _answer(http_status: int, errors: list[dict[str, Any]]) -> Response:
    return Response(body_of(errors), status=http_status)


_CODES = {
    "required": "required",
    "null": "required",
    "blank": "required",
    "max_whole_digits": "too_large",
    "min_value": "too_small",
    "max_value": "too_large",
    "null_characters_not_allowed": "invalid",
    "surrogate_characters_not_allowed": "invalid",
    "max_length": "too_long",
    "max_decimal_places": "too_precise",
    "parse_error": "malformed_json",
    "not_found": "not_found",
}
"""DRF's own codes that say too little, and ours for them."""


def _details(full: Any, field: str | None = None) -> list[dict[str, Any]]:
    """Flatten DRF's nested details into a list of mistakes."""
    if isinstance(full, dict) and set(full) == {"message", "code"}:
        code = _CODES.get(full["code"], str(full["code"]))
        return [_detail(code, field, str(full["message"]))]
    found: list[dict[str, Any]] = []
    if isinstance(full, dict):
        for name, inner in full.items():
            path = name if field is None else f"{field}.{name}"
            found += _details(inner, field if name == "non_field_errors" else path)
    else:
        for inner in full:
            found += _details(inner, field)
    return found
