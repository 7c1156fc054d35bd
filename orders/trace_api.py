"""`GET /orders/{id}/trace`: when an order was where on its way."""

from typing import Any

from django.utils.timezone import get_default_timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from orders import trace
from orders.models import Order
from orders.naming import OrderName
from orders.naming_api import ORDER_PARAMETERS, looked_up

_REASONS = "; ".join(f"`{reason}`: {text}" for reason, text in trace.REASONS.items())


class StageOutput(serializers.Serializer[Any]):
    """One stage."""

    stage = serializers.ChoiceField(["accepted", "published", "matched", "settled", "cached"])
    at = serializers.DateTimeField(
        format="%Y-%m-%dT%H:%M:%S.%fZ",
        default_timezone=get_default_timezone(),
        allow_null=True,
        help_text="UTC, with microseconds; those of published and matched are whole milliseconds.",
    )
    reason = serializers.ChoiceField(
        list(trace.REASONS),
        allow_null=True,
        help_text=f"Why there is no time; null if there is one. {_REASONS}.",
    )


class TraceOutput(serializers.Serializer[Any]):
    """An order's way so far."""

    order_id = serializers.IntegerField()
    status = serializers.ChoiceField(Order.Status.choices)
    stages = StageOutput(many=True, help_text="Of the order itself, all five, in this order.")
    trigger = StageOutput(
        many=True,
        help_text="Of a stop order's trigger, from the trade on that reached its stop price; empty "
        "if none has.",
    )
    cancel = StageOutput(
        many=True, help_text="Of the wish to cancel it; empty if there has been none."
    )


class OrderTraceView(GenericAPIView[Order]):
    """An order's way through the exchange."""

    serializer_class = TraceOutput
    queryset = Order.objects.none()

    @extend_schema(
        summary="An order's way",
        description="When the order was accepted (taken in, in the row that was then committed), "
        "published (its record on order-events, as stamped when it was handed to the log), matched "
        "(its result on trade-events, stamped in the same way), settled (the beginning of the "
        "transaction that committed its first result, as on its trades and ledger entries) and "
        "cached (the balance cache written after that). Each time is of the clock of whoever did "
        "it. Later fills are in GET /orders/{order_id}/fills. While the log does not answer, the "
        "rest is answered without it.",
        parameters=ORDER_PARAMETERS,
        responses={
            200: TraceOutput,
            400: ErrorBody,
            404: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["orders"],
    )
    def get(self, request: Request, order_id: OrderName) -> Response:
        order = looked_up(request, order_id)
        found = {
            "order_id": order.pk,
            "status": order.status,
            "stages": trace.trace_order(order),
            "trigger": trace.trace_trigger(order),
            "cancel": trace.trace_cancel(order),
        }
        return Response(TraceOutput(found).data)
