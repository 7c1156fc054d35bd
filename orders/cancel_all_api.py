"""`DELETE /orders`: the cancel of all that a user has in the books, a bounded part at a time."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.requester import meant_user
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import WholeNumberField
from exchange.api.filters import STORABLE
from orders import canceling


class CancelAllFilter(serializers.Serializer[Any]):
    """Whose orders, and of which market."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Your own if not given. Somebody else's are for staff and service credentials.",
    )
    market = serializers.RegexField(
        STORABLE,
        max_length=21,
        trim_whitespace=False,
        required=False,
        help_text="For example ADA-USDT; of all markets if not given.",
    )


class CancelAllOutput(serializers.Serializer[Any]):
    """What was asked for."""

    cancel_requested = serializers.IntegerField(
        help_text="Of how many orders the cancel was asked for now.",
    )
    more = serializers.BooleanField(help_text="Others remain: send the same again.")


class CancelsAll:
    """The view of `/orders` does this, too."""

    @extend_schema(
        operation_id="orders_cancel_all",
        summary="Cancel all orders",
        description="Asks the engine to take all of a user's orders out of the books, the oldest "
        f"first, at most {canceling.MAX_CANCELS} with one request. As with a single one, an order "
        "may still be filled before its cancel. `more` is true if others remain, also one that is "
        "being matched at this moment.",
        parameters=[CancelAllFilter],
        request=None,
        responses={202: CancelAllOutput, 400: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["orders"],
    )
    def delete(self, request: Request) -> Response:
        wanted = CancelAllFilter(data=request.query_params.dict())
        wanted.is_valid(raise_exception=True)
        asked: dict[str, Any] = wanted.validated_data
        user_id = meant_user(request, asked.get("user_id"), "orders.change_order")
        count, more = canceling.request_cancel_of_all(user_id=user_id, market=asked.get("market"))
        return Response({"cancel_requested": count, "more": more}, status=202)
