"""Amounts: written plainly, counted in whole units, multiplied without a rounding."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, getcontext
from threading import Thread

import pytest

from exchange.money import DECIMAL_PLACES, MAX_AMOUNT, MAX_DIGITS, format_amount, to_units

LONG = Decimal("12345678901234567890.123456789012345678")
"""As many digits as a column holds."""


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000000000000000000", "0"),
        ("-0.00", "0"),
        ("0E+3", "0"),
        ("0E-18", "0"),
        ("981", "981"),
        ("981.000", "981"),
        ("17.10", "17.1"),
        ("100", "100"),
        ("1E+2", "100"),
        ("1E-5", "0.00001"),
        ("1E-18", "0.000000000000000001"),
        ("-1.50", "-1.5"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
def test_an_amount_is_written_plainly(amount: str, written: str) -> None:
    assert format_amount(Decimal(amount)) == written
    assert Decimal(written) == Decimal(amount)


def test_the_largest_amount_is_what_a_column_holds() -> None:
    assert format_amount(MAX_AMOUNT) == "9" * 20 + "." + "9" * 18
    assert len(MAX_AMOUNT.as_tuple().digits) == MAX_DIGITS
    assert MAX_AMOUNT.as_tuple().exponent == -DECIMAL_PLACES


@pytest.mark.parametrize(
    ("amount", "unit", "units"),
    [
        ("1.9", "0.0001", 19_000),
        ("1.9", "0.1", 19),
        ("10", "0.01", 1_000),
        ("10", "2.5", 4),
        ("0", "0.01", 0),
        ("0.000000000000000001", "0.000000000000000001", 1),
        (str(MAX_AMOUNT), "0.000000000000000001", 10**38 - 1),
    ],
)
def test_an_amount_is_a_whole_number_of_units(amount: str, unit: str, units: int) -> None:
    assert to_units(Decimal(amount), Decimal(unit)) == units


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        ("1.95", "0.1"),
        ("0.00005", "0.0001"),
        ("1", "3"),
        (str(MAX_AMOUNT), "10"),
        ("99999999999999999999.000000000000000001", "1"),
    ],
)
def test_an_amount_between_two_units_is_refused(amount: str, unit: str) -> None:
    with pytest.raises(ValueError, match="is not a multiple of"):
        to_units(Decimal(amount), Decimal(unit))


def _product_is_exact() -> bool:
    product = LONG * LONG
    digits = int("12345678901234567890123456789012345678")
    return product == Decimal(digits * digits).scaleb(-2 * DECIMAL_PLACES)


def test_a_product_of_two_amounts_is_exact() -> None:
    assert _product_is_exact()


def test_a_product_is_exact_in_threads_that_started_later() -> None:
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: _product_is_exact(), range(4))) == [True] * 4


def test_every_later_thread_computes_with_enough_digits() -> None:
    found: list[int] = []
    thread = Thread(target=lambda: found.append(getcontext().prec))
    thread.start()
    thread.join()
    assert found == [getcontext().prec]
    assert found[0] >= 2 * MAX_DIGITS


def test_a_sum_of_very_many_amounts_is_exact() -> None:
    assert sum([MAX_AMOUNT] * 1_000) == MAX_AMOUNT * 1_000
    assert format_amount(sum([Decimal("0.1")] * 10, Decimal(0))) == "1"
