"""How large a request may be, for every address and content type, before anything reads it.

gunicorn bounds the request line and the headers (`exchange.stack.processes`); this middleware
bounds the query and the body by what the headers say. Nothing of a refused body is read. A body
whose length is not given is refused too: Django would take it for an empty one.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from exchange.api.pages import error_answer
from exchange.api.parsers import BodyTooLargeError, most_bytes

MAX_QUERY_BYTES = 2048
"""No address of the API or the admin has so many parameters."""
_ADMIN = "/admin/"


class RequestBoundsMiddleware:
    """Answers 411, 413 or 414 to a request that is out of bounds."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return _refusal(request) or self._get_response(request)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if len(request.META.get("QUERY_STRING", "")) > MAX_QUERY_BYTES:
        return error_answer(
            414, "query_too_long", f"The query is longer than {MAX_QUERY_BYTES} bytes."
        )
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return error_answer(
            411, "length_required", "Send the body with a Content-Length, not in chunks."
        )
    is_form = request.path_info.startswith(_ADMIN)
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_form else most_bytes(request.path_info)
    if _body_bytes(request) > most:
        return error_answer(
            413, BodyTooLargeError.default_code, f"The body is larger than {most} bytes."
        )
    return None


def _body_bytes(request: HttpRequest) -> int:
    """Return what the header says; Django reads no body, and no more of one, than that."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0  # as Django takes it; gunicorn does not let it pass
