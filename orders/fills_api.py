"""A user's fills over HTTP: what each trade was to them, and nothing of the other side."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from balances import history
from balances.models import LedgerEntry
from exchange.access.requester import meant_user
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import AmountField, WholeNumberField
from exchange.api.filters import STORABLE, PeriodFilter, read_filter
from orders.models import Order
from orders.naming import OrderName, number_of
from orders.naming_api import ORDER_PARAMETERS, OrderNameField, looked_up


class FillFilter(PeriodFilter):
    """What `GET /fills` can be narrowed by."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Your own if not given. That of somebody else is for staff and for service "
        "credentials.",
    )
    market = serializers.RegexField(STORABLE, max_length=21, trim_whitespace=False, required=False)
    order_id = OrderNameField(required=False)


class FillOutput(serializers.Serializer[Any]):
    """A trade, as the one side of it may see it."""

    market = serializers.CharField()
    trade_id = serializers.IntegerField(help_text="The trade's number in its market.")
    order_id = serializers.IntegerField()
    side = serializers.ChoiceField(Order.Side.choices)
    role = serializers.ChoiceField(
        ["maker", "taker"], help_text="maker: the order had been waiting in the book."
    )
    price = AmountField(help_text="Quote per base.")
    quantity = AmountField(help_text="Base.")
    quote_quantity = AmountField(help_text="Quote paid or received: price times quantity.")
    fee = AmountField(help_text="Taken of what was received, in `fee_asset`.")
    fee_asset = serializers.CharField(help_text="The base asset of a buy, the quote of a sell.")
    executed_at = serializers.DateTimeField()


class FillListView(GenericAPIView[LedgerEntry]):
    """A user's fills on all markets, the newest first."""

    serializer_class = FillOutput
    queryset = LedgerEntry.objects.none()

    @extend_schema(
        summary="List fills",
        description="One for each order of yours that took part in a trade, the newest first.",
        parameters=[FillFilter],
        responses={200: FillOutput(many=True), 400: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["orders"],
    )
    def get(self, request: Request) -> Response:
        asked = read_filter(FillFilter, request)
        asked["user_id"] = meant_user(request, asked.get("user_id"), "balances.view_trade")
        if "order_id" in asked:
            asked["order_id"] = number_of(asked["order_id"], asked["user_id"])
        page = self.paginate_queryset(cast(Any, history.list_fills(**asked)))
        fills = history.fills_behind(page or [])
        return self.get_paginated_response(FillOutput(fills, many=True).data)


class OrderFillListView(GenericAPIView[LedgerEntry]):
    """The fills of one order, the newest first."""

    serializer_class = FillOutput
    queryset = LedgerEntry.objects.none()

    @extend_schema(
        summary="An order's fills",
        parameters=ORDER_PARAMETERS,
        responses={
            200: FillOutput(many=True),
            400: ErrorBody,
            404: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["orders"],
    )
    def get(self, request: Request, order_id: OrderName) -> Response:
        order = looked_up(request, order_id)
        found = history.list_fills(user_id=order.user_id, order_id=order.pk)
        fills = history.fills_behind(self.paginate_queryset(cast(Any, found)) or [])
        return self.get_paginated_response(FillOutput(fills, many=True).data)
