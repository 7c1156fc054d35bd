"""Amending an order over HTTP, and what became of it."""

from typing import Any, cast

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import AmountField, AmountInputField
from orders import selectors
from orders.models import Amendment
from orders.naming import OrderName
from orders.naming_api import ORDER_PARAMETERS, looked_up


class AmendmentInput(serializers.Serializer[Any]):
    """What an order is to be from now on; at least one of the two."""

    price = AmountInputField(
        required=False, help_text="Quote per base; a multiple of the market's tick size."
    )
    quantity = AmountInputField(
        required=False,
        help_text="In the base asset, what has traded included; a multiple of the lot size. A "
        "smaller one at the same price keeps the order's place in the queue.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(
                {"quantity": "Give a price, a quantity, or both."}, code="required"
            )
        return attrs


class AmendmentOutput(serializers.ModelSerializer[Amendment]):
    """A wish that an order have another price or quantity, and what became of it."""

    order_id = serializers.IntegerField()
    market = serializers.CharField(source="market_id")
    price = AmountField(help_text="Quote per base; what was asked for.")
    quantity = AmountField(help_text="Base; the total that was asked for.")
    price_before = AmountField(help_text="Quote per base.")
    quantity_before = AmountField(help_text="Base.")
    status = serializers.ChoiceField(
        Amendment.Status.choices,
        help_text="waiting: on its way through the log. refused: nothing has changed; `reason` "
        "says why.",
    )
    reason = serializers.CharField()
    kept_place = serializers.SerializerMethodField(
        help_text="Whether the order has kept its place in the queue; null until it is applied."
    )
    requested_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = Amendment
        fields = [
            "id", "order_id", "market", "price", "quantity", "price_before", "quantity_before",
            "status", "reason", "kept_place", "requested_at", "settled_at",
        ]  # fmt: skip

    def get_kept_place(self, amendment: Amendment) -> bool | None:
        return None if amendment.moved is None else not amendment.moved


AMEND_DESCRIPTION = (
    "Asks the engine to give a live order another price, another quantity, or both. A smaller "
    "quantity at the same price keeps the order's place in the queue; anything else loses it, and "
    "the order comes again: it may trade at once. What it may need beyond its hold is put on hold "
    "with the request; once the engine has confirmed, exactly what it then needs stays on hold. "
    "The order may trade first: then the new quantity counts what has traded, and if that is as "
    "much already, the amendment is refused and nothing changes. A post-only order that would "
    "trade at its new price stays as it is. One amendment of an order at a time."
)
AMEND_RESPONSES: dict[Any, Any] = {
    202: AmendmentOutput,
    400: ErrorBody,
    404: ErrorBody,
    413: ErrorBody,
    415: ErrorBody,
    422: ErrorBody,
    503: ErrorBody,
    **LOCKED,
}
AMEND_EXAMPLE = OpenApiExample(
    "Less, at the same price", value={"quantity": "5"}, request_only=True
)


class AmendmentListView(GenericAPIView[Amendment]):
    """The amendments of one order, the newest first."""

    serializer_class = AmendmentOutput
    queryset = Amendment.objects.none()

    @extend_schema(
        summary="An order's amendments",
        parameters=ORDER_PARAMETERS,
        responses={
            200: AmendmentOutput(many=True),
            400: ErrorBody,
            404: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["orders"],
    )
    def get(self, request: Request, order_id: OrderName) -> Response:
        order = looked_up(request, order_id)
        found = self.paginate_queryset(cast(Any, selectors.list_amendments(order)))
        return self.get_paginated_response(AmendmentOutput(found or [], many=True).data)
