"""What the admin pages of all apps share: read-only pages, searches and counts that stay cheap.

The tables of an exchange grow without end, and an operator's page must not hurt the orders that
come in meanwhile: a search asks indexes first, a count stops at a limit, nothing asks once per row.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from exchange.admin_columns import Column, column_for

if TYPE_CHECKING:  # unfold has no type information; its classes are Django's with another look
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin.views.main import ChangeList as AnyChangeList

    AnyModelAdmin = ModelAdmin[Any]
    AnyTabularInline = TabularInline[Any, Any]
    AnyPaginator = Paginator[Any]
else:
    from unfold.admin import ModelAdmin as AnyModelAdmin
    from unfold.admin import TabularInline as AnyTabularInline
    from unfold.views import ChangeList as AnyChangeList

    AnyPaginator = Paginator

SearchStep = Callable[[str], Q | None]
"""Says for a search term what to look for, or None when the term cannot mean that."""
MAX_BIGINT = 2**63 - 1
MAX_USERS_OF_A_SEARCH = 100


class BoundedPaginator(AnyPaginator):
    """Counts up to a limit: beyond it an operator searches, and does not leaf through."""

    limit = 10_000
    template_name = "exchange/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment] # the admin has no lists
        return rows[: self.limit].count()

    @property
    def is_cut(self) -> bool:
        return self.count >= self.limit


class BoundedChangeList(AnyChangeList):
    """A list that says "n of all" only when it has been narrowed."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class OperatorAdmin(AnyModelAdmin):
    """The base of every admin page.

    `search_steps`: what a search term may mean, the cheap and exact first; the first that finds
    something is the answer. `search_fields` only makes Django show the search box.
    """

    search_steps: ClassVar[Sequence[SearchStep]] = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they would count the whole table for each choice
    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AnyChangeList]:  # noqa: ARG002
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not self.search_steps:
            return super().get_search_results(request, queryset, term)
        if not term or "\x00" in term:
            return queryset, False
        for step in self.search_steps:
            wanted = step(term)
            if wanted is not None and queryset.filter(wanted).exists():
                return queryset.filter(wanted), False
        return queryset.none(), False


class ReadOnlyAdmin(OperatorAdmin):
    """What the engine or the ledger owns: to be looked at, by those who may."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:  # noqa: ARG002
        return [column_for(field) for field in self.opts.concrete_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class ReadOnlyInline(AnyTabularInline):
    """Rows that belong to the page's row, `per_page` at a time, to be looked at."""

    columns: ClassVar[Sequence[str | Column]]
    per_page = 20
    extra = 0
    max_num = 0
    can_delete = False
    hide_title = True

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:  # noqa: ARG002
        return list(self.columns)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class PickedFilter(SimpleListFilter):
    """Shows that a list is narrowed to one row of another table, and takes that away again.

    It is not a choice of all rows there: links of other pages set it.
    """

    model: ClassVar[type[models.Model]]
    fields: ClassVar[Sequence[str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:  # noqa: ARG002
        value = self.value()
        return [(value, self.describe(value))] if value else []

    def describe(self, value: str) -> str:
        return value

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(_any_of(self.fields, [value]))


class PickedUser(PickedFilter):
    title = "user"
    parameter_name = "user"
    fields = ("user_id",)

    def describe(self, value: str) -> str:
        user = get_user_model().objects.filter(pk=value).first() if value.isdecimal() else None
        return user.get_username() if user else f"#{value}"


def by_number(*fields: str) -> SearchStep:
    """Look for a row's own number, or another whole number."""

    def step(term: str) -> Q | None:
        if not (term.isascii() and term.isdecimal()) or int(term) > MAX_BIGINT:
            return None
        return _any_of(fields, [int(term)])

    return step


def by_text(*fields: str) -> SearchStep:
    """Look for a text as it is written."""
    return lambda term: _any_of(fields, [term])


def by_symbol(*fields: str) -> SearchStep:
    """Look for the symbol of an asset or market, in capitals or not."""
    return lambda term: _any_of(fields, [term.upper()])


def by_user(*fields: str) -> SearchStep:
    """Look for rows of the user with this name or, if there is none, with a name like it."""

    def step(term: str) -> Q | None:
        users = get_user_model().objects.order_by("pk").values_list("pk", flat=True)
        found = list(users.filter(username=term)) or list(
            users.filter(username__icontains=term)[:MAX_USERS_OF_A_SEARCH]
        )
        return _any_of(fields, found) if found else None

    return step


def _any_of(fields: Sequence[str], values: Sequence[Any]) -> Q:
    return Q(*((f"{field}__in", values) for field in fields), _connector=Q.OR)
