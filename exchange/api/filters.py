"""What lists are narrowed by: a span of time, one or several names. Anything else is refused."""

import re
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
STORABLE = r"^[^\x00]+\Z"
"""Any text that Postgres takes: a name that is none is looked up, and nothing found."""


@extend_schema_field({"type": "string", "format": "date-time"})
class TimeField(serializers.Field[datetime, Any, str, Any]):
    """A moment as ISO 8601 with its offset from UTC, as every answer writes it."""

    default_error_messages = {
        "invalid": "Give a time with its offset from UTC, for example 2026-01-31T12:00:00Z "
        "(in an address a + is written %2B)."
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not _TIME.fullmatch(data):
            self.fail("invalid")
        try:
            return datetime.fromisoformat(data.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # the 31st of February; a year before the first
            self.fail("invalid")

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


class NamesField(serializers.Field[list[str], Any, list[str], Any]):
    """One or several of a few names: given more than once, or with commas between them."""

    default_error_messages = {"invalid_choice": "Give one or several of: {names}."}

    def __init__(self, names: list[str], **kwargs: Any) -> None:
        self._names = names
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        given = [name for text in data for name in text.split(",")]
        if not given or not set(given) <= set(self._names):
            self.fail("invalid_choice", names=", ".join(self._names))
        return sorted(set(given))

    def to_representation(self, value: list[str]) -> list[str]:
        return value


def names_field(names: list[str], help_text: str) -> NamesField:
    """Return an optional `NamesField` that the schema shows as an array of `names`."""

    @extend_schema_field({"type": "array", "items": {"type": "string", "enum": names}})
    class Field(NamesField):
        """A class of its own: the schema is remembered with the class."""

    return Field(
        names,
        required=False,
        help_text=f"{help_text} Several: given more than once, or with commas between them.",
    )


class PeriodFilter(serializers.Serializer[Any]):
    """A span of time, as `since` and `until` in the validated data."""

    to = TimeField(required=False, source="until", help_text="Before this time.")

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python does not allow as a name in the class."""
        begin = TimeField(required=False, source="since", help_text="At this time or later.")
        return {**super().get_fields(), "from": begin}


def read_filter(filter_class: type[serializers.Serializer[Any]], request: Request) -> Any:
    """Return the validated filter of a request's query.

    Raises:
        ValidationError: something in it makes no sense.
    """
    given: dict[str, Any] = request.query_params.dict()
    for name, field in filter_class().fields.items():
        if isinstance(field, NamesField) and name in given:
            given[name] = request.query_params.getlist(name)
    wanted = filter_class(data=given)
    wanted.is_valid(raise_exception=True)
    return wanted.validated_data
