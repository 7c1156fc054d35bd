"""A price band: all prices on the tick within a share of the last trade, and no others."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.money import MAX_AMOUNT
from orders.bands import band_around


@given(
    last=st.integers(1, 10**30),
    share=st.decimals("0.00000001", "0.99999999", places=8),
    tick=st.sampled_from([Decimal("0.0001"), Decimal("0.05"), Decimal(1), Decimal(25)]),
)
def test_no_price_in_it_is_beyond_the_share_and_the_next_one_is(
    last: int, share: Decimal, tick: Decimal
) -> None:
    price = min(last * tick, MAX_AMOUNT - MAX_AMOUNT % tick)
    band = band_around(price, share, tick)
    assert band.lowest % tick == band.highest % tick == 0
    assert 0 < band.lowest <= price <= band.highest

    def is_beyond(other: Decimal) -> bool:
        return abs(Fraction(other) / Fraction(price) - 1) > Fraction(share)

    assert not is_beyond(band.lowest)
    assert not is_beyond(band.highest)
    assert is_beyond(band.lowest - tick)
    assert is_beyond(band.highest + tick) or band.highest + tick > MAX_AMOUNT


@pytest.mark.parametrize(
    ("last", "share", "lowest", "highest"),
    [("1.9", "0.1", "1.71", "2.09"), ("3", "0.33333333", "2.0001", "3.9999"), ("0.0001", "0.5", "0.0001", "0.0001")],
)  # fmt: skip
def test_some_bands(last: str, share: str, lowest: str, highest: str) -> None:
    band = band_around(Decimal(last), Decimal(share), Decimal("0.0001"))
    assert band == (Decimal(lowest), Decimal(highest))
