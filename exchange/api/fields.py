"""Serializer fields that take what was sent exactly as it was sent, or refuse it.

DRF's own are generous: `int("1_0")` is ten, `Decimal(" 1 ")` is one, a refused choice is echoed
whatever it holds. Where money is concerned, what is not written plainly is refused.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from exchange.money import DECIMAL_PLACES, MAX_DIGITS, format_amount

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?")
_WHOLE_DIGITS = MAX_DIGITS - DECIMAL_PLACES


class AmountField(serializers.DecimalField):
    """An exact amount: a number or a string on the way in, a plain decimal string on the way out.

    In JSON numbers every digit counts as it was sent (see `ExactJSONParser`).
    """

    default_error_messages = {
        "invalid": 'Give a plain decimal number, for example 1.9 or "1.9".',
        "max_decimal_places": f"Give at most {DECIMAL_PLACES} digits after the point.",
        "max_whole_digits": f"Give at most {_WHOLE_DIGITS} digits before the point.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        is_number = isinstance(data, int | Decimal) and not isinstance(data, bool)
        if not is_number and not (isinstance(data, str) and _NUMBER.fullmatch(data)):
            self.fail("invalid")
        amount = Decimal(data)
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int), "neither JSON nor _NUMBER has NaN or infinity"
        if exponent < -DECIMAL_PLACES:
            self.fail("max_decimal_places")
        if amount.adjusted() >= _WHOLE_DIGITS:
            self.fail("max_whole_digits")
        return amount

    def to_representation(self, value: Decimal | str) -> str:
        return format_amount(Decimal(value))


_LIMIT = 10**_WHOLE_DIGITS
_AMOUNT_AS_TEXT = {"type": "string", "format": "decimal", "pattern": f"^{_NUMBER.pattern}$"}
_AMOUNT_AS_NUMBER = {
    "type": "number",
    "minimum": -_LIMIT,
    "exclusiveMinimum": True,
    "maximum": _LIMIT,
    "exclusiveMaximum": True,
}


@extend_schema_field({"oneOf": [_AMOUNT_AS_TEXT, _AMOUNT_AS_NUMBER]})
class AmountInputField(AmountField):
    """An amount that only comes in: in the schema it may be a number, too.

    The schema has no words for the digits of a number with an exponent; the description has.
    """

    def __init__(self, **kwargs: Any) -> None:
        digits = f"At most {_WHOLE_DIGITS} digits before the point, {DECIMAL_PLACES} after it."
        kwargs["help_text"] = f"{kwargs.get('help_text', '')} {digits}".strip()
        super().__init__(**kwargs)


@extend_schema_field({"type": "string", "format": "decimal"})
class TotalField(serializers.Field[Decimal, Any, str, Any]):
    """A sum of amounts, which only goes out: a plain decimal string of any size."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Decimal) -> str:
        return format_amount(value)


_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field[datetime, Any, datetime, Any]):
    """A point in time that only comes in, with its offset from UTC: none is guessed."""

    default_error_messages = {
        "invalid": "Give a time with its offset from UTC, for example 2026-01-31T12:00:00Z."
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not _MOMENT.fullmatch(data):
            self.fail("invalid")
        try:
            return datetime.fromisoformat(data.upper()).astimezone(UTC)
        except (ValueError, OverflowError):  # no such day, or before the year 1
            self.fail("invalid")


class PlainTextField(serializers.RegexField):
    """Text of a given form; a number is not text. DRF would take 0 for "0"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class WholeNumberField(serializers.IntegerField):
    """A whole number in plain digits, as a number or a string."""

    default_error_messages = {"invalid": "Give a whole number in plain digits, for example 1."}

    def to_internal_value(self, data: Any) -> int:
        is_number = isinstance(data, int) and not isinstance(data, bool)
        if not is_number and not (isinstance(data, str) and re.fullmatch(r"-?[0-9]{1,40}", data)):
            self.fail("invalid")
        return int(data)


class TrueOrFalseField(serializers.BooleanField):
    """JSON's true or false. DRF would take "yes", "on" and 1 for true."""

    default_error_messages = {"invalid": "Give true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class NameField(serializers.ChoiceField):
    """One of a few names, exactly as written; a refusal lists them and does not echo the input."""

    default_error_messages = {"invalid_choice": "Give one of: {names}."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", names=", ".join(str(name) for name in self.choices))
        return data
