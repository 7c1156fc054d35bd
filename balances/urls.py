from django.urls import path

from balances.api import BalanceView
from balances.ledger_api import LedgerView
from balances.transfers_api import TransferListView

urlpatterns = [
    path("balance/<int:user_id>", BalanceView.as_view(), name="balance"),
    path("balance/<int:user_id>/ledger", LedgerView.as_view(), name="ledger"),
    path("transfers", TransferListView.as_view(), name="transfers"),
]
