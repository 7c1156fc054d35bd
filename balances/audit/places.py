"""Where an order stands, in SQL: what a check compares to tell who came first."""

from exchange.records import LARGEST


def place(order: str) -> str:
    """Return the place of the event by which an order came, as a row (epoch, offset, rank).

    That is its own event; of a stop order, its trigger.
    """
    return (
        f"(coalesce({order}.triggered_epoch, {order}.epoch),"
        f' coalesce({order}.triggered_offset, {order}."offset"), 0)'
    )


def standing(order: str) -> str:
    """Return the order's present place in the queue, as a row (epoch, offset, rank)."""
    return (
        f"(coalesce({order}.queue_epoch, {order}.epoch),"
        f' coalesce({order}.queue_offset, {order}."offset"), coalesce({order}.queue_rank, 0))'
    )


def refilled(icebergs: str, before: str = "true") -> str:
    """Return the query for the event that has brought the present part of each iceberg.

    Its rows are id, epoch, "offset", and rank, which grows in the order in which the event has put
    several into their queues. An iceberg that still shows its first part is not among them.
    `icebergs`: a table with id, rest (what is left of it, base, more than nothing) and
    visible_quantity. `before`: which takers count, in SQL about `taker`; `rest` is as of then.

    A trade is never of more than what is seen, but a prevented self-trade may be; it is the last
    that its event does to an order of which it leaves anything.
    """
    epoch = "coalesce(taker.triggered_epoch, taker.epoch)"
    offset = 'coalesce(taker.triggered_offset, taker."offset")'
    return f"""
        SELECT DISTINCT ON (id) id, epoch, "offset", rank FROM (
          SELECT took.id, {epoch} AS epoch, {offset} AS "offset", rank, took.quantity,
            took.visible_quantity, rest + coalesce(sum(took.quantity) OVER (PARTITION BY took.id
              ORDER BY {epoch} DESC, {offset} DESC, rank DESC
              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS rest_after
          FROM (
            SELECT i.*, t.quantity, t.buy_order_id AS taker_id, t.trade_id AS rank
            FROM {icebergs} i JOIN balances_trade t ON t.sell_order_id = i.id
              AND t.taker_side = 'buy'
            UNION ALL
            SELECT i.*, t.quantity, t.sell_order_id, t.trade_id
            FROM {icebergs} i JOIN balances_trade t ON t.buy_order_id = i.id
              AND t.taker_side = 'sell'
            UNION ALL
            SELECT i.*, d.quantity, d.taker_order_id, {LARGEST}
            FROM {icebergs} i JOIN balances_decrement d ON d.maker_order_id = i.id
          ) took JOIN orders_order taker ON taker.id = took.taker_id
          WHERE {before}
        ) moved
        WHERE {_parts("rest_after")} <> {_parts("rest_after + quantity")}
        ORDER BY id, epoch DESC, "offset" DESC, rank DESC"""  # noqa: S608 - our own SQL


def _parts(rest: str) -> str:
    """Return in how many parts an iceberg would show `rest`, exactly: no quotient is rounded."""
    return f"(div({rest}, visible_quantity) + sign(mod({rest}, visible_quantity)))"
