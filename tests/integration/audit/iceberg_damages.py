"""Damage to icebergs."""

from tests.integration.audit.words import ANY, ICEBERG, LIMIT, Damage

ICEBERG_DAMAGES = [
    Damage(
        "an iceberg whose parts are not of whole lots",
        (f"UPDATE orders_order SET visible_quantity = 4 + 1e-9 WHERE id = {ICEBERG}",),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
    Damage(
        "an iceberg that shows all of itself",
        (f"UPDATE orders_order SET visible_quantity = quantity WHERE id = {ICEBERG}",),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
    Damage(
        "an iceberg of more than a hundred parts",
        (
            "UPDATE orders_order SET visible_quantity = 0.01, queue_epoch = NULL,"
            f" queue_offset = NULL, queue_rank = NULL WHERE id = {ICEBERG}",
        ),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
    Damage(
        "an order that is put behind others and hides nothing",
        (f"UPDATE orders_order SET visible_quantity = 0 WHERE id = {LIMIT}",),
        {"order_icebergs": (ANY, "open", "gtc")},
    ),
    Damage(
        "an iceberg that was put behind the others and stands where it came",
        (
            "UPDATE orders_order SET queue_epoch = NULL, queue_offset = NULL, queue_rank = NULL"
            f" WHERE id = {ICEBERG}",
        ),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
    Damage(
        "an iceberg that stands where no event has put it",
        (f"UPDATE orders_order SET queue_offset = queue_offset - 1 WHERE id = {ICEBERG}",),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
    Damage(
        "two icebergs that one event has put behind the others, in the wrong order",
        (
            "UPDATE orders_order SET queue_rank = 3 - queue_rank"
            " WHERE visible_quantity > 0 AND queue_rank IS NOT NULL",
        ),
        {"order_icebergs": (ANY, "partially_filled", "gtc")},
    ),
]
