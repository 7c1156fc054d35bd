"""`/dead-man-switch`: all orders are canceled unless the client says in time that it is alive."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from exchange.access.requester import meant_user
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import WholeNumberField
from exchange.api.filters import read_filter
from orders import dead_man
from orders.models import DeadManSwitch
from orders.switch_model import LONGEST_SECONDS, SHORTEST_SECONDS


@extend_schema_field(
    {
        "oneOf": [
            {"type": "integer", "enum": [0]},
            {"type": "integer", "minimum": SHORTEST_SECONDS, "maximum": LONGEST_SECONDS},
        ]
    }
)
class TimeoutField(WholeNumberField):
    """Seconds, or 0: not at all."""

    default_error_messages = {
        "min_value": f"Give 0, or from {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds.",
        "max_value": f"Give 0, or from {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds.",
    }

    def to_internal_value(self, data: Any) -> int:
        seconds = super().to_internal_value(data)
        if seconds != 0 and seconds < SHORTEST_SECONDS:
            self.fail("min_value")
        if seconds > LONGEST_SECONDS:
            self.fail("max_value")
        return seconds


class SwitchOwner(serializers.Serializer[Any]):
    """Whose switch."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Your own if not given. Somebody else's is for staff and service credentials.",
    )


class SwitchInput(SwitchOwner):
    """For how long it holds."""

    timeout_seconds = TimeoutField(
        help_text="Renew it within this time, or all orders are canceled. 0 disarms it."
    )


class SwitchOutput(serializers.ModelSerializer[DeadManSwitch]):
    """A switch as it is now."""

    user_id = serializers.IntegerField()
    armed = serializers.SerializerMethodField()
    timeout_seconds = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When it fires, unless it is renewed; null: it is not armed."
    )
    fired_at = serializers.DateTimeField(
        allow_null=True, help_text="When it fired last; null: never."
    )
    canceling = serializers.BooleanField(
        help_text="It has fired, and still looks for orders that were placed before."
    )

    class Meta:
        model = DeadManSwitch
        fields = ["user_id", "armed", "timeout_seconds", "expires_at", "fired_at", "canceling"]
        read_only_fields = fields

    def get_armed(self, switch: DeadManSwitch) -> bool:
        return switch.expires_at is not None


_REFUSED = {400: ErrorBody, 503: ErrorBody, **LOCKED}


class DeadManSwitchView(GenericAPIView[DeadManSwitch]):
    """Arm, renew, look at and disarm one's switch."""

    serializer_class = SwitchInput
    queryset = DeadManSwitch.objects.none()

    @extend_schema(
        summary="Look at the dead-man switch",
        parameters=[SwitchOwner],
        responses={200: SwitchOutput, **_REFUSED},
        tags=["orders"],
    )
    def get(self, request: Request) -> Response:
        user_id = self._user(request, "orders.view_order")
        return Response(SwitchOutput(dead_man.look(user_id=user_id)).data)

    @extend_schema(
        summary="Arm or renew the dead-man switch",
        description="If it is not renewed (by the same request) before `expires_at`, it fires: it "
        "is disarmed, and the cancel of every order that was placed before is asked for, as by "
        "`DELETE /orders`. Orders placed after that stay. It fires late by a few seconds at most "
        "while the exchange runs, and as soon as it runs again otherwise; a renewal that comes "
        "before it has fired counts.",
        request=SwitchInput,
        responses={200: SwitchOutput, 413: ErrorBody, 415: ErrorBody, 422: ErrorBody, **_REFUSED},
        tags=["orders"],
    )
    def put(self, request: Request) -> Response:
        given = SwitchInput(data=request.data)
        given.is_valid(raise_exception=True)
        asked: dict[str, Any] = given.validated_data
        user_id = meant_user(request, asked.get("user_id"), "orders.change_order")
        seconds: int = asked["timeout_seconds"]
        if seconds == 0:
            return Response(SwitchOutput(dead_man.disarm(user_id=user_id)).data)
        switch = dead_man.arm(user_id=user_id, timeout_seconds=seconds)
        return Response(SwitchOutput(switch).data)

    @extend_schema(
        summary="Disarm the dead-man switch",
        description="Orders stay until they are filled or canceled. What a switch that has fired "
        "began to cancel is canceled all the same.",
        parameters=[SwitchOwner],
        request=None,
        responses={200: SwitchOutput, **_REFUSED},
        tags=["orders"],
    )
    def delete(self, request: Request) -> Response:
        user_id = self._user(request, "orders.change_order")
        return Response(SwitchOutput(dead_man.disarm(user_id=user_id)).data)

    def get_object(self) -> DeadManSwitch:
        """Return what DRF describes `PUT` by in the answer to `OPTIONS`: any switch."""
        return DeadManSwitch()

    @staticmethod
    def _user(request: Request, permission: str) -> int:
        return meant_user(request, read_filter(SwitchOwner, request).get("user_id"), permission)
