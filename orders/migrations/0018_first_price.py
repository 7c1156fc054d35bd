"""What an amended order was when it came.

For a full table: the columns are added empty, without a look at the rows; the rule is made for new
rows first and held against old ones afterwards. It can be run again when it was interrupted.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

import exchange.fields

NAME = "order_amended_whole"
COLUMNS = (
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS first_price numeric(38, 18) NULL,"
    " ADD COLUMN IF NOT EXISTS first_quantity numeric(38, 18) NULL"
)
NO_COLUMNS = "ALTER TABLE orders_order DROP COLUMN first_price, DROP COLUMN first_quantity"
DROP = f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {NAME}"
CONDITION = (
    "first_price IS NULL AND first_quantity IS NULL"
    " OR first_price IS NOT NULL AND first_quantity IS NOT NULL"
    " AND first_price > 0 AND first_quantity > 0"
    " AND time_in_force IN ('gtc', 'gtd') AND visible_quantity IS NULL"
)
ADD = f"{DROP}, ADD CONSTRAINT {NAME} CHECK ({CONDITION}) NOT VALID"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0017_iceberg")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS, NO_COLUMNS)],
            state_operations=[
                migrations.AddField(
                    "order",
                    "first_price",
                    exchange.fields.AmountField(
                        decimal_places=18,
                        help_text="Quote per base; its price when it came, if it has been amended"
                        " since.",
                        max_digits=38,
                        null=True,
                    ),
                ),
                migrations.AddField(
                    "order",
                    "first_quantity",
                    exchange.fields.AmountField(
                        decimal_places=18,
                        help_text="Base; its quantity when it came, if it has been amended since.",
                        max_digits=38,
                        null=True,
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(ADD, DROP)],
            state_operations=[
                migrations.AddConstraint(
                    "order",
                    models.CheckConstraint(
                        condition=Q(first_price__isnull=True, first_quantity__isnull=True)
                        | Q(
                            first_price__isnull=False,
                            first_quantity__isnull=False,
                            first_price__gt=0,
                            first_quantity__gt=0,
                            time_in_force__in=("gtc", "gtd"),
                            visible_quantity__isnull=True,
                        ),
                        name=NAME,
                    ),
                )
            ],
        ),
        ValidateConstraint("order", NAME),
    ]
