"""The admin pages of users and groups, and the front page.

An operator sees a user's money and orders on one page, and deposits or withdraws from there. Only
a superuser decides who may work in the admin.
"""

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from balances.admin import BalanceInline
from balances.models import LedgerEntry
from exchange import admin_transfers as transfers
from exchange.access import admin as api_keys_admin  # noqa: F401 - registers the page of API keys
from exchange.admin_base import OperatorAdmin, by_number, by_text, by_user
from exchange.admin_columns import admin_url, amount_column, time_column
from exchange.models import FEE_ACCOUNT_ID, FeeTier, User
from orders.admin import OrderInline
from orders.models import Order

if TYPE_CHECKING:
    DjangoUserAdminBase = DjangoUserAdmin[User]
else:
    DjangoUserAdminBase = DjangoUserAdmin

admin.site.index_template = "exchange/dashboard.html"
admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, OperatorAdmin):
    """What operators of a kind may do."""


@admin.register(FeeTier)
class FeeTierAdmin(OperatorAdmin):
    """What users of a kind pay at most. A change counts for orders that are placed after it."""

    list_display = ["name", amount_column("maker_rate"), amount_column("taker_rate")]
    search_fields = ["name"]
    fields = ["name", "maker_rate", "taker_rate"]

    def get_readonly_fields(self, request: HttpRequest, obj: FeeTier | None = None) -> list[str]:  # noqa: ARG002
        return [] if obj is None else ["name"]


@admin.register(User)
class UserAdmin(DjangoUserAdminBase, OperatorAdmin):
    """A trader or operator, with balances and latest orders."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = [
        "username",
        "id",
        "email",
        "is_active",
        "is_staff",
        time_column("date_joined"),
        time_column("last_login"),
    ]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]
    ordering = ["id"]
    search_help_text = "Username, user id, e-mail address"
    search_steps: ClassVar = (by_number("id"), by_user("id"), by_text("email"))
    fieldsets = [
        (None, {"fields": [("username", "is_active"), "fee_tier"]}),
        (
            "Person and password",
            {
                "classes": ["collapse"],
                "fields": [
                    *("password", "first_name", "last_name", "email"),
                    *("date_joined", "last_login"),
                ],
            },
        ),
        (
            "May work in the admin",
            {
                "classes": ["collapse"],
                "fields": ["is_staff", "is_superuser", "groups", "user_permissions"],
            },
        ),
    ]
    readonly_fields = ["date_joined", "last_login"]
    inlines = [BalanceInline, OrderInline]
    actions_detail = ["deposit", "withdraw", "all_orders", "whole_ledger"]

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return super().get_inlines(request, obj) if obj else []

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[Any]:
        fields = list(super().get_readonly_fields(request, obj))
        if not cast(User, request.user).is_superuser:
            fields += ["is_staff", "is_superuser", "groups", "user_permissions"]
        if not request.user.has_perm("exchange.change_feetier"):
            fields.append("fee_tier")
        return fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only a superuser changes somebody who works in the admin, the password included.

        Nobody changes the fee account: its money is withdrawn like a user's, and that is all.
        """
        if isinstance(obj, User) and obj.pk == FEE_ACCOUNT_ID:
            return False
        allowed = super().has_change_permission(request, obj)
        is_operator = isinstance(obj, User) and (obj.is_staff or obj.is_superuser)
        return allowed and (cast(User, request.user).is_superuser or not is_operator)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """The ledger names its users for ever: one who leaves is made inactive."""
        return False

    # Methods, not the permissions' names: unfold looks those up in the database while Django checks
    # the code, which is before the first migration has made the table.
    def has_transfer_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm(transfers.PERMISSION)

    def has_see_orders_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm("orders.view_order")

    def has_see_ledger_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm("balances.view_ledgerentry")

    def _deposit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._transfer(request, object_id, transfers.DEPOSIT)

    def _withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._transfer(request, object_id, transfers.WITHDRAW)

    def _all_orders(self, request: HttpRequest, object_id: str) -> HttpResponse:  # noqa: ARG002
        return redirect(admin_url(Order, "changelist", user=object_id))

    def _whole_ledger(self, request: HttpRequest, object_id: str) -> HttpResponse:  # noqa: ARG002
        return redirect(admin_url(LedgerEntry, "changelist", user=object_id))

    def _transfer(
        self, request: HttpRequest, object_id: str, transfer: transfers.Transfer
    ) -> HttpResponse:
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404(f"There is no user {object_id}.")
        if not self.has_view_permission(request, user):
            raise PermissionDenied
        return transfers.transfer_page(self, request, user, transfer)

    # unfold has no type information: its decorators are called, so that the methods keep theirs.
    deposit = action(
        description="Deposit",
        url_path="deposit",
        icon="add",
        permissions=["transfer"],
        variant=ActionVariant.PRIMARY,
    )(_deposit)
    withdraw = action(
        description="Withdraw",
        url_path="withdraw",
        icon="remove",
        permissions=["transfer"],
    )(_withdraw)
    all_orders = action(
        description="All orders",
        url_path="orders",
        icon="receipt_long",
        permissions=["see_orders"],
    )(_all_orders)
    whole_ledger = action(
        description="Ledger",
        url_path="ledger",
        icon="menu_book",
        permissions=["see_ledger"],
    )(_whole_ledger)
