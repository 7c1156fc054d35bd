"""Damage to balances and to the ledger."""

from tests.integration.audit.words import ANY, BALANCE, LAST_ENTRY, Damage, entry

MONEY_DAMAGES = [
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
            " SELECT id, 'SOL', -5, 0, 1 FROM exchange_user WHERE username = 'treasurer'",
            "INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change,"
            " held_change, available_after, held_after, note, created_at)"
            " SELECT id, 'SOL', 'withdrawal', -5, 0, -5, 0, '', now() FROM exchange_user"
            " WHERE username = 'treasurer'",
        ),
        {"overdraft": (ANY, "SOL")},
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
]
