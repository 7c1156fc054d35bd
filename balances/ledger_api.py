"""A user's ledger over HTTP: every movement of their balances, as JSON pages or as one CSV file."""

from typing import Any, cast

from django.contrib.auth import get_user_model
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from balances import history
from balances.api import UserNotFoundError
from balances.models import LedgerEntry
from exchange.access.requester import may_touch
from exchange.api.csv_stream import (
    CsvRenderer,
    answer_in_json,
    csv_response,
    safe_text,
    wants_csv,
)
from exchange.api.errors import ErrorBody
from exchange.api.fields import AmountField, NameField
from exchange.api.filters import STORABLE, PeriodFilter, read_filter
from exchange.api.renderers import BrowsableRenderer
from exchange.money import format_amount
from orders.naming import number_of
from orders.naming_api import OrderNameField


class LedgerFilter(PeriodFilter):
    """What a ledger can be narrowed by."""

    asset = serializers.RegexField(
        STORABLE, max_length=10, trim_whitespace=False, required=False, help_text="USDT"
    )
    kind = NameField(LedgerEntry.Kind.choices, required=False)
    order_id = OrderNameField(required=False)


class LedgerEntryOutput(serializers.ModelSerializer[LedgerEntry]):
    """One movement of one balance."""

    asset = serializers.CharField(source="asset_id")
    available_change = AmountField(help_text="By how much `available` has changed.")
    held_change = AmountField(help_text="By how much `held` has changed.")
    available_after = AmountField(help_text="What was available after it.")
    held_after = AmountField(help_text="What was on hold after it.")
    order_id = serializers.IntegerField(allow_null=True, help_text="The order it belongs to.")
    market = serializers.CharField(allow_null=True, help_text="The market of the order.")
    trade_id = serializers.IntegerField(
        allow_null=True, help_text="The trade's number in this market."
    )

    transfer_id = serializers.IntegerField(
        allow_null=True, help_text="The deposit or withdrawal it belongs to, if asked for."
    )

    class Meta:
        model = LedgerEntry
        fields = [
            "id", "created_at", "asset", "kind", "available_change", "held_change",
            "available_after", "held_after", "order_id", "market", "trade_id",
            "transfer_id", "note",
        ]  # fmt: skip
        read_only_fields = fields


COLUMNS = tuple(LedgerEntryOutput.Meta.fields)
"""Of the CSV: those of the JSON, in the same order."""
_AMOUNTS = ("available_change", "held_change", "available_after", "held_after")


class LedgerView(GenericAPIView[LedgerEntry]):
    """Every movement of a user's balances, the newest first."""

    serializer_class = LedgerEntryOutput
    renderer_classes = (JSONRenderer, BrowsableRenderer, CsvRenderer)
    queryset = LedgerEntry.objects.none()

    @extend_schema(
        summary="A user's ledger",
        description="Each deposit, withdrawal, hold, release, trade and fee, with the balance "
        "after it. "
        "With `format=csv` (or `Accept: text/csv`) all that the filters let through comes as one "
        f"file, without pages: `{','.join(COLUMNS)}`. A text that a spreadsheet would compute has "
        "a ' in front. Somebody else's is 404, as if there were no such user.",
        parameters=[LedgerFilter],
        responses={
            (200, "application/json"): LedgerEntryOutput(many=True),
            (200, "text/csv"): OpenApiTypes.STR,
            **{(status, "application/json"): ErrorBody for status in (400, 401, 403, 404, 503)},
        },
        tags=["balances"],
    )
    def get(self, request: Request, user_id: int) -> HttpResponseBase:
        may_see = may_touch(request, user_id, "balances.view_ledgerentry")
        if not may_see or not get_user_model().objects.filter(pk=user_id).exists():
            raise UserNotFoundError(f"There is no user {user_id}.")
        asked = read_filter(LedgerFilter, request)
        if "order_id" in asked:
            asked["order_id"] = number_of(asked["order_id"], user_id)
        found = history.list_ledger(user_id=user_id, **asked)
        if wants_csv(request):
            return csv_response(found, COLUMNS, _cells, f"ledger-{user_id}")
        page = self.paginate_queryset(cast(Any, found))
        return self.get_paginated_response(LedgerEntryOutput(page, many=True).data)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response):
            answer_in_json(request)
        return super().finalize_response(request, response, *args, **kwargs)


def _cells(entry: Any) -> list[str]:
    """Write an entry as a line of the CSV; empty where the JSON has null."""
    row: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS if name != "asset"}
    row |= {name: format_amount(row[name]) for name in _AMOUNTS}
    row["asset"] = entry.asset_id
    row["created_at"] = entry.created_at.isoformat().replace("+00:00", "Z")
    row["note"] = safe_text(entry.note)
    return ["" if row[name] is None else str(row[name]) for name in COLUMNS]
