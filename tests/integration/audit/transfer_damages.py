"""Damage to requested deposits and withdrawals."""

from tests.integration.audit.words import ANY, Damage

TABLE = "balances_transfer"
WAITS = "kind = 'withdrawal' AND status = 'requested'"
APPROVED = "kind = 'withdrawal' AND status = 'approved'"
REJECTED = "kind = 'withdrawal' AND status = 'rejected'"
OF_APPROVED = f"transfer_id = (SELECT id FROM {TABLE} WHERE {APPROVED})"

TRANSFER_DAMAGES = [
    Damage(
        "a requested withdrawal asks for more",
        (f"UPDATE {TABLE} SET amount = amount + 1 WHERE {WAITS}",),
        {"holds": (1, "USDT"), "transfer_ledger": (ANY, "requested")},
    ),
    Damage(
        "a requested withdrawal is rejected without a release",
        (
            f"UPDATE {TABLE} SET status = 'rejected', decided_by_id = 3, decided_at = now(),"
            f" note = 'no' WHERE {WAITS}",
        ),
        {"holds": (1, "USDT"), "transfer_ledger": (ANY, "rejected")},
    ),
    Damage(
        "a rejected withdrawal waits again",
        (
            f"UPDATE {TABLE} SET status = 'requested', decided_by_id = NULL, decided_at = NULL,"
            f" note = '' WHERE {REJECTED}",
        ),
        {"holds": (1, "USDT"), "transfer_ledger": (ANY, "requested")},
    ),
    Damage(
        "a rejected withdrawal is said to be approved",
        (f"UPDATE {TABLE} SET status = 'approved' WHERE {REJECTED}",),
        {"transfer_ledger": (ANY, "approved")},
    ),
    Damage(
        "a requested deposit is said to be approved",
        (
            f"UPDATE {TABLE} SET status = 'approved', decided_by_id = 3, decided_at = now(),"
            " note = 'yes' WHERE kind = 'deposit' AND status = 'requested'",
        ),
        {"transfer_ledger": (ANY, "approved")},
    ),
    Damage(
        "an approved withdrawal is deleted",
        (f"DELETE FROM {TABLE} WHERE {APPROVED}",),
        {"transfer_ledger": (), "ledger_owner": ()},
    ),
    Damage(
        "a withdrawal goes to another user",
        (f"UPDATE {TABLE} SET user_id = 2 WHERE {APPROVED}",),
        {"ledger_owner": (ANY, "hold", 1, "USDT")},
    ),
    Damage(
        "a withdrawal goes to another asset",
        (f"UPDATE {TABLE} SET asset_id = 'ADA' WHERE {APPROVED}",),
        {"ledger_owner": (ANY, "hold", 1, "USDT")},
    ),
    Damage(
        "a withdrawal belongs to an order, too",
        (
            "UPDATE balances_ledgerentry SET order_id = (SELECT max(id) FROM orders_order)"
            f" WHERE kind = 'withdrawal' AND {OF_APPROVED}",
        ),
        {"ledger_owner": (ANY, "withdrawal", 1, "USDT")},
    ),
    Damage(
        "nobody has decided it",
        (f"UPDATE {TABLE} SET decided_by_id = NULL WHERE {APPROVED}",),
        {"transfer_states": (ANY, "approved")},
    ),
    Damage(
        "somebody has decided their own",
        (f"UPDATE {TABLE} SET decided_by_id = user_id WHERE {APPROVED}",),
        {"transfer_states": (ANY, "approved")},
    ),
    Damage(
        "one that waits says why it was decided",
        (f"UPDATE {TABLE} SET note = 'yes' WHERE {WAITS}",),
        {"transfer_states": (ANY, "requested")},
    ),
]
