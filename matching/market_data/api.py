"""Candles, ticker, best bid and offer over HTTP: for everybody, and of settled trades only."""

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange.access.schema import PUBLIC
from exchange.api.errors import ErrorBody
from exchange.api.fields import AmountField, MomentField, NameField, TotalField, WholeNumberField
from matching.api import SYMBOL, LevelOutput, SequenceOutput, require_market
from matching.market_data.candles import INTERVALS, Candle
from matching.market_data.depth import get_depth
from matching.market_data.selectors import get_ticker, list_candles

_ANSWERS = {400: ErrorBody, 404: ErrorBody, 503: ErrorBody, **PUBLIC}
_COUNTED = "The last trade that is in it, 0 before any."


class CandlesQuery(serializers.Serializer[Any]):
    """Which candles."""

    interval = NameField(list(INTERVALS))
    end = MomentField(
        required=False, help_text="Candles that begin before this; now if not given, or later."
    )
    limit = WholeNumberField(min_value=1, max_value=500, default=100)


class CandleOutput(serializers.Serializer[Any]):
    """One interval. Without a trade it is flat at the price before it, and `trades` is 0."""

    start = serializers.SerializerMethodField(help_text="A multiple of the interval, in UTC.")
    open = AmountField(help_text="Quote per base.")
    high = AmountField(help_text="Quote per base.")
    low = AmountField(help_text="Quote per base.")
    close = AmountField(help_text="Quote per base.")
    volume = TotalField(help_text="Base.")
    quote_volume = TotalField(help_text="Quote.")
    trades = serializers.IntegerField(help_text="How many.")

    def get_start(self, candle: Candle) -> datetime:
        return datetime.fromtimestamp(candle.start, UTC)


class CandlesOutput(serializers.Serializer[Any]):
    """Candles, the oldest first, one for each interval since the market's first trade."""

    market = serializers.CharField()
    interval = serializers.ChoiceField(list(INTERVALS))
    last_trade_id = serializers.IntegerField(help_text=_COUNTED)
    candles = CandleOutput(many=True)


class TickerOutput(serializers.Serializer[Any]):
    """24 hours. Without a trade in them all prices are the last one before; null before any."""

    market = serializers.CharField()
    since = serializers.DateTimeField(
        help_text="The trades from here on: 24 hours in whole minutes, and the present one."
    )
    last_trade_id = serializers.IntegerField(help_text=_COUNTED)
    open = AmountField(allow_null=True, help_text="Quote per base.")
    high = AmountField(allow_null=True, help_text="Quote per base.")
    low = AmountField(allow_null=True, help_text="Quote per base.")
    last = AmountField(allow_null=True, help_text="Quote per base.")
    change = AmountField(allow_null=True, help_text="`last` less `open`, quote per base.")
    change_percent = AmountField(allow_null=True, help_text="Of `open`, to the hundredth.")
    volume = TotalField(help_text="Base.")
    quote_volume = TotalField(help_text="Quote.")
    trades = serializers.IntegerField(help_text="How many.")


class BestOutput(serializers.Serializer[Any]):
    """The best level of each side; null where there is none."""

    market = serializers.CharField()
    sequence = SequenceOutput(
        allow_null=True,
        help_text="The last event of the market's partition that is in it; null before any.",
    )
    bid = LevelOutput(allow_null=True)
    ask = LevelOutput(allow_null=True)


class CandlesView(APIView):
    """A market's candles."""

    permission_classes = (AllowAny,)

    @extend_schema(
        summary="A market's candles",
        description="The oldest first, and none is left out: an interval without a trade has a "
        "flat candle with `trades` 0. To go further back, give `start` of the first as `end`.",
        parameters=[SYMBOL, CandlesQuery],
        responses={200: CandlesOutput, **_ANSWERS},
        tags=["market data"],
    )
    def get(self, request: Request, symbol: str) -> Response:
        query = CandlesQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        now = timezone.now()
        found = list_candles(
            market=require_market(symbol).pk,
            interval=asked["interval"],
            end=min(asked.get("end", now), now),
            limit=asked["limit"],
        )
        answer = {"market": symbol, "interval": asked["interval"], **vars(found)}
        return Response(CandlesOutput(answer).data)


class TickerView(APIView):
    """A market's last 24 hours."""

    permission_classes = (AllowAny,)

    @extend_schema(
        summary="A market's last 24 hours",
        parameters=[SYMBOL],
        responses={200: TickerOutput, **_ANSWERS},
        tags=["market data"],
    )
    def get(self, request: Request, symbol: str) -> Response:  # noqa: ARG002
        ticker = get_ticker(market=require_market(symbol).pk, now=timezone.now())
        changes = {"change": ticker.change, "change_percent": ticker.change_percent}
        return Response(TickerOutput({"market": symbol, **vars(ticker), **changes}).data)


class BestView(APIView):
    """A market's best bid and offer."""

    permission_classes = (AllowAny,)

    @extend_schema(
        summary="A market's best bid and offer",
        parameters=[SYMBOL],
        responses={200: BestOutput, **_ANSWERS},
        tags=["market data"],
    )
    def get(self, request: Request, symbol: str) -> Response:  # noqa: ARG002
        depth = get_depth(market=require_market(symbol), levels=1)
        bid, ask = (next(iter(side), None) for side in (depth.bids, depth.asks))
        answer = {"market": symbol, "sequence": depth.sequence, "bid": bid, "ask": ask}
        return Response(BestOutput(answer).data)
