"""What a browser may load for a page of ours: nothing from anybody else's server.

Answers for programs get the strictest policy there is. Pages for people (the admin, the schema's
page, the browsable API) come from packages that use inline scripts, styles and `eval`; those stay
allowed there, so the policy does not stop a script that was smuggled into a page. It stops it from
loading more from elsewhere, not from leading the browser away, with what it knows in the address.
And it stops others from framing the page.
"""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

FOR_PROGRAMS = "default-src 'none'; frame-ancestors 'none'"
FOR_PEOPLE = (
    "default-src 'self' data:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class ContentPolicyMiddleware:
    """Sets `Content-Security-Policy`, by what the answer is."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        response["Content-Security-Policy"] = FOR_PEOPLE if is_page else FOR_PROGRAMS
        return response
