"""How an order is named in a request, and whose it has to be."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from exchange.access.requester import listed_user, meant_user
from exchange.api.fields import WholeNumberField
from exchange.api.filters import read_filter
from orders import naming, selectors
from orders.errors import OrderNotFoundError
from orders.models import Order
from orders.naming import NO_ORDER, OWN_ID, PREFIX, OrderName

ORDER_NAME: dict[str, Any] = {
    "oneOf": [
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        {"type": "string", "pattern": f"^{PREFIX}{OWN_ID}$"},
    ]
}
"""A name as the OpenAPI schema says it."""
NAMED = "Its number, or `client:` and its `client_order_id`."


class OwnerFilter(serializers.Serializer[Any]):
    """Whose order an address means."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Whose order it is; with `client:`, your own if not given. Somebody else's is "
        "for staff and for service credentials.",
    )


ORDER_PARAMETERS: list[OpenApiParameter | type[OwnerFilter]] = [
    OpenApiParameter("order_id", ORDER_NAME, OpenApiParameter.PATH, description=NAMED),
    OwnerFilter,
]
"""What every address of one order takes."""


@extend_schema_field(ORDER_NAME)
class OrderNameField(serializers.Field[OrderName, Any, Any, Any]):
    """An order, by its number or by its client's own id."""

    default_error_messages = {
        "invalid": "Give an order's number, or client: and 1 to 64 of A-Z a-z 0-9 . _ : -"
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"help_text": NAMED, **kwargs})
        self._number = WholeNumberField(min_value=1, max_value=2**63 - 1)

    def to_internal_value(self, data: Any) -> OrderName:
        if isinstance(data, str) and data.startswith(PREFIX):
            return naming.own_name(data) or self.fail("invalid")
        return OrderName(self._number.run_validation(data))

    def to_representation(self, value: OrderName) -> str:
        return str(value)


def find_order(request: Request, name: OrderName, permission: str) -> tuple[int, int | None]:
    """Return the number of the order that an address names, and whose it must be; None: anybody's.

    `permission`: what staff need for the orders of others. That a number exists is not looked up.

    Raises:
        OrderNotFoundError: the user has no order with this client's id.
        NotYourUserError: the request may not touch the orders of the user that it names.
        UserRequiredError: a client's id, and nobody whose it could be.
    """
    wanted = read_filter(OwnerFilter, request).get("user_id")
    if name.client_order_id is None:
        return naming.number_of(name, 0), listed_user(request, wanted, permission)
    user_id = meant_user(request, wanted, permission)
    number = naming.number_of(name, user_id)
    if number == NO_ORDER:
        raise OrderNotFoundError(f"There is no order {name} of user {user_id}.")
    return number, user_id


def looked_up(request: Request, name: OrderName) -> Order:
    """Return the order that an address names, for somebody who may see it.

    Raises:
        ClientError: as `find_order`; and OrderNotFoundError if there is no such order.
    """
    number, user_id = find_order(request, name, "orders.view_order")
    order = selectors.get_order(order_id=number, user_id=user_id)
    if order is None:
        raise OrderNotFoundError(f"There is no order {name}.")
    return order
