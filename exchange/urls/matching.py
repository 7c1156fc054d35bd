"""The matching engine's read API (port 5003)."""

from django.urls import include, path

urlpatterns = [
    path("", include("matching.urls")),
    path("", include("exchange.urls.common")),
]

handler400 = "exchange.api.pages.bad_request"
handler404 = "exchange.api.pages.not_found"
handler500 = "exchange.api.pages.server_error"
