"""The balance service (port 5001)."""

from django.urls import include, path

urlpatterns = [
    path("", include("balances.urls")),
    path("", include("exchange.urls.common")),
]

handler400 = "exchange.api.pages.bad_request"
handler404 = "exchange.api.pages.not_found"
handler500 = "exchange.api.pages.server_error"
