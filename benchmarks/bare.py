"""What an API on this server, this framework and this database cannot be faster than: bare views.

Served by gunicorn as the exchange is, with nothing of its middleware but what says the length.
`constant` answers a constant; `hold` reads an order with the exchange's own serializer, and holds
and inserts with one statement, committed. No ledger, no cache, no log.
"""

from typing import Any

from django.db import connection
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.api import OrderInput

CONSTANT = {
    "user_id": 1,
    "balances": {
        asset: {"available": "1000000", "held": "0", "total": "1000000"}
        for asset in ("ADA", "BTC", "ETH", "SOL", "USDT")
    },
}

HOLD_AND_INSERT = """
WITH held AS (
  UPDATE balances_balance SET available = available - %(amount)s, held = held + %(amount)s,
    version = version + 1
  WHERE user_id = %(user_id)s AND asset_id = %(asset)s AND available >= %(amount)s
  RETURNING user_id)
INSERT INTO orders_order (user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, created_at)
  SELECT user_id, %(market)s, %(side)s, 'limit', 'gtc', %(price)s, %(quantity)s, 0, 0, 'pending',
    '', '', now() FROM held
  RETURNING id, created_at
"""


class ConstantView(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def get(self, request: Request) -> Response:  # noqa: ARG002 - the interface of the framework
        return Response(CONSTANT)


class HoldAndInsertView(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    def post(self, request: Request) -> Response:
        order = OrderInput(data=request.data)
        order.is_valid(raise_exception=True)
        asked: dict[str, Any] = order.validated_data
        base, _, quote = asked["market"].partition("-")
        buys = asked["side"] == "buy"
        with connection.cursor() as cursor:
            cursor.execute(
                HOLD_AND_INSERT,
                {
                    **asked,
                    "asset": quote if buys else base,
                    "amount": asked["quantity"] * (asked["price"] if buys else 1),
                },
            )
            order_id, created_at = cursor.fetchone()
        return Response(
            {
                **{name: str(asked[name]) for name in ("market", "side", "price", "quantity")},
                "id": order_id, "user_id": asked["user_id"], "status": "pending",
                "created_at": created_at,
            },
            status=201,
        )  # fmt: skip


urlpatterns = [
    path("constant", ConstantView.as_view()),
    path("hold", HoldAndInsertView.as_view()),
    path("health/live", ConstantView.as_view()),
]
