"""The balance service: what a user has, served from Redis."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from balances import selectors
from balances.services import UnknownUserError
from exchange.access.requester import may_touch
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.money import format_amount


class UserNotFoundError(UnknownUserError):
    """The user is what the address names: nothing is there."""

    http_status = 404


class AssetBalance(serializers.Serializer[Any]):
    available = serializers.CharField(help_text="Free to use.")
    held = serializers.CharField(help_text="Reserved by unfinished orders.")
    total = serializers.CharField(help_text="available + held")


class BalanceAnswer(serializers.Serializer[Any]):
    user_id = serializers.IntegerField()
    balances = serializers.DictField(child=AssetBalance(), help_text="By asset.")


class BalanceView(APIView):
    """A user's balances: the committed state, never an older one."""

    @extend_schema(
        summary="A user's balances",
        description="Decimal strings by asset. The header `X-Balance-Source` says whether the "
        "cache or the database answered; the values are the same. Somebody else's are 404, as if "
        "there were no such user.",
        responses={
            200: OpenApiResponse(BalanceAnswer),
            404: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["balances"],
    )
    def get(self, request: Request, user_id: int) -> Response:
        may_see = may_touch(request, user_id, "balances.view_balance")
        found = selectors.get_balances(user_id=user_id) if may_see else None
        if found is None:
            raise UserNotFoundError(f"There is no user {user_id}.")
        balances = {
            balance.asset: {
                "available": format_amount(balance.available),
                "held": format_amount(balance.held),
                "total": format_amount(balance.available + balance.held),
            }
            for balance in found.balances
        }
        return Response(
            {"user_id": user_id, "balances": balances},
            headers={"X-Balance-Source": found.source},
        )
