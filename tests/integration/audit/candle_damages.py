"""Damage to candles. The books that are damaged have none yet: what is not folded is no difference."""

from tests.integration.audit.words import Damage

_PROGRESS = "INSERT INTO matching_candleprogress (market_id, last_trade_id) VALUES ('ADA-USDT', {})"

CANDLE_DAMAGES = [
    Damage(
        "trades are said to be in candles that are not there",
        (_PROGRESS.format(3),),
        {"candles": ("ADA-USDT", 60)},
    ),
    Damage(
        "a candle has no trade",
        (
            "INSERT INTO matching_candle (market_id, seconds, start, open, high, low, close, volume,"
            " quote_volume, trades, first_trade_id, last_trade_id)"
            " VALUES ('ADA-USDT', 3600, '2026-01-01 12:00Z', 1, 1, 1, 1, 1, 1, 1, 1, 1)",
        ),
        {"candles": ("ADA-USDT", 3600)},
    ),
    Damage(
        "candles are said to be further than the trades",
        (_PROGRESS.format("1 + (SELECT count(*) FROM balances_trade)"),),
        {"candles": ("ADA-USDT", 0)},
    ),
]
