from django.urls import path

from matching.api import BookView, MarketListView, TradeListView
from matching.market_data.api import BestView, CandlesView, TickerView

urlpatterns = [
    path("markets", MarketListView.as_view(), name="markets"),
    path("markets/<str:symbol>/bbo", BestView.as_view(), name="bbo"),
    path("markets/<str:symbol>/book", BookView.as_view(), name="book"),
    path("markets/<str:symbol>/candles", CandlesView.as_view(), name="candles"),
    path("markets/<str:symbol>/ticker", TickerView.as_view(), name="ticker"),
    path("markets/<str:symbol>/trades", TradeListView.as_view(), name="trades"),
]
