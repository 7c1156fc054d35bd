"""In which form to answer: DRF's own choice, made at once where a program asks for JSON."""

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.settings import api_settings

JSON = "application/json"
_PLAINLY_JSON = frozenset((JSON, "*/*"))


class Negotiation(DefaultContentNegotiation):
    """What nearly every client sends is decided without reading media types one by one."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        wanted = request.META.get("HTTP_ACCEPT", "*/*")
        first = next(iter(renderers))
        if (
            wanted in _PLAINLY_JSON
            and format_suffix is None
            and first.media_type == JSON
            and api_settings.URL_FORMAT_OVERRIDE not in request.query_params
        ):
            return first, JSON
        chosen: tuple[Any, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen
