"""The one column type for money, and that of the rates which take a share of it."""

from typing import Any

from django.db import models

from exchange.money import DECIMAL_PLACES, MAX_DIGITS


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """NUMERIC(38, 18): any amount, price or quantity, exactly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", MAX_DIGITS)
        kwargs.setdefault("decimal_places", DECIMAL_PLACES)
        super().__init__(*args, **kwargs)


class RateField(AmountField):
    """NUMERIC(9, 8): a share of an amount, such as a fee; 0.001 is one in a thousand."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 9)
        kwargs.setdefault("decimal_places", 8)
        super().__init__(*args, **kwargs)
