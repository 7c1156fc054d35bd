"""Array literals: what Postgres reads is what was meant. The exact text, without a server."""

from decimal import Decimal

import pytest

from exchange.arrays import array, columns


def test_elements_are_written_as_postgres_reads_them() -> None:
    assert array([1, -2, None]) == "{1,-2,NULL}"
    assert array([Decimal("1.50"), Decimal("0.000000000000000001")]) == "{1.50,1E-18}"
    assert array([True, False]) == "{True,False}"
    assert array(["ADA", "", "NULL"]) == '{"ADA","","NULL"}'
    assert array([]) == "{}"


def test_what_has_a_meaning_in_a_literal_is_escaped() -> None:
    assert array(['say "no"', "back\\slash", "a,b", "{}"]) == (
        '{"say \\"no\\"","back\\\\slash","a,b","{}"}'
    )


def test_a_float_is_refused() -> None:
    with pytest.raises(TypeError):
        array([0.1])  # type: ignore[list-item]


def test_columns_are_of_one_length() -> None:
    assert columns([(1, "a"), (2, "b")]) == ["{1,2}", '{"a","b"}']
    with pytest.raises(ValueError, match="zip"):
        columns([(1, "a"), (2,)])
