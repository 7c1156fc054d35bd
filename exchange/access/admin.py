"""The admin page of API keys: to look at, to revoke; a superuser makes service credentials.

A user's own keys are made by the user alone (`exchange.access.api`). A secret is shown on the page
that answers the form, and nowhere else.
"""

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from exchange.access import keys
from exchange.admin_base import PickedUser, ReadOnlyAdmin, by_number, by_text, by_user
from exchange.admin_columns import admin_url, link_column, time_column
from exchange.api.errors import ClientError
from exchange.form_tokens import issue_token, spend_token
from exchange.models import ApiKey, User


class PickedOwner(PickedUser):
    fields = ("owner_id",)


class ServiceCredentialForm(forms.Form):
    """What a service credential is for."""

    owner = forms.ModelChoiceField(
        User.objects.filter(is_active=True, is_staff=True).order_by("username"),
        widget=UnfoldAdminSelectWidget,
        help_text="Who answers for it. If they become inactive, it stops working.",
    )
    name = forms.CharField(
        max_length=50, widget=UnfoldAdminTextInputWidget, help_text="Which program it is for."
    )
    read = forms.BooleanField(
        required=False, initial=True, widget=UnfoldBooleanWidget,
        help_text="Look at every user's orders and balances.",
    )  # fmt: skip
    trade = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget,
        help_text="Place and cancel orders for every user.",
    )  # fmt: skip
    allowed_networks = forms.CharField(
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget,
        help_text="From where it may be used, one network a line: 203.0.113.0/24. Empty: from "
        "anywhere.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not (cleaned.get("read") or cleaned.get("trade")):
            self.add_error("read", "Choose read, trade, or both.")
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """All keys, the newest first; never a secret."""

    list_display = [
        "name",
        "public_id",
        link_column("owner", text="username"),
        "granted",
        time_column("created_at"),
        time_column("last_used_at"),
        time_column("revoked_at"),
    ]
    list_select_related = ["owner"]
    list_filter = [PickedOwner, "may_act_for_users", ("revoked_at", admin.EmptyFieldListFilter)]
    sortable_by = ["id"]
    search_fields = ["name"]
    search_help_text = "Id, key, owner, name"
    search_steps: ClassVar = (
        by_number("id"), by_text("public_id"), by_user("owner_id"), by_text("name"),
    )  # fmt: skip
    actions = ["revoke_selected"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Refuse to search the secrets: they could be guessed letter by letter."""
        return not lookup.startswith("sealed_secret") and super().lookup_allowed(
            lookup, value, request
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [field for field in super().get_fields(request, obj) if field != "sealed_secret"]

    @admin.display(description="scopes")
    def granted(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return cast(User, request.user).is_superuser

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("exchange.change_apikey")

    @admin.action(permissions=["revoke"], description="Revoke the selected keys")
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End each key at once, and for good."""
        for number in queryset.filter(revoked_at=None).values_list("pk", flat=True):
            key = keys.revoke_api_key(api_key_id=number, actor_id=request.user.pk)
            self.log_change(request, key, "Revoked.")
            self.message_user(request, f"Revoked {key}.", messages.SUCCESS)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Only the revocation: the site-wide actions write."""
        actions = super().get_actions(request)
        return {name: action for name, action in actions.items() if name == "revoke_selected"}

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None  # noqa: ARG002
    ) -> HttpResponse:  # fmt: skip
        """Show the form, or make the service credential and show its secret, once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ServiceCredentialForm(request.POST or None)
        made = _made(request, form) if request.method == "POST" and form.is_valid() else None
        if made is not None:
            self.log_addition(request, made.key, "Made as a service credential.")
        context = {
            **self.admin_site.each_context(request),
            "title": "New service credential",
            "opts": self.opts,
            "form": form,
            "form_token": issue_token(),
            "made": made,
            "back_url": admin_url(ApiKey, "changelist"),
        }
        return TemplateResponse(
            request,
            "exchange/service_credential.html",
            context,
            headers={"Cache-Control": "no-store"},
        )


def _made(request: HttpRequest, form: ServiceCredentialForm) -> keys.NewApiKey | None:
    """Make it once; what stands in the way is said in the form."""
    if not spend_token(request.POST.get("form_token", "")):
        form.add_error(
            None,
            "This form has been sent before, or is too old: look at the list. A credential whose "
            "secret you have not seen is of no use: revoke it. Then send the form again.",
        )
        return None
    data = form.cleaned_data
    scopes: list[keys.Scope] = []
    if data["read"]:
        scopes.append("read")
    if data["trade"]:
        scopes.append("trade")
    try:
        return keys.create_service_credential(
            owner_id=data["owner"].pk,
            name=data["name"],
            scopes=scopes,
            allowed_networks=data["allowed_networks"].split(),
            actor_id=request.user.pk,
        )
    except ClientError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return None
