"""Time in force, post-only, self-trade prevention, and by how much the latter has reduced an order.

For a full table: the columns have constant defaults, which Postgres adds without a look at the rows;
what an old row gets is what it was, an order that rests and trades with whom it meets. The rules are
made for new rows first and held against old ones afterwards. It can be run again when it was
interrupted.
"""

from decimal import Decimal
from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields

LIVE = ("open", "partially_filled")
PREVENTIONS = ["none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel"]

COLUMNS: list[Any] = [
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS post_only boolean DEFAULT false NOT NULL",
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS"
    " self_trade_prevention varchar(20) DEFAULT 'none' NOT NULL",
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS"
    " prevented_quantity numeric(38, 18) DEFAULT 0 NOT NULL",
]
NO_COLUMNS = (
    "ALTER TABLE orders_order DROP COLUMN post_only, DROP COLUMN self_trade_prevention,"
    " DROP COLUMN prevented_quantity"
)
CONDITIONS = {
    # name: (before, from now on, the same for Django)
    "order_fill_within_quantity": (
        "filled_quantity >= 0 AND filled_quantity <= quantity",
        "filled_quantity >= 0 AND prevented_quantity >= 0"
        " AND filled_quantity <= quantity - prevented_quantity",
        Q(
            filled_quantity__gte=0,
            prevented_quantity__gte=0,
            filled_quantity__lte=F("quantity") - F("prevented_quantity"),
        ),
    ),
    "order_kind_known": (
        "order_type = 'limit' AND side IN ('buy', 'sell') AND time_in_force = 'gtc'",
        "order_type = 'limit' AND side IN ('buy', 'sell')"
        " AND time_in_force IN ('gtc', 'ioc', 'fok') AND self_trade_prevention IN"
        " ('none', 'cancel_taker', 'cancel_maker', 'cancel_both', 'decrement_and_cancel')"
        " AND (time_in_force = 'gtc' OR NOT post_only)",
        Q(
            side__in=["buy", "sell"],
            order_type="limit",
            time_in_force__in=["gtc", "ioc", "fok"],
            self_trade_prevention__in=PREVENTIONS,
        )
        & (Q(time_in_force="gtc") | Q(post_only=False)),
    ),
    "order_status_agrees_with_fill": (
        "(status IN ('pending', 'rejected') AND filled_quantity = 0)"
        " OR (status = 'open' AND filled_quantity = 0 AND \"offset\" IS NOT NULL)"
        " OR (status = 'partially_filled' AND filled_quantity > 0 AND filled_quantity < quantity"
        ' AND "offset" IS NOT NULL)'
        " OR (status = 'filled' AND filled_quantity = quantity AND \"offset\" IS NOT NULL)"
        " OR (status = 'canceled' AND filled_quantity < quantity AND \"offset\" IS NOT NULL)",
        "(status IN ('pending', 'rejected') AND filled_quantity = 0 AND prevented_quantity = 0)"
        " OR (status = 'open' AND filled_quantity = 0 AND prevented_quantity < quantity"
        ' AND "offset" IS NOT NULL)'
        " OR (status = 'partially_filled' AND filled_quantity > 0"
        ' AND filled_quantity < quantity - prevented_quantity AND "offset" IS NOT NULL)'
        " OR (status = 'filled' AND filled_quantity = quantity AND \"offset\" IS NOT NULL)"
        " OR (status = 'canceled' AND filled_quantity < quantity AND \"offset\" IS NOT NULL)",
        (
            Q(status__in=["pending", "rejected"], filled_quantity=0, prevented_quantity=0)
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
            | Q(status="canceled", filled_quantity__lt=F("quantity"), offset__isnull=False)
        ),
    ),
    "order_rests_if_good_till_canceled": (
        "",
        "time_in_force = 'gtc' OR NOT status IN ('open', 'partially_filled')",
        Q(time_in_force="gtc") | ~Q(status__in=LIVE),
    ),
    "order_fok_is_filled_whole": (
        "",
        "time_in_force <> 'fok' OR prevented_quantity = 0"
        " AND (filled_quantity = 0 OR filled_quantity = quantity)",
        ~Q(time_in_force="fok")
        | Q(prevented_quantity=0) & (Q(filled_quantity=0) | Q(filled_quantity=F("quantity"))),
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


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0010_order_way")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS, NO_COLUMNS)],
            state_operations=[
                migrations.AddField(
                    "order", "post_only", models.BooleanField(default=False, db_default=False)
                ),
                migrations.AddField(
                    "order",
                    "self_trade_prevention",
                    models.CharField(
                        choices=[
                            ("none", "None"),
                            ("cancel_taker", "Cancel Taker"),
                            ("cancel_maker", "Cancel Maker"),
                            ("cancel_both", "Cancel Both"),
                            ("decrement_and_cancel", "Decrement And Cancel"),
                        ],
                        db_default="none",
                        default="none",
                        help_text="What happens when it comes and meets an order of the same user.",
                        max_length=20,
                    ),
                ),
                migrations.AddField(
                    "order",
                    "prevented_quantity",
                    exchange.fields.AmountField(
                        db_default=Decimal(0),
                        decimal_places=18,
                        default=Decimal(0),
                        help_text="By how much prevented self-trades have reduced it.",
                        max_digits=38,
                    ),
                ),
                migrations.AlterField(
                    "order",
                    "time_in_force",
                    models.CharField(
                        choices=[
                            ("gtc", "Good till canceled"),
                            ("ioc", "Immediate or cancel"),
                            ("fok", "Fill or kill"),
                        ],
                        default="gtc",
                        max_length=3,
                    ),
                ),
            ],
        ),
        *(_constraint(name) for name in CONDITIONS),
        *(ValidateConstraint("order", name) for name in CONDITIONS),
    ]
