from django.urls import path

from balances.api import BalanceView

urlpatterns = [
    path("balance/<int:user_id>", BalanceView.as_view(), name="balance"),
]
