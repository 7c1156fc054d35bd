"""All services in one process: for `manage.py runserver`, the schema and the tests."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("orders.urls")),
    path("", include("exchange.access.urls")),
    path("", include("balances.urls")),
    path("", include("matching.urls")),
    path("", include("exchange.urls.common")),
    path("admin/", admin.site.urls),
]

handler400 = "exchange.api.pages.bad_request"
handler404 = "exchange.api.pages.not_found"
handler500 = "exchange.api.pages.server_error"
