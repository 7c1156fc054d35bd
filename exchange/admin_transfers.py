"""The operator's deposit and withdrawal: the only way in the admin by which money moves.

The form asks; `balances.services` decides, moves the money and writes the ledger, with the
operator and the note in the entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from balances import services
from balances.models import Balance
from exchange.admin_base import OperatorAdmin
from exchange.admin_columns import admin_url
from exchange.api.errors import ClientError
from exchange.form_tokens import issue_token, spend_token
from exchange.models import User
from exchange.money import DECIMAL_PLACES, MAX_DIGITS, format_amount
from orders.models import Asset

PERMISSION = "balances.change_balance"


@dataclass(frozen=True)
class Transfer:
    """One of the two directions, and how to speak of it."""

    verb: str
    preposition: str
    done: str
    carry_out: Callable[..., None]


DEPOSIT = Transfer("Deposit", "for", "Deposited", services.deposit)
WITHDRAW = Transfer("Withdraw", "from", "Withdrew", services.withdraw)


class TransferForm(forms.Form):
    """What to move, how much of it, and why."""

    asset = forms.ModelChoiceField(
        Asset.objects.order_by("symbol"), widget=UnfoldAdminSelectWidget, empty_label="Select asset"
    )
    amount = forms.DecimalField(
        max_digits=MAX_DIGITS,
        decimal_places=DECIMAL_PLACES,
        # A number input of the browser would go through a float.
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    note = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why; it stays in the ledger, with your name. The user reads the note.",
    )


def transfer_page(
    admin: OperatorAdmin, request: HttpRequest, user: User, transfer: Transfer
) -> HttpResponse:
    """Show the form, or carry it out and return to the user's page."""
    form = TransferForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _carried_out(request, user, transfer, form):
        data = form.cleaned_data
        what = f"{transfer.done} {format_amount(data['amount'])} {data['asset'].pk}"
        admin.log_change(request, user, f"{what}: {data['note']}")
        messages.success(request, f"{what}.")
        return redirect(admin_url(User, "change", user.pk))
    context = {
        **admin.admin_site.each_context(request),
        "title": f"{transfer.verb} {transfer.preposition} {user.get_username()}",
        "opts": admin.opts,
        "original": user,
        "form": form,
        "form_token": issue_token(),
        "verb": transfer.verb,
        "back_url": admin_url(User, "change", user.pk),
        "balances": {"headers": ["Asset", "Available", "Held"], "rows": _balances_of(user)},
    }
    return TemplateResponse(request, "exchange/transfer.html", context)


def _carried_out(request: HttpRequest, user: User, transfer: Transfer, form: TransferForm) -> bool:
    """Do it once; what stands in the way is said in the form."""
    if not spend_token(request.POST.get("form_token", "")):
        form.add_error(
            None,
            "This form has been sent before, or is too old: look at the ledger whether it was "
            "carried out. If it was not, send it again.",
        )
        return False
    data = form.cleaned_data
    try:
        transfer.carry_out(
            user_id=user.pk,
            asset=data["asset"].pk,
            amount=data["amount"],
            actor_id=request.user.pk,
            note=data["note"],
        )
    except ClientError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return False
    return True


def _balances_of(user: User) -> Sequence[Sequence[str]]:
    rows = Balance.objects.filter(user=user).order_by("asset_id")
    return [(row.asset_id, format_amount(row.available), format_amount(row.held)) for row in rows]
