"""Deposits and withdrawals over HTTP: ask for one, and see what became of it."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from balances import transfers
from balances.models import Transfer
from exchange.access.permissions import SignedInToTransfer
from exchange.access.requester import listed_user, meant_user, own_user
from exchange.access.schema import LOCKED
from exchange.api.errors import ErrorBody
from exchange.api.fields import (
    AmountField,
    AmountInputField,
    NameField,
    PlainTextField,
    WholeNumberField,
)
from exchange.api.filters import STORABLE, PeriodFilter, names_field, read_filter

EXAMPLE_TRANSFER = {
    "kind": "withdrawal",
    "asset": "USDT",
    "amount": "10",
    "external_reference": "payout-1",
}


class TransferInput(serializers.Serializer[Any]):
    """A deposit or withdrawal that is asked for."""

    user_id = WholeNumberField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="Your own if not given. That of somebody else is for staff and for service "
        "credentials.",
    )
    kind = NameField(Transfer.Kind.choices)
    asset = serializers.RegexField(
        STORABLE, max_length=10, trim_whitespace=False, help_text="For example USDT."
    )
    amount = AmountInputField(help_text="No more digits than the asset has decimals.")
    external_reference = PlainTextField(
        r"^[A-Za-z0-9._:-]{1,64}\Z",
        trim_whitespace=False,
        help_text="Your own name for it: sent again, it answers 200 with the first request.",
        error_messages={"invalid": "Give 1 to 64 of the characters A-Z a-z 0-9 . _ : -"},
    )

    def get_initial(self) -> Any:
        """Return what the browsable API's form begins with."""
        return super().get_initial() if hasattr(self, "initial_data") else EXAMPLE_TRANSFER


class TransferOutput(serializers.ModelSerializer[Transfer]):
    """A request and what became of it."""

    user_id = serializers.IntegerField()
    asset = serializers.CharField(source="asset_id")
    amount = AmountField()
    note = serializers.CharField(help_text="Why it was approved or rejected.")

    class Meta:
        model = Transfer
        fields = [
            "id", "external_reference", "user_id", "kind", "asset", "amount", "status", "note",
            "requested_at", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields


class TransferFilter(PeriodFilter):
    """What `GET /transfers` can be narrowed by; `from` and `to` are about when it was asked for."""

    user_id = WholeNumberField(min_value=1, max_value=2**63 - 1, required=False)
    kind = NameField(Transfer.Kind.choices, required=False)
    asset = serializers.RegexField(STORABLE, max_length=10, trim_whitespace=False, required=False)
    status = names_field(Transfer.Status.values, "Requests in this status.")
    external_reference = serializers.RegexField(
        STORABLE, max_length=64, trim_whitespace=False, required=False
    )


class TransferListView(GenericAPIView[Transfer]):
    """Ask for a deposit or withdrawal, or list what was asked for."""

    serializer_class = TransferInput
    permission_classes = (SignedInToTransfer,)
    queryset = Transfer.objects.none()

    @extend_schema(
        summary="List deposits and withdrawals",
        description="Your own, the newest first; staff and service credentials may ask for those "
        "of any `user_id`, or, without one, of everybody.",
        parameters=[TransferFilter],
        responses={200: TransferOutput(many=True), 400: ErrorBody, 503: ErrorBody, **LOCKED},
        tags=["balances"],
    )
    def get(self, request: Request) -> Response:
        asked = read_filter(TransferFilter, request)
        asked["statuses"] = asked.pop("status", None)
        asked["user_id"] = listed_user(request, asked.get("user_id"), "balances.view_transfer")
        page = self.paginate_queryset(transfers.list_transfers(**asked))
        return self.get_paginated_response(TransferOutput(page, many=True).data)

    @extend_schema(
        summary="Ask for a deposit or withdrawal",
        description="Somebody on the staff approves or rejects it. Until then a withdrawal's "
        "amount is on hold; a deposit is credited when it is approved. For people who signed in, "
        "and for service credentials: the API key of a user cannot do it.",
        request=TransferInput,
        responses={
            201: TransferOutput,
            200: TransferOutput,
            400: ErrorBody,
            413: ErrorBody,
            415: ErrorBody,
            422: ErrorBody,
            503: ErrorBody,
            **LOCKED,
        },
        tags=["balances"],
    )
    def post(self, request: Request) -> Response:
        wanted = TransferInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        asked: dict[str, Any] = wanted.validated_data
        asked["user_id"] = meant_user(request, asked.get("user_id"), "balances.add_transfer")
        made = transfers.request_transfer(**asked, actor_id=own_user(request))
        return Response(TransferOutput(made.transfer).data, status=201 if made.created else 200)
