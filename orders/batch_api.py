"""Many orders in one request: `POST /orders/batch` and `POST /orders/batch/cancel`.

The answer is 200 with a result for each element, in the order of the request: its status, and the
order or the error, as it would have had them alone. A request that is no batch at all is refused
as a whole, and so is one that may not come now (limits, backlog): then nothing has been done.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.requester import listed_user, meant_user, own_id_of_order
from exchange.access.schema import LOCKED
from exchange.api.errors import ClientError, ErrorBody, body_of, refusal_of
from exchange.api.fields import WholeNumberField
from exchange.middleware import current_request_id
from orders import batches, canceling
from orders.api import OrderInput, OrderOutput, read_order
from orders.errors import OrderNotFoundError
from orders.models import Order
from orders.naming import OrderName, numbers_of
from orders.naming_api import ORDER_NAME, OrderNameField
from orders.rendering import render_order
from orders.rules import Wish
from orders.services import Placed

Refusal = ClientError | APIException


@extend_schema_field(OrderInput)
class _AnyOrder(serializers.Field[Any, Any, Any, Any]):
    """Whatever an element is: its own result says what is wrong with it."""

    def run_validation(self, data: Any = None) -> Any:
        return data


@extend_schema_field(ORDER_NAME)
class _AnyName(_AnyOrder):
    """What names an order, or something else that is refused by itself."""


class OrderBatchInput(serializers.Serializer[Any]):
    """Orders, each in one of the two forms of `POST /orders`."""

    orders = serializers.ListField(
        child=_AnyOrder(), allow_empty=False, min_length=1, max_length=batches.MAX_ORDERS
    )


class CancelBatchInput(serializers.Serializer[Any]):
    """Orders, each by its number, or by `client:` and its `client_order_id`."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Whose orders they are; with `client:`, your own if not given. Somebody else's "
        "are for staff and for service credentials.",
    )
    order_ids = serializers.ListField(
        child=_AnyName(), allow_empty=False, min_length=1, max_length=canceling.MAX_CANCELS
    )


class OrderResult(serializers.Serializer[Any]):
    """What became of one element: an order, or an error."""

    status = serializers.IntegerField(help_text="As a request with this element alone has it.")
    order = OrderOutput(required=False)
    error = ErrorBody(required=False)


class BatchOutput(serializers.Serializer[Any]):
    """A result for each element, in the same order."""

    results = OrderResult(many=True)


_REFUSED = {400: ErrorBody, 413: ErrorBody, 415: ErrorBody, 503: ErrorBody, **LOCKED}


class OrderBatchView(GenericAPIView[Order]):
    """Place many orders."""

    serializer_class = OrderBatchInput
    queryset = Order.objects.none()

    def throttle_cost(self, request: Request) -> int:
        """A batch counts as its orders."""
        return _elements_of(request, "orders")

    @extend_schema(
        summary="Place many orders",
        description=f"Up to {batches.MAX_ORDERS} orders, each answered as `POST /orders` would "
        "answer it: 201, 200 for a `client_order_id` that is known, or its error. They are placed "
        "as if one came after the other: of two that cannot both be paid for, the first is "
        "accepted. All that are accepted are durable together once you have the answer. A "
        "`client_order_id` that comes twice is one order. Counts as its number of orders against "
        "the limits.",
        request=OrderBatchInput,
        responses={200: BatchOutput, **_REFUSED},
        tags=["orders"],
    )
    def post(self, request: Request) -> Response:
        given = OrderBatchInput(data=request.data)
        given.is_valid(raise_exception=True)
        read = _Reader(request).read(given.validated_data["orders"])
        wishes = [wish for wish in read if isinstance(wish, Wish)]
        placed = iter(batches.place_orders(wishes=wishes, request_id=current_request_id()))
        return _answer(next(placed) if isinstance(wish, Wish) else wish for wish in read)


class CancelBatchView(GenericAPIView[Order]):
    """Cancel many orders."""

    serializer_class = CancelBatchInput
    queryset = Order.objects.none()

    def throttle_cost(self, request: Request) -> int:
        """A batch counts as its orders."""
        return _elements_of(request, "order_ids")

    @extend_schema(
        summary="Cancel many orders",
        description=f"Up to {canceling.MAX_CANCELS} orders, each answered as "
        "`DELETE /orders/{order_id}` would answer it: 202 with the order, or its error. Counts as "
        "its number of orders against the limits.",
        request=CancelBatchInput,
        responses={200: BatchOutput, **_REFUSED},
        tags=["orders"],
    )
    def post(self, request: Request) -> Response:
        given = CancelBatchInput(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data.get("user_id")
        user_id = listed_user(request, wanted, "orders.change_order")
        read = [_name(element) for element in given.validated_data["order_ids"]]
        named = _numbers(request, read, wanted)
        numbers = [number for number in named if isinstance(number, int)]
        asked = iter(canceling.request_cancels(order_ids=numbers, user_id=user_id))
        return _answer(next(asked) if isinstance(number, int) else number for number in named)


def _elements_of(request: Request, name: str) -> int:
    body = request.data
    elements = body.get(name) if isinstance(body, dict) else None
    return len(elements) if isinstance(elements, list) else 1


class _Reader:
    """Reads the orders of one request; for whom it may ask is looked up once for each user."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._meant: dict[int | None, int] = {}

    def read(self, elements: list[Any]) -> list[Wish | Refusal]:
        """Return the order that each element asks for, or why it may not."""
        return [self._wish(element, place) for place, element in enumerate(elements)]

    def _wish(self, element: Any, place: int) -> Wish | Refusal:
        try:
            asked = read_order(element)
            asked["user_id"] = self._user(asked["user_id"])
        except (ClientError, APIException) as error:
            return error
        if asked["client_order_id"] is None:
            asked["client_order_id"] = own_id_of_order(self._request, place)
        return Wish(**asked)

    def _user(self, wanted: int | None) -> int:
        if wanted not in self._meant:
            self._meant[wanted] = meant_user(self._request, wanted, "orders.add_order")
        return self._meant[wanted]


def _name(element: Any) -> OrderName | Refusal:
    if type(element) is int and 1 <= element < 2**63:
        return OrderName(element)
    try:
        return cast(OrderName, OrderNameField().run_validation(element))
    except serializers.ValidationError as error:
        return serializers.ValidationError({"order_id": error.detail})


def _numbers(
    request: Request, names: Sequence[OrderName | Refusal], wanted: int | None
) -> list[int | Refusal]:
    """Return the number that each name stands for, or why there is none.

    Raises:
        UserRequiredError: a client's id is among them, and nobody whose it could be.
    """
    own_ids = {name.client_order_id for name in names if isinstance(name, OrderName)} - {None}
    found: dict[str | None, int] = {}
    if own_ids:
        user_id = meant_user(request, wanted, "orders.change_order")
        found.update(numbers_of(cast(set[str], own_ids), user_id))
    return [_number(name, found) if isinstance(name, OrderName) else name for name in names]


def _number(name: OrderName, found: Mapping[str | None, int]) -> int | Refusal:
    number = name.number or found.get(name.client_order_id)
    return number or OrderNotFoundError(f"There is no order {name}.")


def _answer(outcomes: Any) -> Response:
    return Response({"results": [_result(outcome) for outcome in outcomes]})


def _result(outcome: Placed | Order | Refusal) -> dict[str, Any]:
    if isinstance(outcome, Placed):
        status = 201 if outcome.created else 200
        return {"status": status, "order": render_order(outcome.order)}
    if isinstance(outcome, Order):
        return {"status": 202, "order": render_order(outcome)}
    status, errors = refusal_of(outcome)
    return {"status": status, "error": body_of(errors)}
