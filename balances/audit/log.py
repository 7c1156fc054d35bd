"""Checks on where Postgres stands on the log, and on what has been stopped."""

from balances.audit.check import Check

LOG_CHECKS = (
    Check(
        name="checkpoints",
        says="Each partition's checkpoint is of the present epoch, and no order of this epoch has"
        " its place beyond it.",
        looks_at="balances_checkpoint",
        sql="""
            SELECT partition, c.epoch_id AS epoch, now.epoch AS present_epoch, c."offset",
              placed."offset" AS last_order_at
            FROM balances_checkpoint c FULL JOIN (
              SELECT p.value::int AS partition, max(o."offset") AS "offset"
              FROM orders_order o JOIN orders_market m ON m.symbol = o.market_id
              JOIN json_each_text(%(partitions)s::json) p ON p.key = m.base_id
              WHERE o.epoch = (SELECT max(number) FROM balances_logepoch) GROUP BY 1
            ) placed USING (partition)
            CROSS JOIN (SELECT max(number) AS epoch FROM balances_logepoch) now
            WHERE c.epoch_id IS NULL OR placed."offset" > c."offset" OR c."offset" < -1
              OR c.epoch_id <> now.epoch AND partition IN (
                SELECT value::int FROM json_each_text(%(partitions)s::json))""",
    ),
    Check(
        name="order_epochs",
        says="The epoch of every order is known, and none is beyond the present one.",
        looks_at="orders_order",
        sql="""
            SELECT o.id, o.epoch, o."offset", o.finished_epoch,
              (SELECT max(number) FROM balances_logepoch) AS present_epoch
            FROM orders_order o
            LEFT JOIN balances_logepoch e ON e.number = o.epoch
            LEFT JOIN balances_logepoch f ON f.number = o.finished_epoch
            WHERE o.epoch IS NOT NULL AND e.number IS NULL
              OR o.finished_epoch IS NOT NULL AND f.number IS NULL""",
    ),
    Check(
        name="order_places",
        says="A place on the log (partition, epoch, offset) is that of one order alone.",
        looks_at="orders_order",
        sql="""
            SELECT p.value::int AS partition, o.epoch, o."offset", count(*) AS orders,
              min(o.id) AS first_order, max(o.id) AS last_order
            FROM orders_order o JOIN orders_market m ON m.symbol = o.market_id
            JOIN json_each_text(%(partitions)s::json) p ON p.key = m.base_id
            WHERE o.epoch IS NOT NULL GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    ),
    Check(
        name="queue_places",
        says="A place in the queue is whole, of an order with a place on the log, not before that"
        " one and not beyond the checkpoint, and no other order of the market has it.",
        looks_at="orders_order",
        sql="""
            SELECT q.id, q.epoch, q."offset", queue_epoch, queue_offset, queue_rank, orders
            FROM (
              SELECT o.*, count(*) OVER
                (PARTITION BY market_id, queue_epoch, queue_offset, queue_rank) AS orders
              FROM orders_order o
              WHERE num_nonnulls(queue_epoch, queue_offset, queue_rank) > 0
            ) q
            JOIN orders_market m ON m.symbol = q.market_id
            LEFT JOIN json_each_text(%(partitions)s::json) p ON p.key = m.base_id
            LEFT JOIN balances_checkpoint c ON c.partition = p.value::int
            WHERE NOT coalesce((q.epoch, q."offset") <= (queue_epoch, queue_offset)
              AND queue_rank >= 0 AND orders = 1
              AND (queue_epoch, queue_offset) <= (c.epoch_id, c."offset"), false)""",
    ),
    Check(
        name="halted_markets",
        says="No market has been halted by the settlement.",
        looks_at="orders_market",
        finds="halt",
        sql="""
            SELECT market_id AS market, epoch_id AS epoch, "offset", reason
            FROM balances_markethalt""",
    ),
    Check(
        name="halted_partitions",
        says="No partition has been halted.",
        looks_at="balances_checkpoint",
        finds="halt",
        sql="""
            SELECT partition, epoch_id AS epoch, "offset", halted_reason AS reason
            FROM balances_checkpoint WHERE halted_reason <> ''""",
    ),
)
