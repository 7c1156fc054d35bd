"""The OpenAPI schema over HTTP: made once by a process for each format, and then only handed out.

To make it takes the better part of a second, and everybody may ask. It depends on nothing in the
request but the format: what else is asked for (a version, a language, an indentation) is ignored.
"""

import threading
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_making = threading.Lock()
_made: dict[tuple[str, str], bytes] = {}
"""By the URL module of the service, and by media type. There are four of these."""


class SchemaView(SpectacularAPIView):
    """The schema of this service, as YAML or JSON."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002
        renderer = request.accepted_renderer
        charset = f"; charset={renderer.charset}" if renderer.charset else ""
        return HttpResponse(
            _schema(renderer),
            content_type=f"{renderer.media_type}{charset}",
            headers={"Content-Disposition": f'inline; filename="schema.{renderer.format}"'},
        )


def _schema(renderer: Any) -> bytes:
    """Return the schema in the form of `renderer`."""
    key = (settings.ROOT_URLCONF, renderer.media_type)
    with _making:  # the generator cannot do two at once
        if key not in _made:
            generator = SchemaGenerator()  # type: ignore[no-untyped-call] # has no annotations
            schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
            _made[key] = renderer.render(schema, renderer.media_type, {})
        return _made[key]
