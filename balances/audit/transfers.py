"""Checks on requested deposits and withdrawals, and what the ledger says of each."""

from balances.audit.check import Check

TRANSFER_CHECKS = (
    Check(
        name="transfer_states",
        says="A decided deposit or withdrawal says who decided it, when and why, and that is not"
        " its user; one that waits says nothing of it.",
        looks_at="balances_transfer",
        sql="""
            SELECT id, status, user_id, decided_by_id, decided_at, note FROM balances_transfer
            WHERE NOT coalesce(CASE WHEN status IN ('approved', 'rejected')
                THEN decided_by_id <> user_id AND decided_at >= requested_at AND note <> ''
                ELSE status = 'requested' AND decided_by_id IS NULL AND decided_at IS NULL
                  AND note = ''
              END, false)""",
    ),
    Check(
        name="transfer_ledger",
        says="The ledger has held, released and moved for a requested deposit or withdrawal what"
        " its state implies; for a decided one nothing is left on hold.",
        looks_at="balances_transfer",
        sql="""
            SELECT id, status, due.held AS held_due, moved.held, due.released AS released_due,
              moved.released, due.brought AS brought_due, moved.brought
            FROM (
              SELECT id, status, CASE kind WHEN 'withdrawal' THEN amount ELSE 0 END AS held,
                CASE WHEN kind = 'withdrawal' AND status <> 'requested' THEN amount ELSE 0 END
                  AS released,
                CASE WHEN status <> 'approved' THEN 0 WHEN kind = 'deposit' THEN amount
                  ELSE -amount END AS brought
              FROM balances_transfer
            ) due FULL JOIN (
              SELECT transfer_id AS id,
                coalesce(sum(held_change) FILTER (WHERE kind = 'hold'), 0) AS held,
                coalesce(-sum(held_change) FILTER (WHERE kind = 'release'), 0) AS released,
                coalesce(sum(available_change) FILTER
                  (WHERE kind IN ('deposit', 'withdrawal')), 0) AS brought
              FROM balances_ledgerentry WHERE transfer_id IS NOT NULL GROUP BY transfer_id
            ) moved USING (id)
            WHERE coalesce(due.held, 0) <> coalesce(moved.held, 0)
              OR coalesce(due.released, 0) <> coalesce(moved.released, 0)
              OR coalesce(due.brought, 0) <> coalesce(moved.brought, 0)""",
    ),
)
