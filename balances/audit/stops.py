"""Checks on stop orders: what they wait for, who has elected them, and when they came."""

from balances.audit.check import Check

STOP_CHECKS = (
    Check(
        name="stop_orders",
        says="A stop order says what it waits for, a multiple of the tick size, and no other does;"
        " its election and its trigger are whole, the trigger is behind the election and this not"
        " before the order's own place, and what has come to the book was triggered.",
        looks_at="orders_order",
        sql="""
            SELECT o.id, status, order_type, stop_price, o.epoch, o."offset", elected_at,
              elected_epoch, elected_offset, elected_rank, triggered_at, triggered_epoch,
              triggered_offset
            FROM orders_order o LEFT JOIN orders_market m ON m.symbol = o.market_id
            WHERE NOT coalesce(CASE
              WHEN order_type IN ('stop_limit', 'stop_market') THEN stop_price > 0
                AND mod(stop_price, tick_size) = 0
                AND num_nonnulls(elected_at, elected_epoch, elected_offset, elected_rank) IN (0, 4)
                AND num_nonnulls(triggered_at, triggered_epoch, triggered_offset) IN (0, 3)
                AND (elected_at IS NULL OR elected_rank > 0
                  AND (elected_epoch, elected_offset) >= (o.epoch, o."offset"))
                AND CASE WHEN triggered_at IS NULL
                  THEN status IN ('pending', 'untriggered', 'canceled', 'rejected')
                    AND filled_quantity = 0 AND prevented_quantity = 0
                  ELSE status IN ('open', 'partially_filled', 'filled', 'canceled')
                    AND (triggered_epoch, triggered_offset) > (elected_epoch, elected_offset)
                    AND (queue_epoch, queue_offset) >= (triggered_epoch, triggered_offset) END
              ELSE status <> 'untriggered' AND num_nonnulls(stop_price, elected_at, elected_epoch,
                elected_offset, elected_rank, triggered_at, triggered_epoch, triggered_offset) = 0
              END, false)""",
    ),
    Check(
        name="stop_elections",
        says="The events that elected stop orders and triggered them are settled ones of known"
        " epochs; each event triggers one order, and gives each that it elects a turn of its own.",
        looks_at="orders_order",
        sql="""
            SELECT s.id, elected_epoch, elected_offset, elected_rank, elected_there,
              triggered_epoch, triggered_offset, triggered_there
            FROM (
              SELECT o.*, count(*) OVER
                  (PARTITION BY market_id, elected_epoch, elected_offset, elected_rank)
                  AS elected_there,
                count(*) OVER (PARTITION BY market_id, triggered_epoch, triggered_offset)
                  AS triggered_there
              FROM orders_order o WHERE elected_epoch IS NOT NULL
            ) s
            JOIN orders_market m ON m.symbol = s.market_id
            LEFT JOIN json_each_text(%(partitions)s::json) p ON p.key = m.base_id
            LEFT JOIN balances_checkpoint c ON c.partition = p.value::int
            WHERE NOT coalesce(elected_there = 1
              AND (elected_epoch, elected_offset) <= (c.epoch_id, c."offset")
              AND EXISTS (SELECT FROM balances_logepoch WHERE number = elected_epoch)
              AND (triggered_epoch IS NULL OR triggered_there = 1
                AND (triggered_epoch, triggered_offset) <= (c.epoch_id, c."offset")
                AND EXISTS (SELECT FROM balances_logepoch WHERE number = triggered_epoch)),
              false)""",
    ),
    Check(
        name="stop_waits",
        says="No stop order waits for a price that the last trade of its market has reached: it is"
        " elected.",
        looks_at="orders_order",
        sql="""
            SELECT o.id, o.market_id AS market, o.side, o.stop_price, last.price AS last_price
            FROM orders_order o CROSS JOIN LATERAL (
              SELECT price FROM balances_trade WHERE market_id = o.market_id
              ORDER BY trade_id DESC LIMIT 1
            ) last
            WHERE o.status = 'untriggered' AND o.elected_at IS NULL
              AND CASE o.side WHEN 'buy' THEN last.price >= o.stop_price
                ELSE last.price <= o.stop_price END""",
    ),
)
