"""Checks on orders: their states, fills and holds, and what the ledger says of each."""

from balances.audit.check import Check
from balances.audit.places import place, refilled, standing

ORDER_CHECKS = (
    Check(
        name="holds",
        says="What a user has on hold of an asset is what their unfinished orders, amendments that"
        " wait and requested withdrawals reserve.",
        looks_at="balances_balance",
        sql="""
            SELECT user_id, asset_id AS asset, b.held, o.held AS reserved_by_orders,
              a.held AS reserved_by_amendments, w.held AS reserved_by_withdrawals
            FROM balances_balance b FULL JOIN (
              SELECT user_id, CASE side WHEN 'buy' THEN quote_id ELSE base_id END AS asset_id,
                sum(coalesce(quote_amount, (quantity - filled_quantity - prevented_quantity)
                  * CASE side WHEN 'buy' THEN price ELSE 1 END)) AS held
              FROM orders_order JOIN orders_market ON symbol = market_id
              WHERE status IN ('pending', 'untriggered', 'open', 'partially_filled')
              GROUP BY 1, 2
            ) o USING (user_id, asset_id) FULL JOIN (
              SELECT user_id, CASE side WHEN 'buy' THEN quote_id ELSE base_id END AS asset_id,
                sum(a.held) AS held
              FROM orders_amendment a JOIN orders_order ON orders_order.id = a.order_id
              JOIN orders_market ON symbol = a.market_id
              WHERE a.status = 'waiting' GROUP BY 1, 2
            ) a USING (user_id, asset_id) FULL JOIN (
              SELECT user_id, asset_id, sum(amount) AS held FROM balances_transfer
              WHERE kind = 'withdrawal' AND status = 'requested' GROUP BY 1, 2
            ) w USING (user_id, asset_id)
            WHERE coalesce(b.held, 0) <> coalesce(o.held, 0) + coalesce(a.held, 0)
              + coalesce(w.held, 0)""",
    ),
    Check(
        name="order_fills",
        says="An order is filled by what its trades say, in quantity and in quote.",
        looks_at="orders_order",
        sql="""
            SELECT o.id, t.id AS order_of_trades, o.filled_quantity, t.quantity AS traded_quantity,
              o.filled_quote, t.quote AS traded_quote
            FROM orders_order o FULL JOIN (
              SELECT id, sum(quantity) AS quantity, sum(quantity * price) AS quote FROM (
                SELECT buy_order_id AS id, quantity, price FROM balances_trade
                UNION ALL SELECT sell_order_id, quantity, price FROM balances_trade
              ) side GROUP BY id
            ) t ON t.id = o.id
            WHERE coalesce(o.filled_quantity, 0) <> coalesce(t.quantity, 0)
              OR coalesce(o.filled_quote, 0) <> coalesce(t.quote, 0)""",
    ),
    Check(
        name="order_states",
        says="An order's status agrees with its fill, with what was prevented, and with its place"
        " on the log.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, quantity, filled_quantity, filled_quote, prevented_quantity,
              quote_amount, epoch, "offset"
            FROM orders_order
            WHERE NOT coalesce(prevented_quantity >= 0
              AND filled_quantity + prevented_quantity <= quantity AND CASE status
                WHEN 'pending' THEN filled_quantity = 0 AND prevented_quantity = 0
                  AND epoch IS NULL
                WHEN 'rejected' THEN filled_quantity = 0 AND prevented_quantity = 0
                WHEN 'untriggered' THEN filled_quantity = 0 AND prevented_quantity = 0
                  AND epoch IS NOT NULL
                WHEN 'open' THEN filled_quantity = 0 AND prevented_quantity < quantity
                  AND epoch IS NOT NULL
                WHEN 'partially_filled' THEN filled_quantity > 0
                  AND filled_quantity + prevented_quantity < quantity AND epoch IS NOT NULL
                WHEN 'filled' THEN (filled_quantity = quantity OR quote_amount IS NOT NULL
                  AND filled_quantity > 0 AND prevented_quantity = 0) AND epoch IS NOT NULL
                WHEN 'canceled' THEN filled_quantity >= 0 AND filled_quantity < quantity
                  AND epoch IS NOT NULL
              END, false)
              OR (epoch IS NULL) <> ("offset" IS NULL)
              OR (filled_quantity = 0) <> (filled_quote = 0)""",
    ),
    Check(
        name="order_rules",
        says="An order did what its type, its time in force, its post-only flag and its self-trade"
        " prevention say, and has spent no more than it was to spend.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, time_in_force, order_type, post_only, self_trade_prevention,
              quantity, filled_quantity, prevented_quantity, quote_amount, filled_quote, t.as_taker,
              t.with_own_user
            FROM orders_order o LEFT JOIN (
              SELECT CASE taker_side WHEN 'buy' THEN buy_order_id ELSE sell_order_id END AS id,
                count(*) AS as_taker, count(*) FILTER (WHERE buyer_id = seller_id) AS with_own_user
              FROM balances_trade GROUP BY 1
            ) t USING (id)
            WHERE time_in_force NOT IN ('gtc', 'gtd') AND (post_only
                OR status IN ('open', 'partially_filled'))
              OR order_type NOT IN ('limit', 'stop_limit')
                AND (order_type NOT IN ('market', 'stop_market') OR time_in_force <> 'ioc')
              OR quote_amount IS NOT NULL AND (order_type <> 'market' OR side <> 'buy'
                OR quote_amount <= 0 OR filled_quote > quote_amount)
              OR time_in_force = 'fok' AND (prevented_quantity <> 0
                OR filled_quantity NOT IN (0, quantity))
              OR post_only AND t.as_taker > 0
              OR self_trade_prevention <> 'none' AND t.with_own_user > 0""",
    ),
    Check(
        name="order_expiry",
        says="An order that is good till a date says till when, and no other does; one that has"
        " expired was asked to go when its time was over.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, reason, time_in_force, expires_at, cancel_requested_at, cancel_reason
            FROM orders_order
            WHERE (time_in_force = 'gtd') <> (expires_at IS NOT NULL)
              OR cancel_reason NOT IN ('', 'expired')
              OR cancel_reason = 'expired'
                AND NOT coalesce(cancel_requested_at >= expires_at, false)
              OR reason = 'expired' AND (status <> 'canceled' OR cancel_reason <> 'expired')""",
    ),
    Check(
        name="order_icebergs",
        says="An iceberg rests, and its parts are possible ones; a live one stands where it was put"
        " when its present part was brought.",
        looks_at="orders_order",
        sql=f"""
            WITH iceberg AS (
              SELECT id, quantity - filled_quantity - prevented_quantity AS rest, visible_quantity
              FROM orders_order
              WHERE visible_quantity > 0 AND status IN ('open', 'partially_filled')
            ), refilled AS ({refilled("iceberg")})
            SELECT o.id, o.status, o.time_in_force, o.quantity, o.visible_quantity, queue_epoch,
              queue_offset, queue_rank, due.epoch AS epoch_due, due."offset" AS offset_due
            FROM orders_order o LEFT JOIN orders_market m ON m.symbol = o.market_id
            LEFT JOIN (
              SELECT r.*, row_number() OVER (same_event ORDER BY r.rank)
                = row_number() OVER (same_event ORDER BY queue_rank) AS in_turn
              FROM refilled r JOIN orders_order USING (id)
              WINDOW same_event AS (PARTITION BY market_id, r.epoch, r."offset")
            ) due ON due.id = o.id
            WHERE o.visible_quantity IS NOT NULL AND NOT coalesce(o.visible_quantity > 0
              AND o.visible_quantity < o.quantity AND o.quantity <= 100 * o.visible_quantity
              AND mod(o.visible_quantity, lot_size) = 0 AND o.order_type = 'limit'
              AND o.time_in_force IN ('gtc', 'gtd')
              AND (o.status NOT IN ('open', 'partially_filled')
                OR (queue_epoch, queue_offset) IS NOT DISTINCT FROM (due.epoch, due."offset")
                  AND coalesce(due.in_turn, true)), false)""",  # noqa: S608 - our own SQL
    ),
    Check(
        name="order_decrements",
        says="An order was reduced by what its prevented self-trades say, which are of two orders"
        " of one user and market, the taker's rule being to reduce both.",
        looks_at="orders_order",
        sql=f"""
            SELECT coalesce(o.id, d.id) AS id, o.prevented_quantity, d.quantity AS decremented,
              d.wrong
            FROM orders_order o FULL JOIN (
              SELECT side.id, sum(side.quantity) AS quantity, count(*) FILTER (WHERE NOT coalesce(
                t.user_id = m.user_id AND t.market_id = m.market_id AND t.side <> m.side
                AND t.self_trade_prevention = 'decrement_and_cancel'
                AND {place("m")} < {standing("t")}, false)) AS wrong
              FROM (
                SELECT taker_order_id AS id, taker_order_id, maker_order_id, quantity
                FROM balances_decrement
                UNION ALL SELECT maker_order_id, taker_order_id, maker_order_id, quantity
                FROM balances_decrement
              ) side
              LEFT JOIN orders_order t ON t.id = side.taker_order_id
              LEFT JOIN orders_order m ON m.id = side.maker_order_id
              GROUP BY side.id
            ) d ON d.id = o.id
            WHERE coalesce(o.prevented_quantity, 0) <> coalesce(d.quantity, 0) OR d.wrong > 0""",  # noqa: S608 - our own SQL
    ),
    Check(
        name="order_finish",
        says="A finished order says when and in which epoch it was finished, not before the one it"
        " was placed in; an unfinished one says neither.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, created_at, finished_at, epoch, finished_epoch FROM orders_order
            WHERE (status IN ('filled', 'canceled', 'rejected')) <> (finished_at IS NOT NULL)
              OR (finished_at IS NULL) <> (finished_epoch IS NULL)
              OR finished_epoch < epoch""",
    ),
    Check(
        name="order_way",
        says="An order says when it was settled, and matched, only if it has a place on the log.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, epoch, "offset", matched_at, settled_at FROM orders_order
            WHERE settled_at IS NOT NULL AND epoch IS NULL
              OR settled_at IS NULL AND matched_at IS NOT NULL""",
    ),
    Check(
        name="order_amounts",
        says="Prices are positive multiples of the tick size, quantities of the lot size, amounts"
        " to spend of both.",
        looks_at="orders_order",
        sql="""
            SELECT o.id, o.market_id AS market, price, tick_size, quantity, filled_quantity,
              prevented_quantity, lot_size, quote_amount
            FROM orders_order o LEFT JOIN orders_market m ON m.symbol = o.market_id
            WHERE NOT coalesce(price > 0 AND quantity > 0 AND mod(price, tick_size) = 0
              AND mod(quantity, lot_size) = 0 AND mod(filled_quantity, lot_size) = 0
              AND mod(prevented_quantity, lot_size) = 0
              AND mod(coalesce(quote_amount, 0), tick_size * lot_size) = 0, false)""",
    ),
    Check(
        name="order_ledger",
        says="The ledger has held, paid, credited and released for an order what its price, fill"
        " and status imply; for a finished one nothing is left on hold.",
        looks_at="orders_order",
        sql="""
            SELECT id, status, due.held AS held_due, moved.held, due.paid AS paid_due, moved.paid,
              due.received AS received_due, moved.received, due.released AS released_due,
              moved.released
            FROM (
              SELECT id, status, held, paid, received, held - paid - still_held AS released
              FROM (
                SELECT id, o.status,
                  coalesce(quote_amount, CASE side
                    WHEN 'buy' THEN coalesce(first_price * first_quantity, price * quantity)
                    ELSE coalesce(first_quantity, quantity) END) + coalesce(a.held, 0) AS held,
                  CASE side WHEN 'buy' THEN filled_quote ELSE filled_quantity END AS paid,
                  CASE side WHEN 'buy' THEN filled_quantity ELSE filled_quote END AS received,
                  CASE WHEN o.status IN ('filled', 'canceled', 'rejected') THEN 0
                    ELSE coalesce(quote_amount, (quantity - filled_quantity - prevented_quantity)
                      * CASE side WHEN 'buy' THEN price ELSE 1 END) END
                    + coalesce(a.waiting, 0) AS still_held
                FROM orders_order o LEFT JOIN (
                  SELECT order_id, sum(held) AS held,
                    sum(held) FILTER (WHERE status = 'waiting') AS waiting
                  FROM orders_amendment GROUP BY 1
                ) a ON a.order_id = o.id
              ) kept
            ) due LEFT JOIN (
              SELECT order_id,
                coalesce(sum(held_change) FILTER (WHERE kind = 'hold'), 0) AS held,
                coalesce(-sum(held_change) FILTER (WHERE kind = 'trade'), 0) AS paid,
                coalesce(sum(available_change) FILTER (WHERE kind = 'trade'), 0) AS received,
                coalesce(-sum(held_change) FILTER (WHERE kind = 'release'), 0) AS released
              FROM balances_ledgerentry WHERE order_id IS NOT NULL GROUP BY order_id
            ) moved ON moved.order_id = due.id
            WHERE NOT coalesce(due.held = moved.held AND due.paid = moved.paid
              AND due.received = moved.received AND due.released = moved.released, false)""",
    ),
    Check(
        name="order_amendments",
        says="An order's amendments follow one another from what it was when it came to what it is;"
        " one that waits is of what it is, and no order has two of those.",
        looks_at="orders_amendment",
        sql="""
            SELECT order_id, id, status, price_before, price_due, quantity_before, quantity_due
            FROM (
              SELECT a.order_id, a.id, a.status, a.price_before, a.quantity_before,
                CASE WHEN a.status = 'waiting' THEN o.price ELSE lag(a.price, 1, o.first_price)
                  OVER applied END AS price_due,
                CASE WHEN a.status = 'waiting' THEN o.quantity
                  ELSE lag(a.quantity, 1, o.first_quantity) OVER applied END AS quantity_due
              FROM orders_amendment a LEFT JOIN orders_order o ON o.id = a.order_id
              WHERE a.status <> 'refused'
              WINDOW applied AS (PARTITION BY a.order_id, a.status ORDER BY a.id)
            ) each
            WHERE (price_before, quantity_before) IS DISTINCT FROM (price_due, quantity_due)
            UNION ALL
            SELECT o.id, last.id, last.status, last.price, o.price, last.quantity, o.quantity
            FROM orders_order o LEFT JOIN LATERAL (
              SELECT * FROM orders_amendment WHERE order_id = o.id AND status = 'applied'
              ORDER BY id DESC LIMIT 1
            ) last ON true
            WHERE o.first_price IS NOT NULL
              AND (o.price, o.quantity) IS DISTINCT FROM (last.price, last.quantity)
            UNION ALL
            SELECT order_id, min(id), 'waiting', NULL, NULL, NULL, NULL FROM orders_amendment
            WHERE status = 'waiting' GROUP BY order_id HAVING count(*) > 1""",
    ),
    Check(
        name="dead_man_orders",
        says="A dead-man switch that has done its work has left no order of that time for which no"
        " cancel was asked.",
        looks_at="orders_deadmanswitch",
        sql="""
            SELECT s.user_id, o.id AS order_id, o.status, s.fired_at, s.last_order_id
            FROM orders_deadmanswitch s JOIN orders_order o
              ON o.user_id = s.user_id AND o.id <= s.last_order_id
            WHERE NOT s.canceling AND o.cancel_requested_at IS NULL
              AND o.status IN ('pending', 'untriggered', 'open', 'partially_filled')""",
    ),
    Check(
        name="dead_man_states",
        says="An armed dead-man switch says for how long and until when, one that has fired says"
        " when, and up to which order.",
        looks_at="orders_deadmanswitch",
        sql="""
            SELECT user_id, timeout_seconds, expires_at, fired_at, last_order_id, canceling
            FROM orders_deadmanswitch
            WHERE (timeout_seconds IS NULL) <> (expires_at IS NULL)
              OR timeout_seconds NOT BETWEEN 5 AND 86400
              OR (fired_at IS NULL) <> (last_order_id IS NULL)
              OR canceling AND fired_at IS NULL""",
    ),
    Check(
        name="market_states",
        says="A market is in the state that was ordered last and has been applied, or is halted.",
        looks_at="orders_market",
        sql="""
            SELECT m.symbol AS market, m.state, m.ordered_state, m.state_change_id,
              c.id AS last_change, c.state AS changed_to
            FROM orders_market m LEFT JOIN LATERAL (
              SELECT id, state FROM orders_marketchange
              WHERE market_id = m.symbol AND applied_at IS NOT NULL ORDER BY id DESC LIMIT 1
            ) c ON true
            WHERE m.state_change_id <> coalesce(c.id, 0)
              OR m.ordered_state <> coalesce(c.state, 'open')
              OR m.state NOT IN (m.ordered_state, 'halted')""",
    ),
    Check(
        name="crossed_book",
        says="No live buy order reaches a live sell order.",
        looks_at="orders_order",
        sql="""
            SELECT market_id AS market, max(price) FILTER (WHERE side = 'buy') AS best_bid,
              min(price) FILTER (WHERE side = 'sell') AS best_ask
            FROM orders_order WHERE status IN ('open', 'partially_filled') GROUP BY market_id
            HAVING max(price) FILTER (WHERE side = 'buy')
              >= min(price) FILTER (WHERE side = 'sell')""",
    ),
)
