"""How much of itself an iceberg shows at a time; of all other orders nothing.

For a full table: the column is added empty, without a look at the rows; the rule is made for new
rows first and held against old ones afterwards. It can be run again when it was interrupted.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields

NAME = "order_iceberg_possible"
COLUMN = "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS visible_quantity numeric(38, 18) NULL"
NO_COLUMN = "ALTER TABLE orders_order DROP COLUMN visible_quantity"
DROP = f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {NAME}"
CONDITION = (
    "visible_quantity IS NULL OR visible_quantity > 0 AND visible_quantity < quantity"
    " AND quantity <= visible_quantity * 100"
    " AND order_type = 'limit' AND time_in_force IN ('gtc', 'gtd')"
)
ADD = f"{DROP}, ADD CONSTRAINT {NAME} CHECK ({CONDITION}) NOT VALID"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0016_stop_orders")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMN, NO_COLUMN)],
            state_operations=[
                migrations.AddField(
                    "order",
                    "visible_quantity",
                    exchange.fields.AmountField(
                        decimal_places=18,
                        help_text="Of an iceberg: how much of it is seen at a time. Empty: all of"
                        " it.",
                        max_digits=38,
                        null=True,
                    ),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD, DROP)],
            state_operations=[
                migrations.AddConstraint(
                    "order",
                    models.CheckConstraint(
                        condition=Q(visible_quantity__isnull=True)
                        | Q(
                            visible_quantity__isnull=False,
                            visible_quantity__gt=0,
                            visible_quantity__lt=F("quantity"),
                            quantity__lte=F("visible_quantity") * 100,
                            order_type="limit",
                            time_in_force__in=("gtc", "gtd"),
                        ),
                        name=NAME,
                    ),
                )
            ],
        ),
        ValidateConstraint("order", NAME),
    ]
