"""What every service answers: sign-in, health, schema, documentation."""

from django.urls import include, path
from drf_spectacular.views import SpectacularSwaggerView

from exchange.api.schema_view import SchemaView
from exchange.health import LiveView, ReadyView

urlpatterns = [
    path("", include("exchange.access.sign_in_urls")),
    path("health/live", LiveView.as_view(), name="health-live"),
    path("health/ready", ReadyView.as_view(), name="health-ready"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]
