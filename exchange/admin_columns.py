"""Columns of the admin: amounts without trailing zeros, exact times, coloured labels, links.

Each function makes a column that works both in a list and as a read-only field of a page. A
column must never ask the database for what the list has not already loaded.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.contrib.admin import display
from django.db import models
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from exchange.fields import AmountField
from exchange.money import format_amount

EMPTY = "-"

Column = Callable[[Any], str]
"""What the admin calls with each row."""


def column_for(field: "models.Field[Any, Any]") -> str | Column:
    """Return how to show `field` on a read-only page: its name, or a column for it."""
    if isinstance(field, AmountField):
        return amount_column(field.name)
    if isinstance(field, models.DateTimeField):
        return time_column(field.name)
    return field.name


@cache
def amount_column(name: str, *, title: str = "", sortable: bool = True) -> Column:
    """Show the amount `name` plainly: "17.1", not "17.100000000000000000"."""

    def column(row: Any) -> str:
        value: Decimal | None = getattr(row, name)
        return EMPTY if value is None else format_amount(value)

    return _titled(column, name, title, sortable=sortable)


@cache
def time_column(name: str, *, title: str = "", sortable: bool = True) -> Column:
    """Show the time `name` in UTC with milliseconds: orders are that close together."""

    def column(row: Any) -> str:
        value: datetime | None = getattr(row, name)
        if value is None:
            return EMPTY
        text = value.astimezone(UTC).strftime("%F %T.%f")[:-3]
        return format_html('<span class="whitespace-nowrap">{}</span>', text)

    return _titled(column, name, title or f"{_words(name)} (UTC)", sortable=sortable)


def label_column(name: str, colours: Mapping[str, str], *, title: str = "") -> Column:
    """Show the choice `name` as a label; `colours`: info, success, warning or danger by value."""

    def column(row: Any) -> SafeString:
        value: str = getattr(row, name)
        context = {"type": colours.get(value, ""), "text": _words(value)}
        # Made by a template, which escapes.
        return mark_safe(render_to_string("unfold/helpers/label.html", context))  # noqa: S308

    return _titled(column, name, title)


@cache
def link_column(name: str, *, title: str = "", text: str = "pk") -> Column:
    """Link to the page of the row's foreign key `name`.

    `text`: what to show of it. The key itself needs no join; anything else needs the list to
    select the related row.
    """

    def column(row: Any) -> str:
        key = getattr(row, f"{name}_id")
        if key is None:
            return EMPTY
        shown = key if text == "pk" else getattr(getattr(row, name), text)
        return link(admin_url(row._meta.get_field(name).related_model, "change", key), shown)

    return _titled(column, name, title)


def admin_url(model: type[models.Model], page: str, *arguments: Any, **query: Any) -> str:
    """Return the address of a page of `model` in the admin: changelist, change, …"""
    opts = model._meta
    query = {key: str(value) for key, value in query.items()}
    return reverse(
        f"admin:{opts.app_label}_{opts.model_name}_{page}", args=arguments, query=query or None
    )


def link(url: str, text: object) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def _titled(
    column: Callable[[Any], str], name: str, title: str, *, sortable: bool = True
) -> Column:
    column.__name__ = name
    decorate = display(description=title or _words(name), ordering=name if sortable else None)
    return decorate(column)


def _words(name: str) -> str:
    return name.replace("_", " ")
