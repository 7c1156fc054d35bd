"""What a trade costs its two sides: pure computation, no database, no clock.

The rules: each side pays in what it receives, the buyer in base, the seller in quote; at the rate
that its order carries, the maker's or the taker's; rounded up to the asset's smallest unit, and
never more than is received. A fee of zero is no movement.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from balances.ledger import ZERO, Movement
from balances.settlement import SettlementPlan, TradeRow


class FeeTerms(NamedTuple):
    """What an order pays: shares of what it receives, and how far the assets are divisible.

    `base_decimals`, `quote_decimals`: the smallest unit is 10 to the power of minus this.
    """

    maker_rate: Decimal
    taker_rate: Decimal
    base_decimals: int
    quote_decimals: int


def fee_on(received: Decimal, rate: Decimal, decimals: int) -> Decimal:
    """Return the fee on `received` of an asset with so many decimals, in units of the asset."""
    fee = (received * rate).quantize(Decimal(1).scaleb(-decimals), ROUND_CEILING)
    return min(fee, received)


def charge(planned: SettlementPlan, terms: Mapping[int, FeeTerms]) -> dict[str, Decimal]:
    """Take the fees of the planned trades; return what the fee account receives, by asset.

    `terms`: of the orders that pay something, by their numbers; others pay nothing. The movements
    of the fees come after all others, when what they are taken from has been received.
    """
    taken: dict[str, Decimal] = {}
    if not terms:
        return taken
    for place, trade in enumerate(planned.trades):
        base, _, quote = trade.market.partition("-")
        buyer_fee = _fee(trade, "buy", terms.get(trade.buy_order_id))
        seller_fee = _fee(trade, "sell", terms.get(trade.sell_order_id))
        if not (buyer_fee or seller_fee):
            continue
        planned.trades[place] = trade._replace(buyer_fee=buyer_fee, seller_fee=seller_fee)
        for user_id, asset, fee, order_id in (
            (trade.buyer_id, base, buyer_fee, trade.buy_order_id),
            (trade.seller_id, quote, seller_fee, trade.sell_order_id),
        ):
            if fee:
                planned.movements.append(
                    Movement(user_id, asset, "fee", -fee, ZERO, order_id, trade.trade_id)
                )
                taken[asset] = taken.get(asset, ZERO) + fee
    return taken


def _fee(trade: TradeRow, side: str, terms: FeeTerms | None) -> Decimal:
    if terms is None:
        return ZERO
    rate = terms.taker_rate if trade.taker_side == side else terms.maker_rate
    if not rate:
        return ZERO
    if side == "buy":
        return fee_on(trade.quantity, rate, terms.base_decimals)
    return fee_on(trade.price * trade.quantity, rate, terms.quote_decimals)
