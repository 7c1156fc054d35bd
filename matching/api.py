"""The matching engine's read API: markets, books, trades, as settled."""

import re
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from balances.models import Trade
from balances.selectors import list_trades
from exchange.access.schema import PUBLIC
from exchange.api.errors import ErrorBody
from exchange.api.fields import AmountField, AmountInputField, WholeNumberField
from exchange.api.pagination import BySymbol, ByTradeId
from matching.market_data.depth import get_depth
from orders import selectors
from orders.errors import UnknownMarketError
from orders.models import Market


class MarketNotFoundError(UnknownMarketError):
    """The market is what the address names: nothing is there."""

    http_status = 404


class MarketOutput(serializers.ModelSerializer[Market]):
    """A market and its rules."""

    base = serializers.CharField(source="base_id")
    quote = serializers.CharField(source="quote_id")
    tick_size = AmountField(help_text="Prices are multiples of this (quote per base).")
    lot_size = AmountField(help_text="Quantities are multiples of this (base).")
    min_quantity = AmountField(
        allow_null=True, help_text="The smallest quantity of an order (base); null: any."
    )
    max_quantity = AmountField(
        allow_null=True, help_text="The largest quantity of an order (base); null: any."
    )
    min_notional = AmountField(
        allow_null=True, help_text="Price times quantity of an order is at least this (quote)."
    )
    price_band = AmountField(
        allow_null=True,
        help_text="How far from the last trade an order may trade, as a share of that price; null: "
        "any price, and no market or stop-market orders.",
    )
    maker_fee_rate = AmountField(
        help_text="Share of what an order receives that had been waiting in the book."
    )
    taker_fee_rate = AmountField(help_text="Share of what an order receives that comes and trades.")

    class Meta:
        model = Market
        fields = [
            "symbol", "base", "quote", "tick_size", "lot_size", "min_quantity", "max_quantity",
            "min_notional", "price_band", "maker_fee_rate", "taker_fee_rate", "state",
            "state_reason",
        ]  # fmt: skip
        read_only_fields = fields


class LevelOutput(serializers.Serializer[Any]):
    """All that rests at one price."""

    price = AmountField(help_text="Quote per base.")
    quantity = AmountField(help_text="Base.")


class BookQuery(serializers.Serializer[Any]):
    """How much of the book."""

    levels = WholeNumberField(
        min_value=1, max_value=500, default=50, help_text="Price levels per side."
    )
    step = AmountInputField(
        required=False,
        help_text="Quote per base, a multiple of the tick size: what lies within one step is one "
        "level, bids rounded down and asks up.",
    )


class SequenceOutput(serializers.Serializer[Any]):
    """A place on the log of order events."""

    epoch = serializers.IntegerField(help_text="The life of the log; later ones are higher.")
    offset = serializers.IntegerField(help_text="-1: before the first event.")


class BookOutput(serializers.Serializer[Any]):
    """Both sides, the best price first."""

    market = serializers.CharField()
    sequence = SequenceOutput(
        allow_null=True,
        help_text="The last event of the market's partition that is in it; null before any.",
    )
    bids = LevelOutput(many=True)
    asks = LevelOutput(many=True)


class TradeOutput(serializers.ModelSerializer[Trade]):
    """A settled trade."""

    price = AmountField(help_text="Quote per base.")
    quantity = AmountField(help_text="Base.")

    class Meta:
        model = Trade
        fields = ["trade_id", "price", "quantity", "taker_side", "executed_at"]
        read_only_fields = fields


class MarketListView(GenericAPIView[Market]):
    """All markets with their rules and states."""

    permission_classes = (AllowAny,)
    serializer_class = MarketOutput
    pagination_class = BySymbol
    queryset = Market.objects.none()

    @extend_schema(
        summary="List markets",
        responses={200: MarketOutput(many=True), 400: ErrorBody, 503: ErrorBody, **PUBLIC},
        tags=["market data"],
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        page = self.paginate_queryset(selectors.list_markets())
        return self.get_paginated_response(MarketOutput(page, many=True).data)


_PLAIN_SYMBOL = re.compile(r"[A-Z0-9]{2,10}-[A-Z0-9]{2,10}")
"""Anything else is no market, and may be something that Postgres does not take (NUL)."""
SYMBOL = OpenApiParameter("symbol", str, OpenApiParameter.PATH, description="ADA-USDT")


class BookView(APIView):
    """The order book of a market, by price level."""

    permission_classes = (AllowAny,)

    @extend_schema(
        summary="A market's order book",
        parameters=[SYMBOL, BookQuery],
        responses={200: BookOutput, 400: ErrorBody, 404: ErrorBody, 503: ErrorBody, **PUBLIC},
        tags=["market data"],
    )
    def get(self, request: Request, symbol: str) -> Response:
        query = BookQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        depth = get_depth(market=require_market(symbol), **query.validated_data)
        return Response(BookOutput({"market": symbol, **vars(depth)}).data)


class TradeListView(GenericAPIView[Trade]):
    """A market's trades, the newest first."""

    permission_classes = (AllowAny,)
    serializer_class = TradeOutput
    pagination_class = ByTradeId
    queryset = Trade.objects.none()

    @extend_schema(
        summary="A market's trades",
        parameters=[SYMBOL],
        responses={
            200: TradeOutput(many=True),
            400: ErrorBody,
            404: ErrorBody,
            503: ErrorBody,
            **PUBLIC,
        },
        tags=["market data"],
    )
    def get(self, request: Request, symbol: str) -> Response:  # noqa: ARG002
        require_market(symbol)
        page = self.paginate_queryset(list_trades(market=symbol))
        return self.get_paginated_response(TradeOutput(page, many=True).data)


def require_market(symbol: str) -> Market:
    """Return the market that the address names.

    Raises:
        MarketNotFoundError: there is none.
    """
    market = None
    if _PLAIN_SYMBOL.fullmatch(symbol):
        market = selectors.list_markets().filter(pk=symbol).first()
    if market is None:
        raise MarketNotFoundError(f"There is no market {symbol}. GET /markets lists them.")
    return market
