"""The order service: place, look at, list and cancel orders."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.requester import listed_user, meant_user, own_id_of_order
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import (
    AmountField,
    AmountInputField,
    MomentField,
    NameField,
    PlainTextField,
    TrueOrFalseField,
    WholeNumberField,
)
from exchange.api.filters import STORABLE, PeriodFilter, names_field, read_filter
from exchange.middleware import current_request_id
from orders import amending, selectors, services
from orders.amending_api import (
    AMEND_DESCRIPTION,
    AMEND_EXAMPLE,
    AMEND_RESPONSES,
    AmendmentInput,
    AmendmentOutput,
)
from orders.cancel_all_api import CancelsAll
from orders.models import MAX_PARTS, Order
from orders.naming import OWN_ID, OrderName
from orders.naming_api import ORDER_PARAMETERS, find_order, looked_up
from orders.reading import DEFAULT_PREVENTION, DEFAULT_QUOTE, plain_order
from orders.rendering import render_order

EXAMPLE_ORDER = {
    "user_id": 1,
    "market": "ADA-USDT",
    "side": "buy",
    "type": "limit",
    "quantity": "10",
    "price": "1.9",
}
"""The full form, as the documentation and the browsable API show it."""
EXAMPLE_STOP = {
    "user_id": 1,
    "market": "ADA-USDT",
    "side": "sell",
    "type": "stop_limit",
    "quantity": "10",
    "stop_price": "1.8",
    "price": "1.75",
}


class OrderInput(serializers.Serializer[Any]):
    """An order, in one of two forms.

    Short: `asset`, `order_type` (buy or sell), `quantity`, `price`: the market is ASSET-USDT.
    Full: `market`, `side`, `type`, `quantity`, `price`. Optional in both: `time_in_force`,
    `expires_at`, `post_only`, `self_trade_prevention`, `visible_quantity` and `client_order_id`.
    With the `type` market there is no `price`, and to buy, there may be a `quote_amount` instead of
    the `quantity`. With stop_limit and stop_market, which are else as limit and market, there is a
    `stop_price`.
    """

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Your own if not given. That of somebody else is for staff and for service "
        "credentials.",
    )
    market = serializers.RegexField(
        STORABLE,
        max_length=21,
        trim_whitespace=False,
        required=False,
        help_text="For example ADA-USDT.",
    )
    asset = serializers.RegexField(
        STORABLE,
        max_length=10,
        trim_whitespace=False,
        required=False,
        help_text="Base asset; the quote is USDT.",
    )
    side = NameField(Order.Side.choices, required=False)
    order_type = NameField(
        Order.Side.choices, required=False, help_text="The side, in the short form."
    )
    type = NameField(
        Order.Type.choices,
        required=False,
        default="limit",
        help_text="market: trades at once, at prices up to the edge of the market's `price_band`; "
        "what is left is canceled. Such a market has a `price_band`, and has had a trade. "
        "stop_limit: waits, untriggered, until a trade reaches `stop_price`, and is then placed as "
        "a limit order; stop_market: the same, as a market order that trades up to the edge of the "
        "band around the stop price. Its money is on hold from the beginning.",
    )
    time_in_force = NameField(
        Order.TimeInForce.choices,
        required=False,
        default="gtc",
        help_text="gtc: rests until it is canceled. ioc: what cannot trade at once is canceled. "
        "fok: all of it trades at once, or it is canceled whole. gtd: rests until `expires_at`. "
        "A market order is ioc, also if it does not say so.",
    )
    expires_at = MomentField(
        required=False,
        help_text="When it is canceled, if it is not finished by then. With gtd, and only with it.",
    )
    post_only = TrueOrFalseField(
        required=False,
        default=False,
        help_text="It is canceled if it would trade when it comes. Only with gtc and gtd.",
    )
    self_trade_prevention = NameField(
        Order.SelfTradePrevention.choices,
        required=False,
        default=DEFAULT_PREVENTION,
        help_text="What happens when it meets an order of your own: what is left of it is canceled "
        "(cancel_taker), or the resting one is (cancel_maker), or both are (cancel_both), or both "
        "are reduced by the smaller one's rest, and the empty one is canceled "
        "(decrement_and_cancel); or they trade (none). A fok order that would meet one on its way "
        "is canceled whole, unless they may trade.",
    )
    quantity = AmountInputField(
        required=False, help_text="In the base asset; a multiple of the market's lot size."
    )
    quote_amount = AmountInputField(
        required=False,
        help_text="Of a market order that buys, instead of the quantity: what it may spend, in the "
        "quote asset; a multiple of tick size times lot size. It buys whole lots until that does "
        "not buy another one.",
    )
    price = AmountInputField(
        required=False,
        help_text="Quote per base; a multiple of the market's tick size. Of a limit order, also of "
        "one that waits for a stop price.",
    )
    stop_price = AmountInputField(
        required=False,
        help_text="Quote per base; a multiple of the market's tick size. With stop_limit and "
        "stop_market, and only with them: a buy waits for a trade at this price or higher, a sell "
        "for one at this price or lower. If the last trade has reached it already, the order is "
        "placed at once.",
    )
    visible_quantity = AmountInputField(
        required=False,
        help_text="Makes it an iceberg: the book shows so much of it at a time (base), and the "
        "next part comes behind all others of its price. A multiple of the lot size, less than "
        f"`quantity` and at least its {MAX_PARTS}th part. Of a limit order with gtc or gtd.",
    )
    client_order_id = PlainTextField(
        rf"^{OWN_ID}\Z",
        trim_whitespace=False,
        required=False,
        allow_null=True,
        help_text="Your own id: sent again, it answers 200 with the first order.",
        error_messages={"invalid": "Give 1 to 64 of the characters A-Z a-z 0-9 . _ : -"},
    )

    def get_initial(self) -> Any:
        """Return what the browsable API's form begins with: an order that can be sent as it is."""
        if hasattr(self, "initial_data"):
            return super().get_initial()
        return EXAMPLE_ORDER

    def to_internal_value(self, data: Any) -> Any:
        named = data.get("type") if isinstance(data, Mapping) else None
        unpriced = named in (Order.Type.MARKET, Order.Type.STOP_MARKET)
        by_amount = named == Order.Type.MARKET and "quote_amount" in data
        self.fields["price"].required = not unpriced
        self.fields["quantity"].required = not by_amount
        if unpriced:
            self.fields["time_in_force"].default = Order.TimeInForce.IOC.value
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {
            "user_id": attrs.get("user_id"),
            "market": self._market(attrs),
            "market_named_by": "market" if "market" in attrs else "asset",
            "side": self._side(attrs),
            "order_type": attrs["type"],
            "quantity": attrs.get("quantity"),
            "quote_amount": attrs.get("quote_amount"),
            "price": attrs.get("price"),
            "stop_price": attrs.get("stop_price"),
            "time_in_force": attrs["time_in_force"],
            "post_only": attrs["post_only"],
            "self_trade_prevention": attrs["self_trade_prevention"],
            "expires_at": attrs.get("expires_at"),
            "visible_quantity": attrs.get("visible_quantity"),
            "client_order_id": attrs.get("client_order_id"),
        }

    @staticmethod
    def _market(attrs: dict[str, Any]) -> str:
        if "market" in attrs and "asset" in attrs:
            raise serializers.ValidationError(
                {"asset": "Give market or asset, not both."}, code="ambiguous"
            )
        if "market" in attrs:
            return str(attrs["market"])
        if "asset" in attrs:
            return f"{attrs['asset']}-{DEFAULT_QUOTE}"
        raise serializers.ValidationError(
            {"market": "Give market (ADA-USDT) or asset (ADA)."}, code="required"
        )

    @staticmethod
    def _side(attrs: dict[str, Any]) -> str:
        given = {attrs[name] for name in ("side", "order_type") if name in attrs}
        if len(given) == 1:
            return str(given.pop())
        if given:
            raise serializers.ValidationError(
                {"side": "side and order_type say different things; give one."}, code="ambiguous"
            )
        name = "order_type" if "asset" in attrs else "side"
        raise serializers.ValidationError({name: f"Give {name}: buy or sell."}, code="required")


def read_order(data: Any) -> dict[str, Any]:
    """Return the order that was sent, as `OrderInput` validates it.

    Raises:
        ValidationError: it is none.
    """
    plain = plain_order(data)
    if plain is not None:
        return plain
    order = OrderInput(data=data)
    order.is_valid(raise_exception=True)
    validated: dict[str, Any] = order.validated_data
    return validated


class OrderOutput(serializers.ModelSerializer[Order]):
    """A stored order."""

    market = serializers.CharField(source="market_id")
    user_id = serializers.IntegerField()
    type = serializers.ChoiceField(Order.Type.choices, source="order_type")
    price = AmountField(
        help_text="Quote per base. Of a market order, up to which it may trade: the edge of the "
        "band when it came, or of the band around its stop price."
    )
    stop_price = AmountField(
        allow_null=True, help_text="Quote per base; the trade price that a stop order waits for."
    )
    quantity = AmountField(
        help_text="Base. With a `quote_amount`, what that buys at most within the band."
    )
    quote_amount = AmountField(
        allow_null=True, help_text="Quote: what it may spend, if it was placed by that."
    )
    visible_quantity = AmountField(
        allow_null=True,
        help_text="Base; how much of it the book shows at a time. Null: all of it.",
    )
    filled_quantity = AmountField(help_text="Base.")
    prevented_quantity = AmountField(
        help_text="Base; by how much prevented self-trades have reduced it."
    )
    remaining_quantity = AmountField(
        help_text="Base; neither filled nor prevented. Of a finished order, what was canceled, or "
        "what its `quote_amount` did not buy."
    )
    filled_quote = AmountField(help_text="Quote paid or received so far.")
    maker_fee_rate = AmountField(
        help_text="Share taken of what it receives by trades for which it waited; fixed when it is "
        "accepted."
    )
    taker_fee_rate = AmountField(help_text="The same by trades that it makes when it comes.")
    cancel_requested = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = [
            "id", "client_order_id", "user_id", "market", "side", "type", "time_in_force",
            "post_only", "self_trade_prevention", "expires_at", "price", "stop_price", "quantity",
            "quote_amount", "visible_quantity", "filled_quantity", "prevented_quantity",
            "remaining_quantity", "filled_quote", "maker_fee_rate", "taker_fee_rate", "status",
            "reason", "cancel_requested", "created_at", "elected_at", "triggered_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_cancel_requested(self, order: Order) -> bool:
        return order.cancel_requested_at is not None


class OrderFilter(PeriodFilter):
    """What `GET /orders` can be narrowed by; `from` and `to` are about when it was placed."""

    user_id = WholeNumberField(min_value=1, max_value=2**63 - 1, required=False)
    market = serializers.RegexField(STORABLE, max_length=21, trim_whitespace=False, required=False)
    side = NameField(Order.Side.choices, required=False)
    status = names_field(Order.Status.values, "Orders in this status.")
    client_order_id = serializers.RegexField(
        STORABLE, max_length=64, trim_whitespace=False, required=False
    )


_SHORT = OpenApiExample(
    "short form",
    value={"user_id": 1, "asset": "ADA", "quantity": 10, "price": 1.9, "order_type": "buy"},
    request_only=True,
)
_FULL = OpenApiExample(
    "full form",
    value={**EXAMPLE_ORDER, "client_order_id": "my-1"},
    request_only=True,
)  # fmt: skip
_MARKET = OpenApiExample(
    "market order",
    value={"user_id": 1, "market": "ADA-USDT", "side": "buy", "type": "market", "quantity": "10"},
    request_only=True,
)
_MARKET_BY_AMOUNT = OpenApiExample(
    "market order by the amount to spend",
    value={
        "user_id": 1, "market": "ADA-USDT", "side": "buy", "type": "market", "quote_amount": "19",
    },
    request_only=True,
)  # fmt: skip


_STOP = OpenApiExample("stop order", value=EXAMPLE_STOP, request_only=True)


class OrderListView(CancelsAll, GenericAPIView[Order]):
    """Place an order, list orders newest first, or cancel all of one's own."""

    serializer_class = OrderInput
    queryset = Order.objects.none()

    @extend_schema(
        summary="List orders",
        parameters=[OrderFilter],
        description="Your own; staff and service credentials may ask for those of any "
        "`user_id`, or, without one, of everybody.",
        responses={200: OrderOutput(many=True), 400: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["orders"],
    )
    def get(self, request: Request) -> Response:
        asked = read_filter(OrderFilter, request)
        asked["statuses"] = asked.pop("status", None)
        asked["user_id"] = listed_user(request, asked.get("user_id"), "orders.view_order")
        found = selectors.list_orders(**asked)
        page = self.paginate_queryset(found)
        return self.get_paginated_response(OrderOutput(page, many=True).data)

    @extend_schema(
        summary="Place an order",
        description="Validates, puts the money on hold and stores the order: it is durable once "
        "you have the 201. It is matched right after; follow it with GET /orders/{id}. A signed "
        "order without a `client_order_id` gets one that is made from its signature: sent a second "
        "time, it is still one order.",
        request=OrderInput,
        responses={
            201: OrderOutput,
            200: OrderOutput,
            400: ErrorBody,
            413: ErrorBody,
            415: ErrorBody,
            422: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        examples=[_SHORT, _FULL, _MARKET, _MARKET_BY_AMOUNT, _STOP],
        tags=["orders"],
    )
    def post(self, request: Request) -> Response:
        asked = read_order(request.data)
        asked["user_id"] = meant_user(request, asked["user_id"], "orders.add_order")
        asked["client_order_id"] = asked["client_order_id"] or own_id_of_order(request)
        placed = services.place_order(**asked, request_id=current_request_id())
        return Response(
            render_order(placed.order),
            status=201 if placed.created else 200,
            headers={"Location": f"/orders/{placed.order.pk}"},
        )


class OrderDetailView(GenericAPIView[Order]):
    """Look at one order, amend it, or cancel it."""

    serializer_class = OrderOutput
    queryset = Order.objects.none()

    @extend_schema(
        summary="Look at an order",
        parameters=ORDER_PARAMETERS,
        responses={
            200: OrderOutput,
            400: ErrorBody,
            404: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["orders"],
    )
    def get(self, request: Request, order_id: OrderName) -> Response:
        order = looked_up(request, order_id)
        return Response(OrderOutput(order).data)

    @extend_schema(
        summary="Amend an order",
        description=AMEND_DESCRIPTION,
        parameters=ORDER_PARAMETERS,
        request=AmendmentInput,
        responses=AMEND_RESPONSES,
        examples=[AMEND_EXAMPLE],
        tags=["orders"],
    )
    def patch(self, request: Request, order_id: OrderName) -> Response:
        number, user_id = find_order(request, order_id, "orders.change_order")
        asked = AmendmentInput(data=request.data)
        asked.is_valid(raise_exception=True)
        amendment = amending.request_amendment(
            order_id=number,
            user_id=user_id,
            request_id=current_request_id(),
            **asked.validated_data,
        )
        return Response(AmendmentOutput(amendment).data, status=202)

    @extend_schema(
        summary="Cancel an order",
        description="Asks the engine to take the rest of the order out of the book. The hold is "
        "released once the engine has confirmed; until then `cancel_requested` is true. The order "
        "may still be filled first.",
        parameters=ORDER_PARAMETERS,
        request=None,
        responses={
            202: OrderOutput,
            400: ErrorBody,
            404: ErrorBody,
            422: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["orders"],
    )
    def delete(self, request: Request, order_id: OrderName) -> Response:
        number, user_id = find_order(request, order_id, "orders.change_order")
        order = services.request_cancel(order_id=number, user_id=user_id)
        return Response(OrderOutput(order).data, status=202)
