"""Market orders by the amount to spend.

For a full table: the column is added empty, without a look at the rows; the rules are made for new rows
first and held against old ones afterwards. It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields

_STATUS = (
    "status IN ('pending', 'rejected') AND filled_quantity = 0 AND prevented_quantity = 0"
    " OR status = 'open' AND filled_quantity = 0 AND prevented_quantity < quantity"
    ' AND "offset" IS NOT NULL'
    " OR status = 'partially_filled' AND filled_quantity > 0"
    ' AND filled_quantity < quantity - prevented_quantity AND "offset" IS NOT NULL'
    " OR status = 'filled' AND filled_quantity = quantity AND \"offset\" IS NOT NULL"
    " OR status = 'canceled' AND filled_quantity < quantity AND \"offset\" IS NOT NULL"
)
CONDITIONS = {
    # name: (before, from now on, the same for Django)
    "order_status_agrees_with_fill": (
        _STATUS,
        f"{_STATUS} OR status = 'filled' AND quote_amount IS NOT NULL AND filled_quantity > 0"
        ' AND prevented_quantity = 0 AND "offset" IS NOT NULL',
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
    "order_spends_at_most_its_amount": (
        "",
        "quote_amount IS NULL OR order_type = 'market' AND side = 'buy' AND quote_amount > 0"
        " AND filled_quote <= quote_amount",
        Q(quote_amount__isnull=True)
        | Q(
            order_type="market",
            side="buy",
            quote_amount__gt=0,
            filled_quote__lte=F("quote_amount"),
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


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0014_price_band")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "ALTER TABLE orders_order"
                    " ADD COLUMN IF NOT EXISTS quote_amount numeric(38, 18) NULL",
                    "ALTER TABLE orders_order DROP COLUMN quote_amount",
                )
            ],
            state_operations=[
                migrations.AddField(
                    "order",
                    "quote_amount",
                    exchange.fields.AmountField(
                        decimal_places=18,
                        help_text="Quote: what it may spend, and holds. Its quantity is what"
                        " that buys at most.",
                        max_digits=38,
                        null=True,
                    ),
                ),
            ],
        ),
        *(_constraint(name) for name in CONDITIONS),
        *(ValidateConstraint("order", name) for name in CONDITIONS),
    ]
