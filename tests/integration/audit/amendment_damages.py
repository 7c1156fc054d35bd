"""Damage to amended orders and to amendments."""

from tests.integration.audit.words import AMENDED, ANY, APPLIED, Damage

FIRST, LAST = APPLIED.format("min(id)"), APPLIED.format("max(id)")

AMENDMENT_DAMAGES = [
    Damage(
        "an amended order that came with another price",
        (f"UPDATE orders_order SET first_price = 9 WHERE id = {AMENDED}",),
        {
            "order_amendments": (ANY, ANY, "applied", 10, 9),
            "order_ledger": (ANY, "partially_filled"),
        },
    ),
    Damage(
        "an amended order that has forgotten what it was",
        (
            "UPDATE orders_order SET first_price = NULL, first_quantity = NULL"
            f" WHERE id = {AMENDED}",
        ),
        {"order_amendments": (ANY, ANY, "applied"), "order_ledger": (ANY, "partially_filled")},
    ),
    Damage(
        "an amendment that does not follow the one before it",
        (f"UPDATE orders_amendment SET quantity = 7 WHERE id = {FIRST}",),
        {"order_amendments": (ANY, ANY, "applied", 11, 11, 6, 7)},
    ),
    Damage(
        "an amendment that its order knows nothing of",
        (f"UPDATE orders_amendment SET quantity = 7 WHERE id = {LAST}",),
        {"order_amendments": (ANY, ANY, "applied", 12, 12, 7, 6)},
    ),
    Damage(
        "an amendment that was applied after the trade that it made",
        (f"UPDATE orders_amendment SET last_trade_id = last_trade_id + 2 WHERE id = {LAST}",),
        {"trade_parties": ("SOL-USDT", ANY, "buy", 12)},
    ),
    Damage(
        "more on hold for an amendment than was put there",
        ("UPDATE orders_amendment SET held = held + 1 WHERE status = 'waiting'",),
        {"holds": (1, "USDT"), "order_ledger": (ANY, "open")},
    ),
    Damage(
        "a refused amendment whose hold never was",
        ("UPDATE orders_amendment SET held = held + 1 WHERE status = 'refused'",),
        {"order_ledger": (ANY, "filled")},
    ),
    Damage(
        "an amendment that waits for an order that is another by now",
        ("UPDATE orders_amendment SET price_before = 8 WHERE status = 'waiting'",),
        {"order_amendments": (ANY, ANY, "waiting", 8, 9)},
    ),
    Damage(
        "two amendments of one order that wait",
        (
            "DROP INDEX amendment_one_at_a_time",
            "INSERT INTO orders_amendment (order_id, market_id, price, quantity, price_before,"
            " quantity_before, held, request_id, requested_at, status, reason) SELECT order_id,"
            " market_id, price, quantity, price_before, quantity_before, 0, '', now(), status, ''"
            " FROM orders_amendment WHERE status = 'waiting'",
        ),
        {"order_amendments": (ANY, ANY, "waiting", None)},
    ),
]
