"""Checks on trades: their numbers, their two orders, and what the ledger says of each."""

from balances.audit.check import Check

TRADE_CHECKS = (
    Check(
        name="trade_ids",
        says="The trades of a market are numbered 1, 2, 3 … without a gap and without a double.",
        looks_at="balances_trade",
        sql="""
            SELECT market_id AS market, trade_id, number_before FROM (
              SELECT market_id, trade_id, lag(trade_id, 1, 0::bigint)
                OVER (PARTITION BY market_id ORDER BY trade_id) AS number_before
              FROM balances_trade
            ) numbered WHERE trade_id <> number_before + 1""",
    ),
    Check(
        name="trade_parties",
        says="A trade is of a buy and a sell order of its market and of their users, at the price"
        " of the one that came first, and no worse than the limit of the other.",
        looks_at="balances_trade",
        sql="""
            SELECT t.market_id AS market, t.trade_id, t.taker_side, t.price, t.buyer_id,
              t.buy_order_id, b.price AS buy_limit, t.seller_id, t.sell_order_id,
              s.price AS sell_limit
            FROM balances_trade t
            LEFT JOIN orders_order b ON b.id = t.buy_order_id
            LEFT JOIN orders_order s ON s.id = t.sell_order_id
            WHERE NOT coalesce(b.side = 'buy' AND s.side = 'sell'
              AND b.market_id = t.market_id AND s.market_id = t.market_id
              AND b.user_id = t.buyer_id AND s.user_id = t.seller_id
              AND t.quantity > 0 AND t.price > 0 AND t.price <= b.price AND t.price >= s.price
              AND CASE t.taker_side
                WHEN 'buy' THEN t.price = s.price
                  AND (s.epoch, s."offset") < (b.epoch, b."offset")
                WHEN 'sell' THEN t.price = b.price
                  AND (b.epoch, b."offset") < (s.epoch, s."offset")
              END, false)""",
    ),
    Check(
        name="trade_ledger",
        says="A trade has its four ledger entries: each side pays what it held, and is credited.",
        looks_at="balances_trade",
        sql="""
            SELECT order_id, trade_id, due.market, due.paid AS paid_due, moved.paid,
              due.received AS received_due, moved.received, moved.entries
            FROM (
              SELECT buy_order_id AS order_id, trade_id, market_id AS market,
                price * quantity AS paid, quantity AS received FROM balances_trade
              UNION ALL
              SELECT sell_order_id, trade_id, market_id, quantity, price * quantity
              FROM balances_trade
            ) due FULL JOIN (
              SELECT order_id, trade_id, count(*) AS entries, -sum(held_change) AS paid,
                sum(available_change) AS received
              FROM balances_ledgerentry WHERE kind = 'trade' GROUP BY order_id, trade_id
            ) moved USING (order_id, trade_id)
            WHERE NOT coalesce(due.paid = moved.paid AND due.received = moved.received
              AND moved.entries = 2, false)""",
    ),
)
