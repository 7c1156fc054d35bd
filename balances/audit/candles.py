"""The check on candles: they are derived, and must say what the settled trades say."""

from balances.audit.check import Check

CANDLE_CHECKS = (
    Check(
        name="candles",
        says="A candle is what the trades of its interval come to, as far as they are in.",
        looks_at="balances_trade",
        sql="""
            WITH minutes AS (
              SELECT t.market_id, 60 AS seconds, date_trunc('minute', t.executed_at) AS start,
                (array_agg(t.price ORDER BY t.trade_id))[1] AS open, max(t.price) AS high,
                min(t.price) AS low, (array_agg(t.price ORDER BY t.trade_id DESC))[1] AS close,
                sum(t.quantity) AS volume, sum(t.price * t.quantity) AS quote_volume,
                count(*) AS trades, min(t.trade_id) AS first_id, max(t.trade_id) AS last_id
              FROM balances_trade t JOIN matching_candleprogress p
                ON p.market_id = t.market_id AND t.trade_id <= p.last_trade_id
              GROUP BY 1, 2, 3
            ), due AS (
              SELECT * FROM minutes
              UNION ALL
              SELECT market_id, longer.seconds,
                to_timestamp(floor(extract(epoch FROM start) / longer.seconds) * longer.seconds),
                (array_agg(open ORDER BY first_id))[1], max(high), min(low),
                (array_agg(close ORDER BY last_id DESC))[1], sum(volume), sum(quote_volume),
                sum(trades), min(first_id), max(last_id)
              FROM minutes
              CROSS JOIN (VALUES (300), (900), (3600), (14400), (86400)) AS longer(seconds)
              GROUP BY 1, 2, 3
            )
            SELECT market_id AS market, seconds, start, due.trades AS trades_due, c.trades,
              due.volume AS volume_due, c.volume, due.close AS close_due, c.close
            FROM due FULL JOIN matching_candle c USING (market_id, seconds, start)
            WHERE (due.open, due.high, due.low, due.close, due.volume, due.quote_volume,
                due.trades, due.first_id, due.last_id)
              IS DISTINCT FROM (c.open, c.high, c.low, c.close, c.volume, c.quote_volume,
                c.trades, c.first_trade_id, c.last_trade_id)
            UNION ALL
            SELECT p.market_id, 0, NULL, p.last_trade_id, NULL, NULL, NULL, NULL, NULL
            FROM matching_candleprogress p
            WHERE p.last_trade_id > 0 AND NOT EXISTS (
              SELECT FROM balances_trade t
              WHERE t.market_id = p.market_id AND t.trade_id = p.last_trade_id)""",
    ),
)
