"""The epoch of the log in which an order was finished: `manage.py replay` begins a log with it."""

from django.db import migrations, models
from django.db.models import Q

BACKFILL = """
UPDATE orders_order o SET finished_epoch = coalesce(
  (SELECT max(number) FROM balances_logepoch e WHERE e.started_at <= o.finished_at), o.epoch, 1)
WHERE o.finished_at IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0001_initial"),
        ("balances", "0002_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="finished_epoch",
            field=models.PositiveIntegerField(
                null=True, help_text="The epoch of the log whose event finished it."
            ),
        ),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        # A row that was just changed may have events of deferred foreign keys pending.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=Q(finished_at__isnull=True, finished_epoch__isnull=True)
                | Q(finished_at__isnull=False, finished_epoch__isnull=False),
                name="order_finish_whole",
            ),
        ),
    ]
