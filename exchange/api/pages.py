"""Answers to what never reaches a view: the same body as every other error, or a page for people.

The root URL modules name these as `handler400`, `handler404` and `handler500`.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if wants_page(request):
        return defaults.bad_request(request, exception)
    return error_answer(400, "bad_request", "The request could not be understood.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if wants_page(request):
        return defaults.page_not_found(request, exception)
    return error_answer(
        404, "not_found", "There is nothing at this address; GET /docs lists what is."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    if wants_page(request):
        return defaults.server_error(request)
    return error_answer(
        500, "internal_error", "This is our fault; the request id names it in our logs."
    )


def wants_page(request: HttpRequest) -> bool:
    """Return whether a person is looking, and not a program."""
    return "text/html" in request.headers.get("Accept", "")


def error_answer(status: int, code: str, message: str) -> JsonResponse:
    """Return an answer with the body of every error, from outside of a view."""
    error = {"code": code, "field": None, "message": message}
    return JsonResponse({**error, "errors": [error]}, status=status)
