"""Damage to orders, trades and the place on the log."""

from tests.integration.audit.words import (
    ANY,
    CANCELED,
    FILLED,
    LAST_TRADE,
    LIVE,
    ONE_TRADE,
    OPEN,
    PENDING,
    Damage,
)

SWITCH = (
    "INSERT INTO orders_deadmanswitch"
    " (user_id, timeout_seconds, expires_at, fired_at, last_order_id, canceling) VALUES"
)
MAKER = "(SELECT maker_order_id FROM balances_decrement)"

ORDER_DAMAGES = [
    Damage(
        "a prevented self-trade is deleted",
        ("DELETE FROM balances_decrement",),
        {"order_decrements": ()},
    ),
    Damage(
        "a prevented self-trade is of a larger quantity",
        ("UPDATE balances_decrement SET quantity = quantity + 1",),
        {"order_decrements": ()},
    ),
    Damage(
        "a prevented self-trade is of another maker",
        (f"UPDATE balances_decrement SET maker_order_id = {OPEN}",),
        {"order_decrements": ()},
    ),
    Damage(
        "an order reduced others that its rule would not",
        (
            "UPDATE orders_order SET self_trade_prevention = 'cancel_both' WHERE id ="
            " (SELECT taker_order_id FROM balances_decrement)",
        ),
        {"order_decrements": ()},
    ),
    Damage(
        "a reduced order is worth its whole quantity again",
        (f"UPDATE orders_order SET prevented_quantity = 0 WHERE id = {MAKER}",),
        {"holds": (), "order_ledger": (ANY, "open"), "order_decrements": ()},
    ),
    Damage(
        "an order is reduced by more than it has",
        (f"UPDATE orders_order SET prevented_quantity = quantity WHERE id = {MAKER}",),
        {
            "holds": (),
            "order_ledger": (ANY, "open"),
            "order_decrements": (),
            "order_states": (ANY, "open"),
        },
    ),
    Damage(
        "an order that may not rest is live",
        (f"UPDATE orders_order SET time_in_force = 'ioc' WHERE id = {OPEN}",),
        {"order_rules": (ANY, "open", "ioc")},
    ),
    Damage(
        "a market order could have rested",
        (f"UPDATE orders_order SET order_type = 'market' WHERE id = {CANCELED}",),
        {"order_rules": (ANY, "canceled", "gtc", "market")},
    ),
    Damage(
        "an order has spent more than it was to spend",
        (
            "UPDATE orders_order SET order_type = 'market', time_in_force = 'ioc',"
            f" quote_amount = 0.01 WHERE id = {FILLED}",
        ),
        {"order_rules": (ANY, "filled", "ioc", "market"), "order_ledger": (ANY, "filled")},
    ),
    Damage(
        "a fill-or-kill order is filled in part",
        (
            "UPDATE orders_order SET time_in_force = 'fok' WHERE id = (SELECT min(id)"
            " FROM orders_order WHERE filled_quantity > 0 AND status = 'canceled')",
        ),
        {"order_rules": (ANY, "canceled", "fok")},
    ),
    Damage(
        "an order has expired that is good till canceled",
        (f"UPDATE orders_order SET reason = 'expired' WHERE id = {CANCELED}",),
        {"order_expiry": (ANY, "canceled", "expired")},
    ),
    Damage(
        "an order that is good till canceled says till when",
        (f"UPDATE orders_order SET expires_at = now() WHERE id = {OPEN}",),
        {"order_expiry": (ANY, "open")},
    ),
    Damage(
        "an order has expired before its time",
        (
            "UPDATE orders_order SET time_in_force = 'gtd', expires_at = now() + interval '1 day',"
            " cancel_requested_at = now(), cancel_reason = 'expired', reason = 'expired'"
            f" WHERE id = {CANCELED}",
        ),
        {"order_expiry": (ANY, "canceled", "expired", "gtd")},
    ),
    Damage(
        "a post-only order has taken",
        (
            "UPDATE orders_order SET post_only = true WHERE id = (SELECT CASE taker_side"
            f" WHEN 'buy' THEN buy_order_id ELSE sell_order_id END FROM balances_trade WHERE {ONE_TRADE})",
        ),
        {"order_rules": ()},
    ),
    Damage(
        "an order that prevents self-trades has one",
        (
            "UPDATE orders_order SET self_trade_prevention = 'cancel_taker' WHERE id ="
            " (SELECT CASE taker_side WHEN 'buy' THEN buy_order_id ELSE sell_order_id END"
            " FROM balances_trade WHERE buyer_id = seller_id ORDER BY id LIMIT 1)",
        ),
        {"order_rules": ()},
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
        "a pending order that was settled",
        (f"UPDATE orders_order SET settled_at = now() WHERE id = {PENDING}",),
        {"order_way": (ANY, "pending")},
    ),
    Damage(
        "an order that was matched and not settled",
        (f"UPDATE orders_order SET settled_at = NULL WHERE id = {OPEN}",),
        {"order_way": (ANY, "open")},
    ),
    Damage(
        "an open order with a time of its end",
        (f"UPDATE orders_order SET finished_at = now() WHERE id = {OPEN}",),
        {"order_finish": (ANY, "open")},
    ),
    Damage(
        "an order was forgotten by a dead-man switch",
        (f"{SWITCH} (1, NULL, NULL, now(), {OPEN}, false)",),
        {"dead_man_orders": (1,)},
    ),
    Damage(
        "a dead-man switch without its time",
        (f"{SWITCH} (1, 60, NULL, NULL, NULL, false)",),
        {"dead_man_states": (1, 60)},
    ),
    Damage(
        "a dead-man switch that lasts for ever",
        (f"{SWITCH} (1, 86401, now(), NULL, NULL, false)",),
        {"dead_man_states": (1, 86401)},
    ),
    Damage(
        "a dead-man switch that cancels and has not fired",
        (f"{SWITCH} (1, NULL, NULL, NULL, NULL, true)",),
        {"dead_man_states": (1,)},
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
        ('UPDATE balances_checkpoint SET "offset" = 0 WHERE "offset" > 10',),
        {"checkpoints": ()},
    ),
    Damage(
        "a checkpoint is deleted",
        ('DELETE FROM balances_checkpoint WHERE "offset" > 10',),
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
        "an order stands before its own place on the log",
        (
            'UPDATE orders_order SET queue_epoch = epoch, queue_offset = "offset" - 1,'
            f" queue_rank = 1 WHERE id = {OPEN}",
        ),
        {"queue_places": ()},
    ),
    Damage(
        "an order stands where the log has not been settled yet",
        (
            "UPDATE orders_order SET queue_epoch = (SELECT max(number) FROM balances_logepoch),"
            f" queue_offset = 1000000, queue_rank = 1 WHERE id = {OPEN}",
        ),
        {"queue_places": ()},
    ),
    Damage(
        "half a place in the queue",
        (f'UPDATE orders_order SET queue_offset = "offset" + 1 WHERE id = {OPEN}',),
        {"queue_places": ()},
    ),
    Damage(
        "a market is in a state that nobody has ordered",
        ("UPDATE orders_market SET ordered_state = 'halted' WHERE symbol = 'ADA-USDT'",),
        {"market_states": ("ADA-USDT", "open", "halted")},
    ),
    Damage(
        "an ordered state is not that of the market",
        (
            "INSERT INTO orders_marketchange (market_id, state, reason, requested_at, epoch,"
            " \"offset\", applied_at) SELECT 'BTC-USDT', 'post_only', 'test', now(),"
            " max(number), 1, now() FROM balances_logepoch",
        ),
        {"market_states": ("BTC-USDT",)},
    ),
    Damage(
        "a market takes orders that it is not to take",
        ("UPDATE orders_market SET state = 'post_only' WHERE symbol = 'ADA-USDT'",),
        {"market_states": ("ADA-USDT", "post_only", "open")},
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
