"""Amounts: exact decimals, and how they are written.

An amount is a `Decimal` here, NUMERIC in Postgres, a decimal string in JSON and on the log, and
a plain integer (ticks, lots) inside the engine. It is never a float, also not on the way in.
"""

import decimal
from decimal import Decimal

# The default context rounds to 28 digits in silence; amounts have 38, products of two 76.
# DefaultContext is what every later thread starts with, setcontext is for this one.
decimal.DefaultContext.prec = 100
decimal.setcontext(decimal.DefaultContext)

MAX_DIGITS = 38
DECIMAL_PLACES = 18
MAX_AMOUNT = Decimal(10) ** (MAX_DIGITS - DECIMAL_PLACES) - Decimal(10) ** -DECIMAL_PLACES
"""The largest amount a NUMERIC(38, 18) column holds."""


def format_amount(amount: Decimal) -> str:
    """Write `amount` plainly: no exponent, no trailing zeros ("981", "17.1", "0.00001")."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def to_units(amount: Decimal, unit: Decimal) -> int:
    """Return `amount` as a whole number of `unit` (ticks of a price, lots of a quantity).

    Raises:
        ValueError: it is not a whole number of units.
    """
    units, remainder = divmod(amount, unit)
    if remainder:
        raise ValueError(f"{amount} is not a multiple of {unit}")
    return int(units)
