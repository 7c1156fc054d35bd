"""Every kind of damage to Postgres is found, by the checks that are to find it and by no other."""

from typing import Any, NamedTuple

import pytest

from balances.audit import CHECKS
from tests.integration.audit.damage import Books


class Damage(NamedTuple):
    """SQL that breaks a promise, and the checks that find it, each with a row it must name.

    In a row, `ANY` stands for whatever is there; a row may be shorter than that of the check.
    """

    does: str
    sql: tuple[str, ...]
    found_by: dict[str, tuple[Any, ...]]


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()

ONE_TRADE = "market_id = 'ADA-USDT' AND trade_id = 3"
LAST_TRADE = (
    "market_id = 'ADA-USDT' AND trade_id ="
    " (SELECT max(trade_id) FROM balances_trade WHERE market_id = 'ADA-USDT')"
)
OPEN = "(SELECT min(id) FROM orders_order WHERE status = 'open' AND side = 'buy')"
LIVE = "status IN ('open', 'partially_filled')"
FILLED = "(SELECT min(id) FROM orders_order WHERE status = 'filled')"
CANCELED = "(SELECT min(id) FROM orders_order WHERE status = 'canceled')"
PENDING = "(SELECT min(id) FROM orders_order WHERE status = 'pending')"
BALANCE = "user_id = 1 AND asset_id = 'USDT'"
LAST_ENTRY = f"id = (SELECT max(id) FROM balances_ledgerentry WHERE {BALANCE} AND kind = 'trade')"


def entry(kind: str) -> str:
    """The first ledger entry of a kind that is of a finished order."""
    return (
        "id = (SELECT min(l.id) FROM balances_ledgerentry l JOIN orders_order o"
        f" ON o.id = l.order_id WHERE l.kind = '{kind}' AND o.finished_at IS NOT NULL)"
    )


DAMAGES = [
    Damage(
        "money appears in a balance",
        (f"UPDATE balances_balance SET available = available + 1 WHERE {BALANCE}",),
        {"conservation": ("USDT",), "ledger_sums": (1, "USDT"), "ledger_end": (1, "USDT")},
    ),
    Damage(
        "money moves from one user to another",
        (
            f"UPDATE balances_balance SET available = available - 1 WHERE {BALANCE}",
            "UPDATE balances_balance SET available = available + 1"
            " WHERE user_id = 2 AND asset_id = 'USDT'",
        ),
        {"ledger_sums": (1, "USDT"), "ledger_end": (1, "USDT")},
    ),
    Damage(
        "the smallest unit of a hold becomes available",
        (
            "UPDATE balances_balance SET available = available + 1e-18, held = held - 1e-18"
            f" WHERE {BALANCE}",
        ),
        {"holds": (1, "USDT"), "ledger_sums": (1, "USDT"), "ledger_end": (1, "USDT")},
    ),
    Damage(
        "a balance becomes negative, its ledger with it",
        (
            "INSERT INTO balances_balance (user_id, asset_id, available, held, version)"
            " VALUES (1, 'SOL', -5, 0, 1)",
            "INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change,"
            " held_change, available_after, held_after, note, created_at)"
            " VALUES (1, 'SOL', 'withdrawal', -5, 0, -5, 0, '', now())",
        ),
        {"overdraft": (1, "SOL")},
    ),
    Damage(
        "a balance is deleted",
        (f"DELETE FROM balances_balance WHERE {BALANCE}",),
        {"conservation": ("USDT",), "ledger_sums": (1, "USDT"), "holds": (1, "USDT")},
    ),
    Damage(
        "a balance nobody has explained",
        (
            "INSERT INTO balances_balance (user_id, asset_id, available, held, version)"
            " VALUES (1, 'SOL', 5, 0, 1)",
        ),
        {"conservation": ("SOL",), "ledger_sums": (1, "SOL"), "ledger_end": (1, "SOL")},
    ),
    Damage(
        "a deposit is made larger",
        (
            "UPDATE balances_ledgerentry SET available_change = available_change + 1"
            f" WHERE {BALANCE} AND kind = 'deposit' AND note = 'seed'",
        ),
        {"conservation": ("USDT",), "ledger_sums": (1, "USDT"), "ledger_chain": (ANY, 1, "USDT")},
    ),
    Damage(
        "a ledger entry says another balance after it",
        (f"UPDATE balances_ledgerentry SET held_after = held_after + 1 WHERE {LAST_ENTRY}",),
        {"ledger_chain": (ANY, 1, "USDT")},
    ),
    Damage(
        "the last ledger entry says another balance after it",
        (
            "UPDATE balances_ledgerentry SET available_after = 7 WHERE id ="
            f" (SELECT max(id) FROM balances_ledgerentry WHERE {BALANCE})",
        ),
        {"ledger_chain": (ANY, 1, "USDT"), "ledger_end": (1, "USDT")},
    ),
    Damage(
        "a hold is deleted from the ledger",
        (f"DELETE FROM balances_ledgerentry WHERE {entry('hold')}",),
        {"ledger_sums": (), "ledger_chain": (), "order_ledger": ()},
    ),
    Damage(
        "a ledger entry of a trade is deleted",
        (f"DELETE FROM balances_ledgerentry WHERE {entry('trade')}",),
        {"ledger_sums": (), "ledger_chain": (), "order_ledger": (), "trade_ledger": ()},
    ),
    Damage(
        "a ledger entry goes to another user",
        (f"UPDATE balances_ledgerentry SET user_id = 3 - user_id WHERE {entry('release')}",),
        {"ledger_sums": (), "ledger_chain": (), "ledger_owner": (ANY, "release")},
    ),
    Damage(
        "a ledger entry goes to another trade",
        (f"UPDATE balances_ledgerentry SET trade_id = trade_id + 1000 WHERE {entry('trade')}",),
        {"trade_ledger": ()},
    ),
    Damage(
        "a ledger entry goes to an order that is not there",
        (f"UPDATE balances_ledgerentry SET order_id = 999999 WHERE {entry('release')}",),
        {"ledger_owner": (ANY, "release", ANY, ANY, 999999), "order_ledger": ()},
    ),
    Damage(
        "a withdrawal that brings money",
        (
            "UPDATE balances_ledgerentry SET kind = 'withdrawal'"
            f" WHERE {BALANCE} AND kind = 'deposit' AND note = 'seed'",
        ),
        {"ledger_owner": (ANY, "withdrawal", 1, "USDT")},
    ),
    Damage(
        "a live order asks for more",
        (f"UPDATE orders_order SET quantity = quantity + 1 WHERE id = {OPEN}",),
        {"holds": (), "order_ledger": (ANY, "open")},
    ),
    Damage(
        "a live order is worth another price",
        (
            "UPDATE orders_order o SET price = price - tick_size FROM orders_market"
            f" WHERE symbol = market_id AND o.id = {OPEN}",
        ),
        {"holds": (), "order_ledger": (ANY, "open")},
    ),
    Damage(
        "a live order is finished without a release",
        (
            f"UPDATE orders_order SET status = 'canceled', finished_at = now(), finished_epoch = epoch WHERE id = {OPEN}",
        ),
        {"holds": (), "order_ledger": (ANY, "canceled")},
    ),
    Damage(
        "a canceled order lives again",
        (
            "UPDATE orders_order SET status = 'open', finished_at = NULL, finished_epoch = NULL"
            f" WHERE id = {CANCELED}",
        ),
        {"holds": (), "order_ledger": (ANY, "open")},
    ),
    Damage(
        "a pending order is deleted",
        (f"DELETE FROM orders_order WHERE id = {PENDING}",),
        {"holds": (), "ledger_owner": (ANY, "hold")},
    ),
    Damage(
        "an order is filled by more than its trades",
        (f"UPDATE orders_order SET filled_quote = filled_quote + 1 WHERE id = {FILLED}",),
        {"order_fills": (), "order_ledger": (ANY, "filled")},
    ),
    Damage(
        "a filled order is canceled",
        (f"UPDATE orders_order SET status = 'canceled' WHERE id = {FILLED}",),
        {"order_states": (ANY, "canceled")},
    ),
    Damage(
        "a status that does not exist",
        (f"UPDATE orders_order SET status = 'done' WHERE id = {FILLED}",),
        {"order_states": (ANY, "done"), "order_finish": (ANY, "done")},
    ),
    Damage(
        "half a place on the log",
        (f'UPDATE orders_order SET "offset" = NULL WHERE id = {OPEN}',),
        {"order_states": (ANY, "open")},
    ),
    Damage(
        "a pending order with a place on the log",
        (
            'UPDATE orders_order SET epoch = (SELECT max(number) FROM balances_logepoch), "offset" = -5'
            f" WHERE id = {PENDING}",
        ),
        {"order_states": (ANY, "pending")},
    ),
    Damage(
        "a finished order without its time",
        (f"UPDATE orders_order SET finished_at = NULL WHERE id = {CANCELED}",),
        {"order_finish": (ANY, "canceled")},
    ),
    Damage(
        "a finished order without the epoch of its end",
        (f"UPDATE orders_order SET finished_epoch = NULL WHERE id = {CANCELED}",),
        {"order_finish": (ANY, "canceled")},
    ),
    Damage(
        "an order that was finished in an epoch to come",
        (f"UPDATE orders_order SET finished_epoch = 999 WHERE id = {CANCELED}",),
        {"order_epochs": ()},
    ),
    Damage(
        "an order that was finished before it was placed",
        (f"UPDATE orders_order SET finished_epoch = epoch - 1 WHERE id = {CANCELED}",),
        {"order_finish": (ANY, "canceled"), "order_epochs": ()},
    ),
    Damage(
        "an open order with a time of its end",
        (f"UPDATE orders_order SET finished_at = now() WHERE id = {OPEN}",),
        {"order_finish": (ANY, "open")},
    ),
    Damage(
        "a book is crossed",
        (
            "UPDATE orders_market SET tick_size = 1e-18",
            "UPDATE orders_order SET price = 1e-18 WHERE status = 'open' AND side = 'sell'"
            " AND market_id IN"
            f" (SELECT market_id FROM orders_order WHERE {LIVE} AND side = 'buy')",
        ),
        {"crossed_book": ()},
    ),
    Damage(
        "a price that is not on the tick",
        ("UPDATE orders_market SET tick_size = 7 WHERE symbol = 'ADA-USDT'",),
        {"order_amounts": (ANY, "ADA-USDT")},
    ),
    Damage(
        "a trade is deleted in the middle",
        (f"DELETE FROM balances_trade WHERE {ONE_TRADE}",),
        {"trade_ids": ("ADA-USDT", 4, 2), "order_fills": (), "trade_ledger": (ANY, 3)},
    ),
    Damage(
        "the last trade is deleted",
        (f"DELETE FROM balances_trade WHERE {LAST_TRADE}",),
        {"order_fills": (), "trade_ledger": ()},
    ),
    Damage(
        "a trade is there twice",
        (
            "INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side,"
            " buy_order_id, sell_order_id, buyer_id, seller_id, executed_at)"
            " SELECT market_id, trade_id, price, quantity, taker_side, buy_order_id,"
            f" sell_order_id, buyer_id, seller_id, executed_at FROM balances_trade WHERE {ONE_TRADE}",
        ),
        {"trade_ids": ("ADA-USDT", 3, 3), "order_fills": ()},
    ),
    Damage(
        "a trade has another number",
        (f"UPDATE balances_trade SET trade_id = 5000 WHERE {LAST_TRADE}",),
        {"trade_ids": ("ADA-USDT", 5000), "trade_ledger": ()},
    ),
    Damage(
        "a trade is of a larger quantity",
        (f"UPDATE balances_trade SET quantity = quantity + 1 WHERE {ONE_TRADE}",),
        {"order_fills": (), "trade_ledger": (ANY, 3)},
    ),
    Damage(
        "a trade is at another price",
        (f"UPDATE balances_trade SET price = price - 0.0001 WHERE {ONE_TRADE}",),
        {"order_fills": (), "trade_ledger": (ANY, 3), "trade_parties": ("ADA-USDT", 3)},
    ),
    Damage(
        "a trade names another buyer",
        (f"UPDATE balances_trade SET buyer_id = 3 - buyer_id WHERE {ONE_TRADE}",),
        {"trade_parties": ("ADA-USDT", 3)},
    ),
    Damage(
        "a trade names the wrong taker",
        (
            "UPDATE balances_trade SET taker_side ="
            f" CASE taker_side WHEN 'buy' THEN 'sell' ELSE 'buy' END WHERE {ONE_TRADE}",
        ),
        {"trade_parties": ("ADA-USDT", 3)},
    ),
    Damage(
        "a trade's orders change sides",
        (
            "UPDATE balances_trade SET buy_order_id = sell_order_id, sell_order_id = buy_order_id"
            f" WHERE {ONE_TRADE}",
        ),
        {"trade_parties": ("ADA-USDT", 3), "trade_ledger": ()},
    ),
    Damage(
        "a checkpoint goes back",
        ('UPDATE balances_checkpoint SET "offset" = 0 WHERE "offset" > 5',),
        {"checkpoints": ()},
    ),
    Damage(
        "a checkpoint is deleted",
        ('DELETE FROM balances_checkpoint WHERE "offset" > 5',),
        {"checkpoints": ()},
    ),
    Damage(
        "a checkpoint stays behind in an earlier epoch",
        (
            "INSERT INTO balances_logepoch (number, order_topic_id, trade_topic_id, reason,"
            " is_new_log, begin_offsets, started_at)"
            " SELECT max(number) + 1, 'x', 'y', 'test', true, '{}', now() FROM balances_logepoch",
        ),
        {"checkpoints": ()},
    ),
    Damage(
        "an order is of an epoch to come",
        (f"UPDATE orders_order SET epoch = epoch + 100 WHERE id = {OPEN}",),
        {"order_epochs": ()},
    ),
    Damage(
        "two orders at one place of the log",
        (
            'UPDATE orders_order o SET "offset" = other."offset" FROM orders_order other'
            f" WHERE o.id = {OPEN} AND other.market_id = o.market_id"
            " AND other.id = (SELECT min(id) FROM orders_order WHERE market_id = o.market_id"
            " AND id <> o.id AND epoch IS NOT NULL)",
        ),
        {"order_places": ()},
    ),
    Damage(
        "a market is halted",
        (
            'INSERT INTO balances_markethalt (market_id, epoch_id, "offset", reason, halted_at)'
            " SELECT 'ADA-USDT', max(number), 0, 'test', now() FROM balances_logepoch",
        ),
        {"halted_markets": ("ADA-USDT",)},
    ),
    Damage(
        "a partition is halted",
        ("UPDATE balances_checkpoint SET halted_reason = 'test' WHERE partition = 1",),
        {"halted_partitions": (1,)},
    ),
]


def test_books_that_nobody_has_touched_are_in_order(damaged: Books) -> None:
    assert damaged.audit() == {}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.does)
def test_damage_is_found_by_its_checks_and_no_other(damaged: Books, damage: Damage) -> None:
    damaged.damage(*damage.sql)
    found = damaged.audit()

    assert set(found) == set(damage.found_by)
    for name, row in damage.found_by.items():
        assert row in [first[: len(row)] for first in found[name].first]


def test_every_check_is_seen_to_find_something() -> None:
    assert {name for damage in DAMAGES for name in damage.found_by} == set(CHECKS)
