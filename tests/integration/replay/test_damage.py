"""Every kind of damage to what is settled is found by the replay, with the row named."""

from typing import Any, NamedTuple

import pytest

from matching.replay.runner import replay_in_snapshot
from tests.integration.audit.damage import Books
from tests.integration.audit.words import ANY, LIVE

EPOCH = "(SELECT max(number) FROM balances_logepoch WHERE is_new_log)"


def order(condition: str) -> str:
    """An order that was placed on the present log."""
    return f"(SELECT min(id) FROM orders_order WHERE {condition} AND epoch >= {EPOCH})"


OPEN = order("status = 'open' AND side = 'buy'")
FILLED = order("status = 'filled'")
CANCELED = order("status = 'canceled' AND filled_quantity = 0")
PARTIAL = order("status = 'partially_filled'")
# The first trade on the present log of two orders that were both placed there.
NEW_TRADE = (
    "(SELECT min(t.id) FROM balances_trade t JOIN orders_order b ON b.id = t.buy_order_id"
    f" JOIN orders_order s ON s.id = t.sell_order_id WHERE least(b.epoch, s.epoch) >= {EPOCH})"
)
LAST_TRADE = "(SELECT max(id) FROM balances_trade)"


class Damage(NamedTuple):
    """SQL that changes what is settled; what the replay compares that finds it, and in which row."""

    does: str
    sql: str
    found_by: dict[str, tuple[Any, ...]]


DAMAGES = [
    Damage(
        "a trade at another price",
        f"UPDATE balances_trade SET price = price + 1 WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "price")},
    ),
    Damage(
        "a trade of another quantity",
        f"UPDATE balances_trade SET quantity = quantity + 1 WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "quantity")},
    ),
    Damage(
        "a trade with another taker",
        "UPDATE balances_trade SET taker_side = CASE taker_side WHEN 'buy' THEN 'sell'"
        f" ELSE 'buy' END WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "taker_side")},
    ),
    Damage(
        "a trade of another buyer",
        f"UPDATE balances_trade SET buyer_id = 3 - buyer_id WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "buyer_id")},
    ),
    Damage(
        "a trade of another order",
        f"UPDATE balances_trade SET sell_order_id = 999 WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "sell_order_id", ANY, 999)},
    ),
    Damage(
        "a trade with another fee",
        f"UPDATE balances_trade SET buyer_fee = buyer_fee + 1 WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "buyer_fee")},
    ),
    Damage(
        "an order with another rate than it was accepted with",
        f"UPDATE orders_order SET maker_fee_rate = 0.5 WHERE id = {OPEN}",
        {"records": (ANY, ANY, ANY, "the order that was stored has another maker fee rate")},
    ),
    Damage(
        "a market in a state that the log does not know",
        "UPDATE orders_market SET ordered_state = 'halted', state_change_id = 7"
        " WHERE symbol = 'ADA-USDT'",
        {"books": ("ADA-USDT", None, "state", "open", "halted")},
    ),
    Damage(
        "a trade removed",
        f"DELETE FROM balances_trade WHERE id = {NEW_TRADE}",
        {"trades": (ANY, ANY, "missing", ANY, "no such trade")},
    ),
    Damage(
        "the last trade removed",
        f"DELETE FROM balances_trade WHERE id = {LAST_TRADE}",
        {"trades": (ANY, ANY, "missing"), "books": (ANY, None, "last trade number")},
    ),
    Damage(
        "a trade added",
        "INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side,"
        " buy_order_id, sell_order_id, buyer_id, seller_id, executed_at)"
        " SELECT market_id, trade_id + 1, price, quantity, taker_side, buy_order_id, sell_order_id,"
        f" buyer_id, seller_id, executed_at FROM balances_trade WHERE id = {LAST_TRADE}",
        {"trades": (ANY, ANY, "extra"), "books": (ANY, None, "last trade number")},
    ),
    Damage(
        "a live order at another price",
        "UPDATE orders_order o SET price = price - tick_size FROM orders_market"
        f" WHERE symbol = market_id AND o.id = {OPEN}",
        {
            "records": (ANY, ANY, ANY, "the order that was stored has another price"),
            "books": (ANY, ANY, "live", "not live"),
        },
    ),
    Damage(
        "a live order of another user",
        f"UPDATE orders_order SET user_id = 3 - user_id WHERE id = {OPEN}",
        {
            "records": (ANY, ANY, ANY, "the order that was stored has another user"),
            "books": (ANY, ANY, "live", "not live"),
        },
    ),
    Damage(
        "a live order of which another part is left",
        f"UPDATE orders_order SET filled_quantity = filled_quantity / 2 WHERE id = {PARTIAL}",
        {"books": (ANY, ANY, "remaining")},
    ),
    Damage(
        "a live order of which nothing is left",
        f"UPDATE orders_order SET filled_quantity = quantity WHERE id = {OPEN}",
        {"books": ()},
    ),
    Damage(
        "a live order that is canceled",
        f"UPDATE orders_order SET status = 'canceled' WHERE id = {OPEN}",
        {"books": (ANY, ANY, "live", ANY, "not live")},
    ),
    Damage(
        "a canceled order that lives",
        f"UPDATE orders_order SET status = 'open' WHERE id = {CANCELED}",
        {"books": ()},
    ),
    Damage(
        "an accepted order that is rejected",
        f"UPDATE orders_order SET status = 'rejected' WHERE id = {FILLED}",
        {"orders": (ANY, ANY, ANY, ANY, "rejected", "the log does not reject it")},
    ),
    Damage(
        "an order that is pending again",
        f'UPDATE orders_order SET epoch = NULL, "offset" = NULL WHERE id = {FILLED}',
        {"orders": (ANY, ANY, ANY, None, None, "not settled here")},
    ),
    Damage(
        "a pending order that is said to have been placed",
        f"UPDATE orders_order SET epoch = {EPOCH}, \"offset\" = 10000 WHERE status = 'pending'",
        {"orders": (ANY, 10000, None)},
    ),
    Damage(
        "two orders that have changed places",
        'UPDATE orders_order o SET "offset" = other."offset" FROM orders_order other'
        f" WHERE o.id = {FILLED} AND other.id = {CANCELED}",
        {"orders": (ANY, ANY, ANY)},
    ),
    Damage(
        "a live order from before the log of which more is left",
        f"UPDATE orders_order SET filled_quantity = 0 WHERE status = 'partially_filled' AND epoch < {EPOCH}",
        {"books": (ANY, ANY, "remaining")},
    ),
]


@pytest.mark.django_db
def test_what_nobody_has_touched_is_what_the_log_says(damaged: Books) -> None:
    replayed = replay_in_snapshot()
    assert [outcome.name for outcome in replayed.outcomes if outcome.found] == []
    looked_at = {outcome.name: outcome.looked_at for outcome in replayed.outcomes}
    assert all(looked_at.values()), "the flow is meant to give each something to look at"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.does)
def test_damage_is_found(damaged: Books, damage: Damage) -> None:
    damaged.damage(damage.sql)
    found = {outcome.name: outcome for outcome in replay_in_snapshot().outcomes if outcome.found}
    assert found.keys() >= damage.found_by.keys()
    for name, row in damage.found_by.items():
        assert row in [first[: len(row)] for first in found[name].first]


def test_a_checkpoint_that_went_back_is_found(damaged: Books) -> None:
    """What has been settled beyond it is not on the settled part of the log."""
    damaged.damage('UPDATE balances_checkpoint SET "offset" = 3 WHERE "offset" > 20')
    found = {outcome.name: outcome for outcome in replay_in_snapshot().outcomes if outcome.found}
    assert {"orders", "books"} <= found.keys()
    (first, *_) = found["orders"].first
    assert (first[2], first[5]) == (None, "the settled part of the log has no such order here")


def test_a_book_that_cannot_be_is_named(damaged: Books) -> None:
    damaged.damage(
        "UPDATE orders_market SET tick_size = 1e-18",
        f"UPDATE orders_order SET price = 1e-18 WHERE {LIVE} AND side = 'sell' AND market_id IN"
        f" (SELECT market_id FROM orders_order WHERE {LIVE} AND side = 'buy')",
    )
    found = {outcome.name: outcome for outcome in replay_in_snapshot().outcomes if outcome.found}
    assert any("CrossedBook" in row[2] for row in found["books"].first)


def test_orders_that_did_not_fit_when_the_log_began_are_named(damaged: Books) -> None:
    damaged.damage(
        "UPDATE orders_market SET tick_size = 1e-18",
        f"UPDATE orders_order SET price = 1e-18 WHERE side = 'sell' AND epoch < {EPOCH}",
    )
    found = {outcome.name: outcome for outcome in replay_in_snapshot().outcomes if outcome.found}
    assert any("CrossedBook" in row[3] for row in found["beginning"].first)
