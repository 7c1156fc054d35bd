"""The admin page of requested deposits and withdrawals, where they are approved or rejected.

The form asks for the reason and says what will happen; `balances.transfers` decides, once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from balances import transfers
from balances.models import Balance, LedgerEntry, Transfer
from exchange.admin_base import PickedUser, ReadOnlyAdmin, by_number, by_text, by_user
from exchange.admin_columns import (
    admin_url,
    amount_column,
    label_column,
    link,
    link_column,
    time_column,
)
from exchange.api.errors import ClientError
from exchange.form_tokens import issue_token, spend_token
from exchange.money import format_amount

PERMISSION = "balances.change_transfer"


@dataclass(frozen=True)
class Decision:
    """One of the two, and how to speak of it."""

    verb: str
    done: str
    carry_out: Callable[..., Transfer]


APPROVE = Decision("Approve", "Approved", transfers.approve_transfer)
REJECT = Decision("Reject", "Rejected", transfers.reject_transfer)


class DecisionForm(forms.Form):
    """Why it is decided so."""

    note = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why; it stays with the request, with your name, and the user reads it.",
    )


@admin.display(description="what came of it")
def ledger_of_transfer(transfer: Transfer) -> SafeString:
    return link(admin_url(LedgerEntry, "changelist", transfer=transfer.pk), "Ledger entries")


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    """Deposits and withdrawals that users have asked for."""

    list_display = [
        "id",
        link_column("user", text="username"),
        label_column("kind", {"deposit": "success", "withdrawal": "danger"}),
        amount_column("amount", sortable=False),
        link_column("asset"),
        label_column("status", {"requested": "warning", "approved": "success"}),
        "external_reference",
        time_column("requested_at"),
        link_column("decided_by", text="username"),
        time_column("decided_at"),
        "note",
    ]
    list_select_related = ["user", "decided_by"]
    list_filter = [PickedUser, "status", "kind", "asset", "requested_at"]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = "Id, username, external reference"
    search_steps: ClassVar = (
        by_number("id"),
        by_user("user_id"),
        by_text("external_reference"),
    )
    actions_detail = ["approve", "reject"]

    def get_fields(self, request: HttpRequest, obj: Transfer | None = None) -> list[Any]:
        return [*super().get_fields(request, obj), ledger_of_transfer]

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm(PERMISSION)

    def _approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, APPROVE)

    def _reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._decide(request, object_id, REJECT)

    def _decide(self, request: HttpRequest, object_id: str, decision: Decision) -> HttpResponse:
        transfer = self.get_object(request, object_id)
        if transfer is None or not self.has_view_permission(request, transfer):
            raise Http404(f"There is no transfer {object_id}.")
        return decision_page(self, request, transfer, decision)

    # unfold has no type information: its decorators are called, so that the methods keep theirs.
    approve = action(
        description="Approve",
        url_path="approve",
        icon="check",
        permissions=["decide"],
        variant=ActionVariant.PRIMARY,
    )(_approve)
    reject = action(
        description="Reject",
        url_path="reject",
        icon="close",
        permissions=["decide"],
    )(_reject)


def decision_page(
    model_admin: ReadOnlyAdmin, request: HttpRequest, transfer: Transfer, decision: Decision
) -> HttpResponse:
    """Ask for the reason and show what is decided; or carry it out and return to its page."""
    form = DecisionForm(request.POST or None)
    back = admin_url(Transfer, "change", transfer.pk)
    if request.method == "POST" and form.is_valid() and _decided(request, transfer, decision, form):
        text = f"{decision.done}: {form.cleaned_data['note']}"
        model_admin.log_change(request, transfer, text)
        messages.success(request, f"{decision.done} the {_described(transfer)}.")
        return redirect(back)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{decision.verb} the {_described(transfer)}",
        "opts": model_admin.opts,
        "original": transfer,
        "form": form,
        "form_token": issue_token(),
        "verb": decision.verb,
        "back_url": back,
        "balances": {"headers": ["Asset", "Available", "Held"], "rows": _balance_of(transfer)},
    }
    return TemplateResponse(request, "exchange/transfer.html", context)


def _decided(
    request: HttpRequest, transfer: Transfer, decision: Decision, form: DecisionForm
) -> bool:
    """Do it once; what stands in the way is said in the form."""
    if not spend_token(request.POST.get("form_token", "")):
        form.add_error(
            None, "This form has been sent before, or is too old: look at what became of it."
        )
        return False
    note = form.cleaned_data["note"]
    try:
        decision.carry_out(transfer_id=transfer.pk, actor_id=request.user.pk, note=note)
    except ClientError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return False
    return True


def _described(transfer: Transfer) -> str:
    amount = f"{format_amount(transfer.amount)} {transfer.asset_id}"
    whose = f"user {transfer.user.get_username()}"
    return f"{transfer.kind} of {amount}, {whose}, {transfer.external_reference}"


def _balance_of(transfer: Transfer) -> list[tuple[str, str, str]]:
    rows = Balance.objects.filter(user_id=transfer.user_id, asset_id=transfer.asset_id)
    return [(row.asset_id, format_amount(row.available), format_amount(row.held)) for row in rows]
