"""Serializer fields for money."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from exchange.money import DECIMAL_PLACES, MAX_DIGITS, format_amount


class AmountField(serializers.DecimalField):
    """An exact amount: a number or a string on the way in, a plain decimal string on the way out.

    In JSON numbers every digit counts as it was sent (see `ExactJSONParser`).
    """

    default_error_messages = {
        "invalid": 'Give a plain decimal number, for example 1.9 or "1.9".',
        "max_digits": "The number has too many digits.",
        "max_decimal_places": f"Give at most {DECIMAL_PLACES} digits after the point.",
        "max_whole_digits": "The number is too large.",
        "not_a_number": "NaN and infinity are not amounts.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool) or not isinstance(data, int | str | Decimal):
            self.fail("invalid")
        return super().to_internal_value(data)

    def to_representation(self, value: Decimal | str) -> str:
        return format_amount(Decimal(value))
