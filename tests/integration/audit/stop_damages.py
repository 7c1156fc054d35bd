"""Damage to stop orders."""

from tests.integration.audit.words import ANY, ELECTED, LIMIT, TRIGGERED, WAITING, Damage

NO_ELECTION = "elected_at = NULL, elected_epoch = NULL, elected_offset = NULL, elected_rank = NULL"

STOP_DAMAGES = [
    Damage(
        "an order waits though its price has come",
        (f"UPDATE orders_order SET {NO_ELECTION} WHERE id = {ELECTED}",),
        {"stop_waits": (ANY, "ETH-USDT", "buy", 13, 13)},
    ),
    Damage(
        "an order waits for a price that has come long ago",
        (f"UPDATE orders_order SET stop_price = 1 WHERE id = {WAITING}",),
        {"stop_waits": (ANY, "ETH-USDT", "buy", 1, 13)},
    ),
    Damage(
        "a stop order that waits for nothing",
        (f"UPDATE orders_order SET stop_price = NULL WHERE id = {WAITING}",),
        {"stop_orders": (ANY, "untriggered", "stop_limit")},
    ),
    Damage(
        "a limit order with a stop price",
        (f"UPDATE orders_order SET stop_price = 1 WHERE id = {LIMIT}",),
        {"stop_orders": (ANY, "open", "limit")},
    ),
    Damage(
        "a limit order that waits",
        (f"UPDATE orders_order SET order_type = 'limit', stop_price = NULL WHERE id = {WAITING}",),
        {"stop_orders": (ANY, "untriggered", "limit")},
    ),
    Damage(
        "a stop price that is not on the tick",
        (f"UPDATE orders_order SET stop_price = stop_price + 1e-9 WHERE id = {WAITING}",),
        {"stop_orders": (ANY, "untriggered")},
    ),
    Damage(
        "half an election",
        (f"UPDATE orders_order SET elected_rank = NULL WHERE id = {ELECTED}",),
        {"stop_orders": (ANY, "untriggered")},
    ),
    Damage(
        "an order that was elected before it was there",
        (f'UPDATE orders_order SET elected_offset = "offset" - 1 WHERE id = {ELECTED}',),
        {"stop_orders": (ANY, "untriggered")},
    ),
    Damage(
        "an order that was triggered before it was elected",
        (f"UPDATE orders_order SET triggered_offset = elected_offset WHERE id = {TRIGGERED}",),
        {"stop_orders": (ANY, "open")},
    ),
    Damage(
        "an order that came and was never triggered",
        (
            "UPDATE orders_order SET triggered_at = NULL, triggered_epoch = NULL,"
            f" triggered_offset = NULL WHERE id = {TRIGGERED}",
        ),
        {"stop_orders": (ANY, "open")},
    ),
    Damage(
        "an order that waits is in the book",
        (f"UPDATE orders_order SET status = 'open' WHERE id = {WAITING}",),
        {"stop_orders": (ANY, "open")},
    ),
    Damage(
        "an election that has not been settled",
        (
            "UPDATE orders_order SET elected_offset = 1000000, elected_epoch ="
            f" (SELECT max(number) FROM balances_logepoch) WHERE id = {ELECTED}",
        ),
        {"stop_elections": ()},
    ),
    Damage(
        "an election in an epoch to come",
        (f"UPDATE orders_order SET elected_epoch = 999 WHERE id = {ELECTED}",),
        {"stop_elections": ()},
    ),
    Damage(
        "two orders in one turn",
        (
            "UPDATE orders_order o SET elected_at = e.elected_at, elected_epoch = e.elected_epoch,"
            " elected_offset = e.elected_offset, elected_rank = e.elected_rank"
            f" FROM orders_order e WHERE e.id = {ELECTED} AND o.id = {WAITING}",
        ),
        {"stop_elections": ()},
    ),
    Damage(
        "an order that waits is forgotten in the holds",
        (
            "UPDATE orders_order SET status = 'canceled', finished_at = now(),"
            f" finished_epoch = epoch WHERE id = {WAITING}",
        ),
        {"holds": (), "order_ledger": (ANY, "canceled")},
    ),
]
