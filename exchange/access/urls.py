from django.urls import path

from exchange.access.api import ApiKeyDetailView, ApiKeyListView

urlpatterns = [
    path("api-keys", ApiKeyListView.as_view(), name="api-keys"),
    path("api-keys/<int:api_key_id>", ApiKeyDetailView.as_view(), name="api-key"),
]
