"""The epoch of the log in which an order was finished: `manage.py replay` begins a log with it.

For a full table: the column is added without a value, old rows are completed a few at a time, and
the rule is made without a look at them and held against them afterwards. No step holds a lock for
long that an order waits for. It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

ROWS = 20_000
COLUMN = "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS finished_epoch integer"
CHECK = "finished_epoch >= 0"
WHOLE = Q(finished_at__isnull=True, finished_epoch__isnull=True) | Q(
    finished_at__isnull=False, finished_epoch__isnull=False
)
BACKFILL = """
UPDATE orders_order o SET finished_epoch = greatest(coalesce(
  (SELECT max(number) FROM balances_logepoch e WHERE e.started_at <= o.finished_at), 1), o.epoch)
WHERE o.finished_at IS NOT NULL AND o.finished_epoch IS NULL AND o.id > %s AND o.id <= %s
"""


def complete(apps: Any, schema_editor: Any) -> None:  # noqa: ARG001 - Django's own interface
    """Give every finished order its epoch, a few at a time, each time in a transaction."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM orders_order")
        (last,) = cursor.fetchone()
        for first in range(0, last, ROWS):
            cursor.execute(BACKFILL, [first, first + ROWS])


def _constraint(name: str, condition: str) -> list[Any]:
    return [
        f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {name}",
        f"ALTER TABLE orders_order ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID",
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("orders", "0001_initial"),
        ("balances", "0002_initial"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    [COLUMN, *_constraint("orders_order_finished_epoch_check", CHECK)],
                    "ALTER TABLE orders_order DROP COLUMN finished_epoch",
                )
            ],
            state_operations=[
                migrations.AddField(
                    model_name="order",
                    name="finished_epoch",
                    field=models.PositiveIntegerField(
                        null=True, help_text="The epoch of the log whose event finished it."
                    ),
                )
            ],
        ),
        migrations.RunPython(complete, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    _constraint(
                        "order_finish_whole", "(finished_at IS NULL) = (finished_epoch IS NULL)"
                    ),
                    "ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS order_finish_whole",
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name="order",
                    constraint=models.CheckConstraint(condition=WHOLE, name="order_finish_whole"),
                )
            ],
        ),
        migrations.RunSQL(
            "ALTER TABLE orders_order VALIDATE CONSTRAINT orders_order_finished_epoch_check",
            migrations.RunSQL.noop,
        ),
        ValidateConstraint("order", "order_finish_whole"),
    ]
