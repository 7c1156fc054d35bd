"""What a trade costs: rounded up, never more than is received, and all of it to the fee account."""

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.fees import FeeTerms, charge, fee_on
from balances.ledger import Movement
from balances.settlement import SettlementPlan, TradeRow, plan
from exchange.records import Execution, Trade

AMOUNTS = st.decimals(0, Decimal(10) ** 20 - 1, places=18, allow_nan=False)
RATES = st.integers(0, 10**8 - 1).map(lambda n: Decimal(n).scaleb(-8))
DECIMALS = st.integers(0, 18)


@given(AMOUNTS, RATES, DECIMALS)
def test_a_fee_is_the_smallest_amount_that_is_not_less_than_the_share(
    received: Decimal, rate: Decimal, decimals: int
) -> None:
    fee, unit = fee_on(received, rate, decimals), Fraction(1, 10**decimals)
    share = Fraction(received) * Fraction(rate)
    assert 0 <= fee <= received
    if fee == received:  # a share of it would have been rounded up beyond it, or to it
        assert share > Fraction(received) - unit
    else:
        assert Fraction(fee) >= share > Fraction(fee) - unit
        assert Fraction(fee) % unit == 0


@given(st.integers(0, 10**30), RATES, DECIMALS)
def test_of_whole_units_whole_units_are_taken(units: int, rate: Decimal, decimals: int) -> None:
    received = Decimal(units).scaleb(-decimals)
    fee = fee_on(received, rate, decimals)
    assert Fraction(fee) == Fraction(-(-units * int(rate.scaleb(8)) // 10**8), 10**decimals)


@pytest.mark.parametrize(
    ("received", "rate", "decimals", "fee"),
    [
        ("100", "0.001", 6, "0.1"),
        ("100.000001", "0.001", 6, "0.100001"),
        ("0.000001", "0.001", 6, "0.000001"),
        ("0.000001", "0", 6, "0"),
        ("0", "0.001", 6, "0"),
        ("0.5", "0.9", 0, "0.5"),
        ("99999999999999999999.999999999999999999", "0.99999999", 18,
         "99999999000000000000.000000000000000000"),
    ],
)  # fmt: skip
def test_examples(received: str, rate: str, decimals: int, fee: str) -> None:
    assert fee_on(Decimal(received), Decimal(rate), decimals) == Decimal(fee)


MAKER, TAKER = 20, 10


def bought(*fills: tuple[str, str], maker_user: int = 2) -> SettlementPlan:
    """Order 10 of user 1 takes these (quantity, price) of order 20, in one execution."""
    return plan([
        Execution(
            event="new", market="ADA-USDT", epoch=1, offset=5, previous_offset=4, order_id=TAKER,
            user_id=1, side="buy", price="100", status="open",
            trades=tuple(
                Trade(
                    trade_id=number, buy_order_id=TAKER, sell_order_id=MAKER,
                    maker_user_id=maker_user, taker_side="buy", price=price, quantity=quantity,
                )
                for number, (quantity, price) in enumerate(fills, 1)
            ),
        )
    ])  # fmt: skip


def terms(maker: str, taker: str) -> FeeTerms:
    return FeeTerms(Decimal(maker), Decimal(taker), base_decimals=6, quote_decimals=6)


def test_without_terms_a_plan_stays_as_it_is() -> None:
    assert charge(planned := bought(("4", "1.5")), {}) == {}
    assert planned == bought(("4", "1.5"))


def test_each_side_pays_at_its_own_rate_in_what_it_receives() -> None:
    planned = bought(("4", "1.5"))
    taken = charge(planned, {TAKER: terms("0.5", "0.002"), MAKER: terms("0.001", "0.5")})
    assert taken == {"ADA": Decimal("0.008"), "USDT": Decimal("0.006")}
    (trade,) = planned.trades
    assert (trade.buyer_fee, trade.seller_fee) == (Decimal("0.008"), Decimal("0.006"))
    fees = [movement for movement in planned.movements if movement.kind == "fee"]
    assert fees == [
        Movement(1, "ADA", "fee", Decimal("-0.008"), Decimal(0), TAKER, 1),
        Movement(2, "USDT", "fee", Decimal("-0.006"), Decimal(0), MAKER, 1),
    ]


def test_who_has_no_terms_or_a_rate_of_zero_pays_nothing() -> None:
    planned = bought(("4", "1.5"))
    assert charge(planned, {MAKER: terms("0", "0.5")}) == {}
    assert planned == bought(("4", "1.5"))


def test_every_trade_is_rounded_by_itself() -> None:
    planned = bought(("0.000001", "1"), ("0.000001", "1"))
    taken = charge(planned, {TAKER: terms("0", "0.001"), MAKER: terms("0.001", "0")})
    assert taken == {"ADA": Decimal("0.000002"), "USDT": Decimal("0.000002")}


QUANTITIES = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-6))
PRICES = st.integers(1, 100).map(Decimal)


@given(
    st.lists(st.tuples(QUANTITIES, PRICES), min_size=1, max_size=8),
    st.tuples(RATES, RATES, RATES, RATES),
    st.sampled_from([1, 2]),
)
def test_what_is_taken_is_what_the_account_gets_and_nobody_is_left_with_less_than_nothing(
    fills: list[tuple[Decimal, Decimal]],
    rates: tuple[Decimal, Decimal, Decimal, Decimal],
    maker_user: int,
) -> None:
    planned = bought(*((format(q, "f"), format(p, "f")) for q, p in fills), maker_user=maker_user)
    taken = charge(
        planned,
        {TAKER: FeeTerms(rates[0], rates[1], 6, 6), MAKER: FeeTerms(rates[2], rates[3], 6, 6)},
    )
    totals: dict[str, Decimal] = defaultdict(Decimal, taken)
    available: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for movement in planned.movements:
        totals[movement.asset] += movement.available + movement.held
        available[movement.user_id, movement.asset] += movement.available
        assert available[movement.user_id, movement.asset] >= 0, "in the order of the ledger"
    assert not any(totals.values()), dict(totals)
    assert all(amount > 0 for amount in taken.values())
    assert {"ADA": sum(t.buyer_fee for t in planned.trades),
            "USDT": sum(t.seller_fee for t in planned.trades)} == {
        "ADA": taken.get("ADA", 0), "USDT": taken.get("USDT", 0)
    }  # fmt: skip
    for trade in planned.trades:
        assert isinstance(trade, TradeRow)
        assert 0 <= trade.buyer_fee <= trade.quantity
        assert 0 <= trade.seller_fee <= trade.quantity * trade.price
