"""Where an order stands, in SQL: what a check compares to tell who came first."""


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
