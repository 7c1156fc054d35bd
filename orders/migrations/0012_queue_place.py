"""The place of an order in its queue, where it is another one than that of its own event.

For a full table: the columns are added empty, without a look at the rows; the rule is made for new
rows first and held against old ones afterwards. It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

NAME = "order_place_in_queue_whole"
COLUMNS: list[Any] = [
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS queue_epoch integer NULL",
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS queue_offset bigint NULL",
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS queue_rank integer NULL",
]
# Beside the column the check would be held against every row at once, under the lock.
COLUMNS += [
    statement
    for name in ("queue_epoch", "queue_rank")
    for statement in (
        f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS orders_order_{name}_check,"
        f" ADD CONSTRAINT orders_order_{name}_check CHECK ({name} >= 0) NOT VALID",
        f"ALTER TABLE orders_order VALIDATE CONSTRAINT orders_order_{name}_check",
    )
]
NO_COLUMNS = (
    "ALTER TABLE orders_order DROP COLUMN queue_epoch, DROP COLUMN queue_offset,"
    " DROP COLUMN queue_rank"
)
CONDITION = (
    "queue_epoch IS NULL AND queue_offset IS NULL AND queue_rank IS NULL"
    " OR epoch IS NOT NULL AND queue_epoch IS NOT NULL AND queue_offset IS NOT NULL"
    " AND queue_rank IS NOT NULL"
    ' AND (queue_epoch > epoch OR queue_epoch = epoch AND queue_offset >= "offset")'
)
ADD = (
    f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {NAME},"
    f" ADD CONSTRAINT {NAME} CHECK ({CONDITION}) NOT VALID"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0011_order_rules")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS, NO_COLUMNS)],
            state_operations=[
                migrations.AddField("order", "queue_epoch", models.PositiveIntegerField(null=True)),
                migrations.AddField("order", "queue_offset", models.BigIntegerField(null=True)),
                migrations.AddField("order", "queue_rank", models.PositiveIntegerField(null=True)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(ADD, f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {NAME}")
            ],
            state_operations=[
                migrations.AddConstraint(
                    "order",
                    models.CheckConstraint(
                        condition=Q(
                            queue_epoch__isnull=True,
                            queue_offset__isnull=True,
                            queue_rank__isnull=True,
                        )
                        | Q(
                            epoch__isnull=False,
                            queue_epoch__isnull=False,
                            queue_offset__isnull=False,
                            queue_rank__isnull=False,
                        )
                        & (
                            Q(queue_epoch__gt=F("epoch"))
                            | Q(queue_epoch=F("epoch"), queue_offset__gte=F("offset"))
                        ),
                        name=NAME,
                    ),
                )
            ],
        ),
        ValidateConstraint("order", NAME),
    ]
