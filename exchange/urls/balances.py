"""The balance service (port 5001)."""

from django.urls import include, path

urlpatterns = [
    path("", include("exchange.urls.common")),
    path("", include("balances.urls")),
]
