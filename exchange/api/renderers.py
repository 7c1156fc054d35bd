"""The browsable API: DRF's own pages, with a word on demo mode where it is on."""

from typing import Any

from django.conf import settings
from rest_framework.renderers import BrowsableAPIRenderer


class BrowsableRenderer(BrowsableAPIRenderer):
    template = "exchange/api.html"

    def get_context(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context(*args, **kwargs), "is_demo": settings.DEMO}
