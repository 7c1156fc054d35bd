"""The admin pages of assets, markets and orders.

Orders belong to the engine and are only looked at; an operator may ask for a cancel, which is the
same service as a client's. Of a market tick and lot size cannot be changed once it exists:
books and holds are counted in them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from balances.models import Checkpoint, LedgerEntry, MarketHalt, Trade
from exchange.admin_base import (
    OperatorAdmin,
    PickedUser,
    ReadOnlyAdmin,
    ReadOnlyInline,
    by_number,
    by_text,
    by_user,
)
from exchange.admin_columns import (
    EMPTY,
    admin_url,
    amount_column,
    label_column,
    link,
    link_column,
    time_column,
)
from exchange.api.errors import ClientError
from exchange.fields import AmountField
from exchange.kafka import partition_for
from exchange.money import format_amount
from orders import market_states, services
from orders.models import Amendment, Asset, DeadManSwitch, Market, MarketChange, Order

SIDE = label_column("side", {"buy": "success", "sell": "danger"})
STATUS = label_column(
    "status",
    {
        "pending": "warning",
        "untriggered": "warning",
        "open": "info",
        "partially_filled": "primary",
        "filled": "success",
        "rejected": "danger",
    },
)
STATE = label_column(
    "state",
    {"open": "success", "post_only": "info", "cancel_only": "warning", "halted": "danger"},
)


@admin.register(Asset)
class AssetAdmin(OperatorAdmin):
    """Assets can be made and named. What has been traded cannot be deleted or counted anew."""

    list_display = ["symbol", "name", "decimals"]
    search_fields = ["symbol", "name"]
    fields = ["symbol", "name", "decimals"]

    def get_readonly_fields(self, request: HttpRequest, obj: Asset | None = None) -> list[str]:  # noqa: ARG002
        return [] if obj is None else ["symbol", "decimals"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


if TYPE_CHECKING:
    _MarketModelForm = forms.ModelForm[Market]
else:
    _MarketModelForm = forms.ModelForm


class MarketForm(_MarketModelForm):
    """A change of state has a reason; a market whose settlement has stopped is not opened here."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        state = cleaned.get("state")
        is_new = self.instance.pk is None or self.instance._state.adding
        if is_new and state not in {Market.State.OPEN, Market.State.HALTED}:
            self.add_error("state", "A market is made open or halted.")
        if self.changes_state() if not is_new else state == Market.State.HALTED:
            if not (cleaned.get("state_reason") or "").strip():
                self.add_error("state_reason", "Say why: the reason is shown to everybody.")
            if state == Market.State.OPEN and (problem := _why_not_settled(self.instance)):
                self.add_error("state", problem)
        return cleaned

    def changes_state(self) -> bool:
        return bool({"state", "state_reason"} & {*self.changed_data})


def _why_not_settled(market: Market) -> str:
    halt = MarketHalt.objects.filter(pk=market.pk).first()
    if halt is not None:
        return (
            f"Its results are not settled from offset {halt.offset} on: {halt.reason}. Mend the "
            f"cause, then run: manage.py resume {market.pk}"
        )
    checkpoint = Checkpoint.objects.filter(pk=partition_for(market.base_id)).first()
    if checkpoint is not None and checkpoint.halted_reason:
        return (
            f"Partition {checkpoint.partition} is not settled: {checkpoint.halted_reason}. Mend "
            f"the cause, then run: manage.py resume {checkpoint.partition}"
        )
    return ""


@admin.register(Market)
class MarketAdmin(OperatorAdmin):
    """Markets can be made, halted and opened. Other changes are for orders placed after them."""

    form = MarketForm
    list_display = [
        "symbol",
        "base",
        "quote",
        amount_column("tick_size"),
        amount_column("lot_size"),
        amount_column("maker_fee_rate", title="maker fee"),
        amount_column("taker_fee_rate", title="taker fee"),
        STATE,
        "state_reason",
    ]
    list_select_related = ["base", "quote"]
    list_filter = ["state", "quote"]
    search_fields = ["symbol", "base__name"]
    fixed = ("symbol", "base", "quote", "tick_size", "lot_size")
    rules = (
        "min_quantity", "max_quantity", "min_notional", "price_band", "maker_fee_rate",
        "taker_fee_rate",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Market | None = None) -> list[Any]:  # noqa: ARG002
        shown = self.fixed if obj is None else _FIXED_SHOWN
        return [*shown, *self.rules, "state", "state_reason"]

    def get_readonly_fields(self, request: HttpRequest, obj: Market | None = None) -> list[Any]:  # noqa: ARG002
        return [] if obj is None else list(_FIXED_SHOWN)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(db_field, AmountField) and field is not None:
            # A number input of the browser knows steps, but no 18 decimals.
            field.widget.input_type = "text"
        return field

    def save_model(self, request: HttpRequest, obj: Market, form: Any, change: bool) -> None:
        """Write only what was changed, and order a change of state: the log has to confirm it."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        if changed := [name for name in form.changed_data if name in self.rules]:
            obj.save(update_fields=changed)
        if form.changes_state():
            ordered = market_states.change_state(
                market=obj.pk, state=obj.state, reason=obj.state_reason, actor_id=request.user.pk
            )
            self.log_change(request, obj, f"Ordered {ordered.state}: {ordered.reason}")
            self.message_user(
                request, f"{obj.pk} is to be {ordered.state}: the log confirms.", messages.INFO
            )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(MarketChange)
class MarketChangeAdmin(ReadOnlyAdmin):
    """Who has ordered which state of a market, when and why; and since when it is so."""

    list_display = [
        "id",
        link_column("market"),
        STATE,
        "reason",
        link_column("actor", text="username"),
        time_column("requested_at"),
        time_column("applied_at"),
    ]
    list_select_related = ["actor"]
    list_filter = ["market", "state"]
    sortable_by = ["id"]
    search_fields = ["market__symbol", "reason"]


_FIXED_SHOWN: Sequence[Any] = (
    "symbol",
    "base",
    "quote",
    amount_column("tick_size"),
    amount_column("lot_size"),
)


class AmendmentInline(ReadOnlyInline):
    """An order's latest amendments on its page."""

    model = Amendment
    verbose_name_plural = "latest amendments"
    ordering = ["-id"]
    columns: ClassVar = (
        "id",
        amount_column("price"),
        amount_column("quantity"),
        amount_column("price_before"),
        amount_column("quantity_before"),
        label_column("status", {"waiting": "warning", "applied": "success", "refused": "danger"}),
        "reason",
        time_column("requested_at"),
        time_column("settled_at"),
    )


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders, newest first, and a way to ask for their cancel."""

    list_display = [
        "id",
        link_column("user", text="username"),
        link_column("market"),
        SIDE,
        "order_type",
        amount_column("price"),
        amount_column("stop_price", title="stop"),
        amount_column("quantity"),
        amount_column("filled_quantity", title="filled"),
        STATUS,
        "wants_cancel",
        time_column("created_at"),
    ]
    list_select_related = ["user"]
    list_filter = [PickedUser, "status", "side", "order_type", "market", "created_at"]
    sortable_by = ["id"]  # the only order that an index has
    search_fields = ["id"]
    search_help_text = "Id, username, client order id, request id"
    search_steps: ClassVar = (
        by_number("id"),
        by_user("user_id"),
        by_text("client_order_id"),
        by_text("request_id"),
    )
    inlines = [AmendmentInline]
    actions = ["cancel_selected"]
    max_canceled_at_once = 200

    def get_fields(self, request: HttpRequest, obj: Order | None = None) -> list[Any]:
        return [*super().get_fields(request, obj), "consequences"]

    @admin.display(description="cancel asked")
    def wants_cancel(self, order: Order) -> str:
        return "yes" if order.cancel_requested_at else EMPTY

    @admin.display(description="what came of it")
    def consequences(self, order: Order) -> SafeString:
        return format_html(
            "{} · {}",
            link(admin_url(LedgerEntry, "changelist", order=order.pk), "Ledger entries"),
            link(admin_url(Trade, "changelist", order=order.pk), "Trades"),
        )

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(permissions=["cancel"], description="Cancel the selected orders")
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Order]) -> None:
        """Ask for each order's cancel, and say for each what came of it."""
        numbers = list(queryset.values_list("pk", flat=True)[: self.max_canceled_at_once + 1])
        if len(numbers) > self.max_canceled_at_once:
            limit = self.max_canceled_at_once
            self.message_user(request, f"Select at most {limit} orders.", messages.ERROR)
            return
        asked = []
        for number in sorted(numbers):
            try:
                order = services.request_cancel(order_id=number)
            except ClientError as refusal:
                self.message_user(request, f"Order {number}: {refusal.message}", messages.ERROR)
            else:
                self.log_change(request, order, "Asked for a cancel.")
                asked.append(str(number))
        if asked:
            text = f"Cancel asked for: order {', '.join(asked)}. The engine confirms."
            self.message_user(request, text, messages.SUCCESS)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Only the cancel: the site-wide actions write."""
        actions = super().get_actions(request)
        return {name: action for name, action in actions.items() if name == "cancel_selected"}


@admin.register(DeadManSwitch)
class DeadManSwitchAdmin(ReadOnlyAdmin):
    """Who has a dead-man switch, until when, and what came of it."""

    list_display = [
        link_column("user", text="username"),
        "timeout_seconds",
        time_column("expires_at"),
        time_column("fired_at"),
        "last_order_id",
        "canceling",
    ]
    list_select_related = ["user"]
    list_filter = [PickedUser, "canceling"]
    search_fields = ["user__username"]
    search_help_text = "Username"
    search_steps: ClassVar = (by_user("user_id"),)


class OrderInline(ReadOnlyInline):
    """A user's latest orders on the user's page."""

    model = Order
    verbose_name_plural = "latest orders"
    ordering = ["-id"]
    columns: ClassVar = (
        "number",
        link_column("market"),
        SIDE,
        amount_column("price"),
        amount_column("quantity"),
        amount_column("filled_quantity", title="filled"),
        "value",
        STATUS,
        time_column("created_at"),
    )

    @admin.display(description="id")
    def number(self, order: Order) -> SafeString:
        return link(admin_url(Order, "change", order.pk), order.pk)

    @admin.display(description="filled, in quote")
    def value(self, order: Order) -> str:
        return format_amount(order.filled_quote)
