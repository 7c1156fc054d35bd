"""Checks on balances and on the ledger that explains them."""

from balances.audit.check import Check

MONEY_CHECKS = (
    Check(
        name="conservation",
        says="What all users have of an asset is what was deposited less what was withdrawn.",
        looks_at="balances_balance",
        sql="""
            SELECT asset_id AS asset, coalesce(owned, 0) AS owned, coalesce(brought, 0) AS brought
            FROM (
              SELECT asset_id, sum(available + held) AS owned FROM balances_balance GROUP BY 1
            ) b FULL JOIN (
              SELECT asset_id, sum(available_change + held_change) AS brought
              FROM balances_ledgerentry WHERE kind IN ('deposit', 'withdrawal') GROUP BY 1
            ) l USING (asset_id)
            WHERE coalesce(owned, 0) <> coalesce(brought, 0)""",
    ),
    Check(
        name="overdraft",
        says="No balance and no hold is negative.",
        looks_at="balances_balance",
        sql="""
            SELECT user_id, asset_id AS asset, available, held
            FROM balances_balance WHERE available < 0 OR held < 0""",
    ),
    Check(
        name="ledger_sums",
        says="A balance is the sum of its ledger entries.",
        looks_at="balances_ledgerentry",
        sql="""
            SELECT user_id, asset_id AS asset, b.available, l.available AS available_by_ledger,
              b.held, l.held AS held_by_ledger
            FROM balances_balance b FULL JOIN (
              SELECT user_id, asset_id, sum(available_change) AS available, sum(held_change) AS held
              FROM balances_ledgerentry GROUP BY 1, 2
            ) l USING (user_id, asset_id)
            WHERE coalesce(b.available, 0) <> coalesce(l.available, 0)
              OR coalesce(b.held, 0) <> coalesce(l.held, 0)""",
    ),
    Check(
        name="ledger_chain",
        says="A ledger entry begins where the one before it, of the same balance, ended.",
        looks_at="balances_ledgerentry",
        sql="""
            SELECT id, user_id, asset_id AS asset, available_before, available_change,
              available_after, held_before, held_change, held_after
            FROM (
              SELECT id, user_id, asset_id, available_change, available_after, held_change,
                held_after, lag(available_after, 1, 0.0) OVER earlier AS available_before,
                lag(held_after, 1, 0.0) OVER earlier AS held_before
              FROM balances_ledgerentry
              WINDOW earlier AS (PARTITION BY user_id, asset_id ORDER BY id)
            ) entry
            WHERE available_before + available_change <> available_after
              OR held_before + held_change <> held_after""",
    ),
    Check(
        name="ledger_end",
        says="The last ledger entry of a balance ends with what the balance is.",
        looks_at="balances_balance",
        sql="""
            SELECT b.user_id, b.asset_id AS asset, l.id AS last_entry, b.available,
              l.available_after, b.held, l.held_after
            FROM balances_balance b LEFT JOIN LATERAL (
              SELECT id, available_after, held_after FROM balances_ledgerentry e
              WHERE e.user_id = b.user_id AND e.asset_id = b.asset_id
              ORDER BY id DESC LIMIT 1
            ) l ON true
            WHERE b.available <> coalesce(l.available_after, 0)
              OR b.held <> coalesce(l.held_after, 0)""",
    ),
    Check(
        name="ledger_owner",
        says="A ledger entry of an order is of its user, and of the asset that its kind moves;"
        " a deposit or withdrawal is of no order, and of the user and asset of its request;"
        " a fee of no order is received by the fee account.",
        looks_at="balances_ledgerentry",
        sql="""
            SELECT l.id, l.kind, l.user_id, l.asset_id AS asset, l.order_id, l.transfer_id,
              o.user_id AS user_of_order, o.side, o.market_id AS market,
              l.available_change, l.held_change
            FROM balances_ledgerentry l
            LEFT JOIN orders_order o ON o.id = l.order_id
            LEFT JOIN orders_market m ON m.symbol = o.market_id
            LEFT JOIN balances_transfer t ON t.id = l.transfer_id
            WHERE NOT coalesce(CASE
              WHEN l.transfer_id IS NOT NULL AND (l.user_id <> t.user_id
                OR l.asset_id <> t.asset_id OR l.order_id IS NOT NULL
                OR l.kind NOT IN (t.kind, 'hold', 'release')) THEN false
              WHEN l.kind IN ('deposit', 'withdrawal') THEN l.order_id IS NULL
                AND l.held_change = 0 AND (l.kind = 'deposit') = (l.available_change > 0)
              WHEN t.kind = 'withdrawal' THEN l.available_change = -l.held_change
                AND (l.kind = 'hold') = (l.held_change > 0)
              WHEN l.kind IN ('hold', 'release') THEN l.user_id = o.user_id
                AND l.asset_id = CASE o.side WHEN 'buy' THEN m.quote_id ELSE m.base_id END
                AND l.available_change = -l.held_change
                AND (l.kind = 'hold') = (l.held_change > 0)
              WHEN l.kind = 'fee' THEN l.held_change = 0 AND CASE WHEN l.order_id IS NULL
                THEN l.user_id = 0 AND l.available_change > 0
                ELSE l.user_id = o.user_id AND l.available_change < 0
                  AND l.asset_id = CASE o.side WHEN 'buy' THEN m.base_id ELSE m.quote_id END END
              WHEN l.held_change <> 0 THEN l.user_id = o.user_id
                AND l.asset_id = CASE o.side WHEN 'buy' THEN m.quote_id ELSE m.base_id END
                AND l.available_change = 0 AND l.held_change < 0
              ELSE l.user_id = o.user_id
                AND l.asset_id = CASE o.side WHEN 'buy' THEN m.base_id ELSE m.quote_id END
                AND l.available_change > 0
              END, false)""",
    ),
    Check(
        name="fees",
        says="The fee account has received of each asset what was taken as fees.",
        looks_at="balances_ledgerentry",
        sql="""
            SELECT asset_id AS asset, -coalesce(sum(available_change)
                FILTER (WHERE order_id IS NOT NULL), 0) AS taken,
              coalesce(sum(available_change) FILTER (WHERE order_id IS NULL), 0) AS received
            FROM balances_ledgerentry WHERE kind = 'fee' GROUP BY asset_id
            HAVING sum(available_change) <> 0""",
    ),
)
