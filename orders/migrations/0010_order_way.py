"""When an order's first result was published, and when it was settled.

For a full table: the columns are added without a value, and the rule is made without a look at the rows and
held against them afterwards. No step holds a lock for long that an order waits for. It can be run
again when it was interrupted. Orders of before stay without these times.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

COLUMNS = (
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS matched_at timestamp with time zone,"
    " ADD COLUMN IF NOT EXISTS settled_at timestamp with time zone"
)
NO_COLUMNS = "ALTER TABLE orders_order DROP COLUMN matched_at, DROP COLUMN settled_at"
RULE = "settled_at IS NULL AND matched_at IS NULL OR settled_at IS NOT NULL AND epoch IS NOT NULL"
NO_RULE = "ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS order_way_whole"
ADD_RULE = f"ALTER TABLE orders_order ADD CONSTRAINT order_way_whole CHECK ({RULE}) NOT VALID"


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0009_dead_man_switch")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(COLUMNS, NO_COLUMNS),
                migrations.RunSQL([NO_RULE, ADD_RULE], NO_RULE),
            ],
            state_operations=[
                migrations.AddField(
                    model_name="order",
                    name="matched_at",
                    field=models.DateTimeField(
                        null=True,
                        help_text="When the result of its own event was handed to the log.",
                    ),
                ),
                migrations.AddField(
                    model_name="order",
                    name="settled_at",
                    field=models.DateTimeField(
                        null=True, help_text="When that result was settled."
                    ),
                ),
                migrations.AddConstraint(
                    model_name="order",
                    constraint=models.CheckConstraint(
                        condition=Q(settled_at__isnull=True, matched_at__isnull=True)
                        | Q(settled_at__isnull=False, epoch__isnull=False),
                        name="order_way_whole",
                    ),
                ),
            ],
        ),
        ValidateConstraint("order", "order_way_whole"),
    ]
