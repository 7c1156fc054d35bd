"""The matching engine's read API (port 5003)."""

from django.urls import include, path

urlpatterns = [
    path("", include("exchange.urls.common")),
    path("", include("matching.urls")),
]
