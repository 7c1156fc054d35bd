"""The price band of a market: how far from its last trade an order may trade. Pure, no database."""

from decimal import Decimal, localcontext
from typing import NamedTuple

from exchange.money import MAX_AMOUNT

DIGITS = 60
"""More than a price times a share has, so that nothing is rounded, however large and fine it is."""


class Band(NamedTuple):
    """The lowest and the highest price of a band that are on the tick (quote per base)."""

    lowest: Decimal
    highest: Decimal


def band_around(last: Decimal, share: Decimal, tick: Decimal) -> Band:
    """Return the prices that are at most `share` of `last` away from it, and that can be stored.

    Edges that are not on the tick are rounded into the band: nothing in it is beyond the share.
    """
    with localcontext() as context:
        context.prec = DIGITS
        lowest, highest = last * (1 - share), min(last * (1 + share), MAX_AMOUNT)
        below = lowest % tick
        return Band(lowest - below + tick if below else lowest, highest - highest % tick)
