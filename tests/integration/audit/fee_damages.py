"""Damage to fees: on the trade, in the ledger, in the rates of an order, in the fee account."""

from tests.integration.audit.words import A_FEE, ANY, FEE_CREDIT, FEE_TRADE, ONE_TRADE, Damage

TAKER_OF_FEE_TRADE = (
    "(SELECT CASE taker_side WHEN 'buy' THEN buy_order_id ELSE sell_order_id END"
    f" FROM balances_trade WHERE {FEE_TRADE})"
)

FEE_DAMAGES = [
    Damage(
        "a fee on a trade is smaller by the smallest unit",
        (f"UPDATE balances_trade SET buyer_fee = buyer_fee - 1e-8 WHERE {FEE_TRADE}",),
        {"trade_fees": ("BTC-USDT", 1), "fee_ledger": (ANY, 1, "BTC-USDT")},
    ),
    Damage(
        "a trade without a fee gets one",
        (f"UPDATE balances_trade SET seller_fee = 1e-6 WHERE {ONE_TRADE}",),
        {"trade_fees": ("ADA-USDT", 3), "fee_ledger": (ANY, 3, "ADA-USDT")},
    ),
    Damage(
        "the fees of a trade are forgotten",
        (f"UPDATE balances_trade SET buyer_fee = 0, seller_fee = 0 WHERE {FEE_TRADE}",),
        {"trade_fees": ("BTC-USDT", 1), "fee_ledger": (ANY, 1, None)},
    ),
    Damage(
        "an order has another rate",
        (
            "UPDATE orders_order SET taker_fee_rate = 0.0024, maker_fee_rate = 0.0009"
            f" WHERE id = {TAKER_OF_FEE_TRADE}",
        ),
        {"trade_fees": ("BTC-USDT", 1)},
    ),
    Damage(
        "the ledger entry of a fee is deleted",
        (f"DELETE FROM balances_ledgerentry WHERE {A_FEE}",),
        {"ledger_sums": (), "ledger_chain": (), "fee_ledger": (), "fees": ()},
    ),
    Damage(
        "the ledger entry of a fee goes to another trade",
        (f"UPDATE balances_ledgerentry SET trade_id = trade_id + 1000 WHERE {A_FEE}",),
        {"fee_ledger": ()},
    ),
    Damage(
        "a fee goes to a trader",
        (f"UPDATE balances_ledgerentry SET user_id = 1 WHERE {FEE_CREDIT}",),
        {"ledger_owner": (ANY, "fee", 1), "ledger_sums": (), "ledger_chain": ()},
    ),
    Damage(
        "a fee that brings money to who pays it",
        (f"UPDATE balances_ledgerentry SET available_change = -available_change WHERE {A_FEE}",),
        {
            "ledger_owner": (ANY, "fee"), "ledger_sums": (), "ledger_chain": (),
            "fee_ledger": (), "fees": (),
        },
    ),
    Damage(
        "the fee account has received more than was taken",
        (
            "UPDATE balances_ledgerentry SET available_change = available_change + 1"
            f" WHERE {FEE_CREDIT}",
        ),
        {"fees": (), "ledger_sums": (0,), "ledger_chain": (ANY, 0)},
    ),
    Damage(
        "money of the fee account disappears",
        ("UPDATE balances_balance SET available = available - 1e-8 WHERE user_id = 0 AND asset_id = 'BTC'",),
        {"conservation": ("BTC",), "ledger_sums": (0, "BTC"), "ledger_end": (0, "BTC")},
    ),
]  # fmt: skip
