"""Stop orders: the price that they wait for, when it came, and when they came to the book.

For a full table: the columns are added empty, without a look at the rows; indexes are built beside
the traffic, and those that take the place of others before these go; the rules are made for new rows
first and held against old ones afterwards. It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields

LIVE = ("open", "partially_filled")
UNFINISHED = ("pending", "untriggered", *LIVE)
PREVENTIONS = ["none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel"]
RESTING = ("gtc", "gtd")
UNPRICED = ("market", "stop_market")
STOPS = ("stop_limit", "stop_market")

_TYPES = {
    "stop_price": "numeric(38, 18)",
    "elected_at": "timestamptz",
    "elected_epoch": "integer",
    "elected_offset": "bigint",
    "elected_rank": "integer",
    "triggered_at": "timestamptz",
    "triggered_epoch": "integer",
    "triggered_offset": "bigint",
}
COLUMNS: list[Any] = [
    f"ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS {name} {kind}"
    for name, kind in _TYPES.items()
]
_NOT_NEGATIVE = ("elected_epoch", "elected_rank", "triggered_epoch")
# Beside the column the check would be held against every row at once, under the lock.
COLUMNS += [
    statement
    for name in _NOT_NEGATIVE
    for statement in (
        f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS orders_order_{name}_check,"
        f" ADD CONSTRAINT orders_order_{name}_check CHECK ({name} >= 0) NOT VALID",
        f"ALTER TABLE orders_order VALIDATE CONSTRAINT orders_order_{name}_check",
    )
]
NO_COLUMNS = "ALTER TABLE orders_order " + ", ".join(f"DROP COLUMN {name}" for name in _TYPES)
FIELDS: dict[str, Any] = {
    "stop_price": exchange.fields.AmountField(
        help_text="Quote per base; the trade price that it waits for. Of a stop order only.",
        max_digits=38, decimal_places=18, null=True,
    ),
    "elected_at": models.DateTimeField(
        help_text="When that price had come; its trigger is on the way since.", null=True
    ),
    "elected_epoch": models.PositiveIntegerField(null=True),
    "elected_offset": models.BigIntegerField(null=True),
    "elected_rank": models.PositiveIntegerField(null=True),
    "triggered_at": models.DateTimeField(help_text="When it came to the book.", null=True),
    "triggered_epoch": models.PositiveIntegerField(null=True),
    "triggered_offset": models.BigIntegerField(null=True),
}  # fmt: skip
_KIND = (
    "side IN ('buy', 'sell') AND time_in_force IN ('gtc', 'ioc', 'fok', 'gtd')"
    " AND self_trade_prevention IN"
    " ('none', 'cancel_taker', 'cancel_maker', 'cancel_both', 'decrement_and_cancel')"
    " AND (time_in_force IN ('gtc', 'gtd') OR NOT post_only)"
    " AND (order_type IN ({types}) OR order_type IN ({unpriced}) AND time_in_force = 'ioc')"
)
_FILL = (
    "(status IN ('pending', 'rejected') AND filled_quantity = 0 AND prevented_quantity = 0)"
    " OR (status = 'open' AND filled_quantity = 0 AND prevented_quantity < quantity"
    ' AND "offset" IS NOT NULL)'
    " OR (status = 'partially_filled' AND filled_quantity > 0"
    ' AND filled_quantity < quantity - prevented_quantity AND "offset" IS NOT NULL)'
    " OR (status = 'filled' AND filled_quantity = quantity AND \"offset\" IS NOT NULL)"
    " OR (status = 'filled' AND quote_amount IS NOT NULL AND filled_quantity > 0"
    ' AND prevented_quantity = 0 AND "offset" IS NOT NULL)'
    " OR (status = 'canceled' AND filled_quantity < quantity AND \"offset\" IS NOT NULL)"
)
CONDITIONS = {
    # name: (before, from now on, the same for Django)
    "order_kind_known": (
        _KIND.format(types="'limit'", unpriced="'market'"),
        _KIND.format(types="'limit', 'stop_limit'", unpriced="'market', 'stop_market'"),
        Q(
            side__in=["buy", "sell"],
            order_type__in=["limit", "market", "stop_limit", "stop_market"],
            time_in_force__in=["gtc", "ioc", "fok", "gtd"],
            self_trade_prevention__in=PREVENTIONS,
        )
        & (Q(time_in_force__in=RESTING) | Q(post_only=False))
        & (~Q(order_type__in=UNPRICED) | Q(time_in_force="ioc")),
    ),
    "order_status_agrees_with_fill": (
        _FILL,
        f"{_FILL} OR (status = 'untriggered' AND filled_quantity = 0 AND prevented_quantity = 0"
        ' AND "offset" IS NOT NULL)',
        (
            Q(status__in=["pending", "rejected"], filled_quantity=0, prevented_quantity=0)
            | Q(
                status="untriggered",
                filled_quantity=0,
                prevented_quantity=0,
                offset__isnull=False,
            )
            | Q(
                status="open",
                filled_quantity=0,
                prevented_quantity__lt=F("quantity"),
                offset__isnull=False,
            )
            | Q(
                status="partially_filled",
                filled_quantity__gt=0,
                filled_quantity__lt=F("quantity") - F("prevented_quantity"),
                offset__isnull=False,
            )
            | Q(status="filled", filled_quantity=F("quantity"), offset__isnull=False)
            | Q(
                status="filled",
                quote_amount__isnull=False,
                filled_quantity__gt=0,
                prevented_quantity=0,
                offset__isnull=False,
            )
            | Q(status="canceled", filled_quantity__lt=F("quantity"), offset__isnull=False)
        ),
    ),
    "order_stop_price_if_stop": (
        "",
        "order_type IN ('stop_limit', 'stop_market') AND stop_price IS NOT NULL AND stop_price > 0"
        " OR NOT order_type IN ('stop_limit', 'stop_market') AND stop_price IS NULL"
        " AND status <> 'untriggered'",
        Q(order_type__in=STOPS, stop_price__isnull=False, stop_price__gt=0)
        | ~Q(order_type__in=STOPS) & Q(stop_price__isnull=True) & ~Q(status="untriggered"),
    ),
    "order_election_whole": (
        "",
        "elected_at IS NULL AND elected_epoch IS NULL AND elected_offset IS NULL"
        " AND elected_rank IS NULL"
        " OR elected_at IS NOT NULL AND elected_epoch IS NOT NULL AND elected_offset IS NOT NULL"
        " AND elected_rank IS NOT NULL AND stop_price IS NOT NULL"
        " AND NOT status IN ('pending', 'rejected')",
        Q(
            elected_at__isnull=True,
            elected_epoch__isnull=True,
            elected_offset__isnull=True,
            elected_rank__isnull=True,
        )
        | Q(
            elected_at__isnull=False,
            elected_epoch__isnull=False,
            elected_offset__isnull=False,
            elected_rank__isnull=False,
            stop_price__isnull=False,
        )
        & ~Q(status__in=["pending", "rejected"]),
    ),
    "order_trigger_whole": (
        "",
        "triggered_at IS NULL AND triggered_epoch IS NULL AND triggered_offset IS NULL"
        " AND (stop_price IS NULL OR filled_quantity = 0"
        " AND NOT status IN ('open', 'partially_filled', 'filled'))"
        " OR triggered_at IS NOT NULL AND triggered_epoch IS NOT NULL"
        " AND triggered_offset IS NOT NULL AND elected_at IS NOT NULL AND queue_epoch IS NOT NULL"
        " AND status <> 'untriggered'",
        Q(
            Q(stop_price__isnull=True)
            | Q(filled_quantity=0) & ~Q(status__in=["open", "partially_filled", "filled"]),
            triggered_at__isnull=True,
            triggered_epoch__isnull=True,
            triggered_offset__isnull=True,
        )
        | Q(
            triggered_at__isnull=False,
            triggered_epoch__isnull=False,
            triggered_offset__isnull=False,
            elected_at__isnull=False,
            queue_epoch__isnull=False,
        )
        & ~Q(status="untriggered"),
    ),
}
# The rules that speak of the type go while the column gets longer and come back as new ones, or all
# rows would be held against them under the lock. A longer varchar itself looks at no row.
_SPENDS = (
    "quote_amount IS NULL OR order_type = 'market' AND side = 'buy' AND quote_amount > 0"
    " AND filled_quote <= quote_amount"
)
LONGER_TYPE = (
    "ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS order_kind_known,"
    " DROP CONSTRAINT IF EXISTS order_spends_at_most_its_amount,"
    " ALTER COLUMN order_type TYPE varchar(16),"
    f" ADD CONSTRAINT order_kind_known CHECK ({CONDITIONS['order_kind_known'][0]}) NOT VALID,"
    f" ADD CONSTRAINT order_spends_at_most_its_amount CHECK ({_SPENDS}) NOT VALID"
)
_UNFINISHED = "status IN ('pending', {}'open', 'partially_filled')"
# Indexes that take the place of one with the same name: (columns, condition)
REPLACED = {
    "order_unfinished_by_user": ("(user_id, id)", _UNFINISHED),
    "order_expiring": (
        "(expires_at)",
        f"expires_at IS NOT NULL AND cancel_requested_at IS NULL AND {_UNFINISHED}",
    ),
}
ADDED = {
    "order_untriggered": (
        "(market_id, side, stop_price)",
        "status = 'untriggered'",
        models.Index(
            fields=["market", "side", "stop_price"],
            condition=Q(status="untriggered"),
            name="order_untriggered",
        ),
    ),
    "order_elected": (
        "(id)",
        "elected_at IS NOT NULL AND status = 'untriggered'",
        models.Index(
            fields=["id"],
            condition=Q(elected_at__isnull=False, status="untriggered"),
            name="order_elected",
        ),
    ),
}


def _replace(name: str, condition: str) -> str:
    """Return one statement, so that no moment is without a rule."""
    drop = f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {name}"
    return f"{drop}, ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID" if condition else drop


def _constraint(name: str) -> Any:
    before, after, condition = CONDITIONS[name]
    added = migrations.AddConstraint(
        "order", models.CheckConstraint(condition=condition, name=name)
    )
    return migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL(_replace(name, after), _replace(name, before))],
        state_operations=[migrations.RemoveConstraint("order", name), added] if before else [added],
    )


def _built_beside(name: str, words: str) -> list[Any]:
    columns, condition = REPLACED[name]
    new = f"{name}_new"
    return [
        f"DROP INDEX CONCURRENTLY IF EXISTS {new}",
        f"CREATE INDEX CONCURRENTLY {new} ON orders_order {columns}"
        f" WHERE {condition.format(words)}",
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
        f"ALTER INDEX {new} RENAME TO {name}",
    ]


def _replaced(name: str, index: models.Index) -> Any:
    return migrations.SeparateDatabaseAndState(
        database_operations=[
            migrations.RunSQL(_built_beside(name, "'untriggered', "), _built_beside(name, ""))
        ],
        state_operations=[
            migrations.RemoveIndex("order", name), migrations.AddIndex("order", index)
        ],
    )  # fmt: skip


def _added(name: str) -> Any:
    columns, condition, index = ADDED[name]
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    create = f"CREATE INDEX CONCURRENTLY {name} ON orders_order {columns} WHERE {condition}"
    return migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL([drop, create], drop)],
        state_operations=[migrations.AddIndex("order", index)],
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0015_quote_amount")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(COLUMNS, NO_COLUMNS),
                migrations.RunSQL(LONGER_TYPE, migrations.RunSQL.noop),
            ],
            state_operations=[
                *(migrations.AddField("order", name, field) for name, field in FIELDS.items()),
                migrations.AlterField(
                    "order",
                    "order_type",
                    models.CharField(
                        choices=[
                            ("limit", "Limit"),
                            ("market", "Market"),
                            ("stop_limit", "Stop Limit"),
                            ("stop_market", "Stop Market"),
                        ],
                        default="limit",
                        max_length=16,
                    ),
                ),
                migrations.AlterField(
                    "order",
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("untriggered", "Untriggered"),
                            ("open", "Open"),
                            ("partially_filled", "Partially Filled"),
                            ("filled", "Filled"),
                            ("canceled", "Canceled"),
                            ("rejected", "Rejected"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
            ],
        ),
        *(_constraint(name) for name in CONDITIONS),
        *(ValidateConstraint("order", name) for name in CONDITIONS),
        ValidateConstraint("order", "order_spends_at_most_its_amount"),
        _replaced(
            "order_unfinished_by_user",
            models.Index(
                fields=["user", "id"],
                condition=Q(status__in=UNFINISHED),
                name="order_unfinished_by_user",
            ),
        ),
        _replaced(
            "order_expiring",
            models.Index(
                fields=["expires_at"],
                condition=Q(
                    expires_at__isnull=False,
                    cancel_requested_at__isnull=True,
                    status__in=UNFINISHED,
                ),
                name="order_expiring",
            ),
        ),
        *(_added(name) for name in ADDED),
    ]
