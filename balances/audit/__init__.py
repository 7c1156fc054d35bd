"""Proving the books: every promise as a question to the stores, and who asks them.

    check       what a check is, and how one is run on a cursor
    money       balances and the ledger
    orders      orders, their fills and holds
    stops       stop orders
    trades      trades
    transfers   requested deposits and withdrawals
    candles     candles
    log         checkpoints, places on the log, halts
    runner      all checks on one snapshot of Postgres
    cached      the Redis cache against Postgres
    report      the outcome for people and for programs
    last        a note of the last outcome, for the metrics

It only reads. It must never repair, lock or wait for anything that the exchange needs.
"""

from balances.audit.candles import CANDLE_CHECKS
from balances.audit.check import FIRST_ROWS, Check, Outcome, parameters, run_check
from balances.audit.log import LOG_CHECKS
from balances.audit.money import MONEY_CHECKS
from balances.audit.orders import ORDER_CHECKS
from balances.audit.stops import STOP_CHECKS
from balances.audit.trades import TRADE_CHECKS
from balances.audit.transfers import TRANSFER_CHECKS

CHECKS: dict[str, Check] = {
    check.name: check
    for checks in (
        MONEY_CHECKS,
        ORDER_CHECKS,
        STOP_CHECKS,
        TRADE_CHECKS,
        TRANSFER_CHECKS,
        CANDLE_CHECKS,
        LOG_CHECKS,
    )
    for check in checks
}
"""Every check on Postgres by its name, in the order in which they are shown."""

__all__ = ["CHECKS", "FIRST_ROWS", "Check", "Outcome", "parameters", "run_check"]
