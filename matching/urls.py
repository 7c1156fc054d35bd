from django.urls import path

from matching.api import BookView, MarketListView, TradeListView

urlpatterns = [
    path("markets", MarketListView.as_view(), name="markets"),
    path("markets/<str:symbol>/book", BookView.as_view(), name="book"),
    path("markets/<str:symbol>/trades", TradeListView.as_view(), name="trades"),
]
