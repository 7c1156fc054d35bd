"""Checks on trades: their numbers, their two orders, and what the ledger says of each."""

from balances.audit.check import Check
from balances.audit.places import limit_then, place, standing


def _fee_due(received: str, rate: str, decimals: str) -> str:
    """Return the fee on `received` in SQL: rounded up to the smallest unit, at most all of it."""
    cut = f"trunc({received} * {rate}, {decimals})"
    unit = f"('1e-' || {decimals})::numeric"
    return (
        f"least({received}, {cut} + CASE WHEN {cut} < {received} * {rate} THEN {unit} ELSE 0 END)"
    )


_BUYER_DUE = _fee_due(
    "t.quantity",
    "CASE t.taker_side WHEN 'buy' THEN b.taker_fee_rate ELSE b.maker_fee_rate END",
    "base.decimals",
)
_SELLER_DUE = _fee_due(
    "(t.price * t.quantity)",
    "CASE t.taker_side WHEN 'sell' THEN s.taker_fee_rate ELSE s.maker_fee_rate END",
    "quote.decimals",
)

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
        sql=f"""
            SELECT t.market_id AS market, t.trade_id, t.taker_side, t.price, t.buyer_id,
              t.buy_order_id, buy_limit, t.seller_id, t.sell_order_id, sell_limit
            FROM balances_trade t
            LEFT JOIN orders_order b ON b.id = t.buy_order_id
            LEFT JOIN orders_order s ON s.id = t.sell_order_id
            CROSS JOIN LATERAL (
              SELECT {limit_then("b", "t")} AS buy_limit, {limit_then("s", "t")} AS sell_limit
            ) limits
            WHERE NOT coalesce(b.side = 'buy' AND s.side = 'sell'
              AND b.market_id = t.market_id AND s.market_id = t.market_id
              AND b.user_id = t.buyer_id AND s.user_id = t.seller_id
              AND t.quantity > 0 AND t.price > 0 AND t.price <= buy_limit AND t.price >= sell_limit
              AND CASE t.taker_side
                WHEN 'buy' THEN t.price = sell_limit
                  AND {place("s")} < {standing("b")}
                WHEN 'sell' THEN t.price = buy_limit
                  AND {place("b")} < {standing("s")}
              END, false)""",  # noqa: S608 - our own SQL
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
    Check(
        name="trade_fees",
        says="Each side of a trade pays what its order's rate says of what it receives, rounded up"
        " to the asset's smallest unit.",
        looks_at="balances_trade",
        sql=f"""
            SELECT market, trade_id, taker_side, buyer_fee, buyer_due, seller_fee, seller_due
            FROM (
              SELECT t.market_id AS market, t.trade_id, t.taker_side, t.buyer_fee, t.seller_fee,
                {_BUYER_DUE} AS buyer_due, {_SELLER_DUE} AS seller_due
              FROM balances_trade t
              LEFT JOIN orders_order b ON b.id = t.buy_order_id
              LEFT JOIN orders_order s ON s.id = t.sell_order_id
              LEFT JOIN orders_market m ON m.symbol = t.market_id
              LEFT JOIN orders_asset base ON base.symbol = m.base_id
              LEFT JOIN orders_asset quote ON quote.symbol = m.quote_id
            ) fee
            WHERE NOT coalesce(buyer_fee = buyer_due AND seller_fee = seller_due, false)""",  # noqa: S608 - our own SQL
    ),
    Check(
        name="fee_ledger",
        says="Each fee of a trade has its ledger entry, and each entry its trade.",
        looks_at="balances_trade",
        sql="""
            SELECT order_id, trade_id, due.market, due.fee AS fee_due, moved.fee, moved.entries
            FROM (
              SELECT buy_order_id AS order_id, trade_id, market_id AS market, buyer_fee AS fee
              FROM balances_trade WHERE buyer_fee <> 0
              UNION ALL
              SELECT sell_order_id, trade_id, market_id, seller_fee
              FROM balances_trade WHERE seller_fee <> 0
            ) due FULL JOIN (
              SELECT order_id, trade_id, count(*) AS entries, -sum(available_change) AS fee
              FROM balances_ledgerentry WHERE kind = 'fee' AND order_id IS NOT NULL
              GROUP BY order_id, trade_id
            ) moved USING (order_id, trade_id)
            WHERE NOT coalesce(due.fee = moved.fee AND moved.entries = 1, false)""",
    ),
)
