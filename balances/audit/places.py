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


def taken_epoch(taker: str, trade_id: str) -> str:
    """Return the epoch of the event in which `taker` took the trade `trade_id` of its market."""
    return _of_coming("epoch", taker, trade_id)


def _of_coming(column: str, taker: str, trade_id: str) -> str:
    """Return a part of the place at which a taker came before it took a trade.

    That is its own event or its trigger, or the last amendment before the trade that made it come
    again. Few orders have been amended: the others are not looked up.
    """
    own = f'coalesce({taker}.triggered_{column}, {taker}."{column}")'
    return f"""CASE WHEN {taker}.first_price IS NULL THEN {own} ELSE coalesce((
        SELECT a."{column}" FROM orders_amendment a
        WHERE a.order_id = {taker}.id AND a.moved AND a.last_trade_id < {trade_id}
        ORDER BY a.id DESC LIMIT 1), {own}) END"""  # noqa: S608 - our own SQL


def limit_then(order: str, trade: str) -> str:
    """Return the limit that an order had when it took part in a trade: amendments change it."""
    return f"""CASE WHEN {order}.first_price IS NULL THEN {order}.price ELSE coalesce((
        SELECT a.price_before FROM orders_amendment a
        WHERE a.order_id = {order}.id AND a.status = 'applied'
          AND a.last_trade_id >= {trade}.trade_id
        ORDER BY a.id LIMIT 1), {order}.price) END"""  # noqa: S608 - our own SQL


def refilled(icebergs: str, before: str = "true") -> str:
    """Return the query for the event that has brought the present part of each iceberg.

    Its rows are id, epoch, "offset", and rank, which grows in the order in which the event has put
    several into their queues. An iceberg that still shows its first part is not among them.
    `icebergs`: a table with id, rest (what is left of it, base, more than nothing) and
    visible_quantity. `before`: which takers count, in SQL about `taker`; `rest` is as of then.

    A trade is never of more than what is seen, but a prevented self-trade may be; it is the last
    that its event does to an order of which it leaves anything.
    """
    epoch = _of_coming("epoch", "taker", "took.rank")
    offset = _of_coming("offset", "taker", "took.rank")
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
