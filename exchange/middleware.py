"""One id per request, logged and stored with the order; 503 where the database is away."""

import re
import uuid
from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from exchange.api.pages import error_answer

logger = structlog.get_logger(__name__)

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Binds the id to every log line of the request and returns it in `X-Request-Id`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._get_response(request)
        response["X-Request-Id"] = request_id
        return response


def current_request_id() -> str:
    """Return the id of the request being served, or "" outside of one."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


class DatabaseAwayMiddleware:
    """503 in place of 500 where a page, a login or the admin finds no database to ask."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_exception(
        self,
        request: HttpRequest,  # noqa: ARG002 - the interface of Django
        exception: Exception,
    ) -> HttpResponse | None:
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logger.error("database_unavailable", error=str(exception).strip())
        answer = error_answer(503, "unavailable", "A store does not answer. Try again.")
        answer["Retry-After"] = "1"
        return answer
