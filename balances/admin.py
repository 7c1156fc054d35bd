"""The admin pages of balances, ledger, trades and of the place on the log; all read-only.

Money moves only by the services: trades, the operator's deposit and withdrawal on the user's page
(`exchange.admin`), and what is decided of those that were asked for (`balances.transfers_admin`).
"""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from balances.models import (
    Balance,
    CacheTrust,
    Checkpoint,
    Decrement,
    LedgerEntry,
    LogEpoch,
    MarketHalt,
    PastHalt,
    Trade,
)
from balances.transfers_admin import TransferAdmin  # noqa: F401 - registers its page
from exchange.admin_base import (
    PickedFilter,
    PickedUser,
    ReadOnlyAdmin,
    ReadOnlyInline,
    by_number,
    by_symbol,
    by_text,
    by_user,
)
from exchange.admin_columns import (
    admin_url,
    amount_column,
    label_column,
    link,
    link_column,
    time_column,
)
from exchange.money import format_amount


@admin.display(description="total")
def total(balance: Balance) -> str:
    return format_amount(balance.total)


@admin.display(description="explained by")
def ledger_of_balance(balance: Balance) -> SafeString:
    query = {"user": balance.user_id, "asset__symbol__exact": balance.asset_id}
    return link(admin_url(LedgerEntry, "changelist", **query), "Ledger")


class LedgerOfOrder(PickedFilter):
    title = "order"
    parameter_name = "order"
    fields = ("order_id",)


class LedgerOfTransfer(PickedFilter):
    title = "transfer"
    parameter_name = "transfer"
    fields = ("transfer_id",)


class Transfers(SimpleListFilter):
    """What came in and went out: who did it, when and why."""

    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:  # noqa: ARG002
        return [("transfers", "deposits and withdrawals")]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[LedgerEntry],
    ) -> QuerySet[LedgerEntry]:
        if self.value() != "transfers":
            return queryset
        return queryset.filter(kind__in=[LedgerEntry.Kind.DEPOSIT, LedgerEntry.Kind.WITHDRAWAL])


class TradesOfOrder(PickedFilter):
    title = "order"
    parameter_name = "order"
    fields = ("buy_order_id", "sell_order_id")


@admin.register(Balance)
class BalanceAdmin(ReadOnlyAdmin):
    """What everybody has. It is adjusted on the user's page, by a deposit or a withdrawal."""

    list_display = [
        "id",
        link_column("user", text="username"),
        link_column("asset"),
        amount_column("available", sortable=False),
        amount_column("held", sortable=False),
        total,
        "version",
        ledger_of_balance,
    ]
    list_select_related = ["user"]
    list_filter = [PickedUser, "asset"]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = "Username or asset"
    search_steps: ClassVar = (by_symbol("asset_id"), by_user("user_id"))

    def get_fields(self, request: HttpRequest, obj: Balance | None = None) -> list[Any]:
        return [*super().get_fields(request, obj), total, ledger_of_balance]


class BalanceInline(ReadOnlyInline):
    """A user's balances on the user's page."""

    model = Balance
    ordering = ["asset_id"]
    per_page = 50
    columns: ClassVar = (
        link_column("asset"),
        amount_column("available"),
        amount_column("held"),
        total,
        ledger_of_balance,
    )


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """Why every balance is what it is."""

    list_display = [
        "id",
        link_column("user", text="username"),
        link_column("asset"),
        label_column(
            "kind",
            {"deposit": "success", "withdrawal": "danger", "trade": "info", "fee": "warning"},
        ),
        amount_column("available_change", title="available ±", sortable=False),
        amount_column("held_change", title="held ±", sortable=False),
        amount_column("available_after", title="available", sortable=False),
        amount_column("held_after", title="held", sortable=False),
        link_column("order"),
        "trade_id",
        link_column("transfer"),
        link_column("actor", text="username"),
        "note",
        time_column("created_at"),
    ]
    list_select_related = ["user", "actor"]
    list_filter = [
        PickedUser,
        LedgerOfOrder,
        LedgerOfTransfer,
        Transfers,
        "kind",
        "asset",
        "created_at",
    ]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = "Username, order id, entry id, whole note"
    search_steps: ClassVar = (
        by_number("order_id"),
        by_number("id"),
        by_user("user_id"),
        by_text("note"),
    )


@admin.register(Trade)
class TradeAdmin(ReadOnlyAdmin):
    """Settled fills."""

    list_display = [
        "id",
        link_column("market"),
        "trade_id",
        amount_column("price"),
        amount_column("quantity"),
        label_column("taker_side", {"buy": "success", "sell": "danger"}),
        amount_column("buyer_fee", sortable=False),
        amount_column("seller_fee", sortable=False),
        link_column("buyer", text="username"),
        link_column("seller", text="username"),
        link_column("buy_order"),
        link_column("sell_order"),
        time_column("executed_at"),
    ]
    list_select_related = ["buyer", "seller"]
    list_filter = [TradesOfOrder, "market", "taker_side", "executed_at"]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = "Order id, trade id, username"
    search_steps: ClassVar = (
        by_number("buy_order_id", "sell_order_id"),
        by_number("trade_id"),
        by_user("buyer_id", "seller_id"),
    )


@admin.register(Decrement)
class DecrementAdmin(ReadOnlyAdmin):
    """Prevented self-trades by which two orders of one user were reduced."""

    list_display = [
        "id",
        link_column("taker_order"),
        link_column("maker_order"),
        amount_column("quantity"),
    ]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = "Id, order id"
    search_steps: ClassVar = (by_number("id"), by_number("taker_order_id", "maker_order_id"))


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """How far each partition of the log has been settled."""

    list_display = [
        "partition",
        link_column("epoch"),
        "offset",
        "halted_reason",
        time_column("updated_at"),
    ]
    list_filter = ["epoch"]
    search_fields = ["halted_reason"]


@admin.register(LogEpoch)
class LogEpochAdmin(ReadOnlyAdmin):
    """The lives of the log."""

    list_display = [
        "number",
        "reason",
        "order_topic_id",
        "trade_topic_id",
        time_column("started_at"),
    ]
    search_fields = ["reason", "order_topic_id", "trade_topic_id"]


@admin.register(MarketHalt)
class MarketHaltAdmin(ReadOnlyAdmin):
    """Markets whose results are not settled any more, and from where on.

    `manage.py resume` ends a halt, once its cause is mended.
    """

    list_display = [
        link_column("market"),
        link_column("epoch"),
        "offset",
        "reason",
        time_column("halted_at"),
    ]
    list_display_links = ["offset"]
    search_fields = ["market__symbol", "reason"]


@admin.register(PastHalt)
class PastHaltAdmin(ReadOnlyAdmin):
    """Halts that were ended: what was left out of the settlement, why, and what was mended."""

    list_display = [
        "id",
        link_column("market"),
        "reason",
        "note",
        link_column("resumed_by", text="username"),
        time_column("halted_at"),
        time_column("resumed_at"),
    ]
    list_select_related = ["resumed_by"]
    search_fields = ["market__symbol", "reason", "note"]


@admin.register(CacheTrust)
class CacheTrustAdmin(ReadOnlyAdmin):
    """Whether the Redis cache is believed."""

    list_display = ["__str__", time_column("distrusted_at")]
