"""Where an order stands, in SQL: what a check compares to tell who came first."""


def place(order: str) -> str:
    """Return the place of an order's own event, as a row (epoch, offset, rank)."""
    return f'({order}.epoch, {order}."offset", 0)'


def standing(order: str) -> str:
    """Return the order's present place in the queue, as a row (epoch, offset, rank)."""
    return (
        f"(coalesce({order}.queue_epoch, {order}.epoch),"
        f' coalesce({order}.queue_offset, {order}."offset"), coalesce({order}.queue_rank, 0))'
    )
