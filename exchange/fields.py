"""The one column type for money."""

from typing import Any

from django.db import models

from exchange.money import DECIMAL_PLACES, MAX_DIGITS


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """NUMERIC(38, 18): any amount, price or quantity, exactly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", MAX_DIGITS)
        kwargs.setdefault("decimal_places", DECIMAL_PLACES)
        super().__init__(*args, **kwargs)
