"""A user's unfinished orders are found without a look at all that the user ever had.

For a full table: the index is built beside the traffic. It can be run again when it was interrupted.
"""

from django.db import migrations, models
from django.db.models import Q

DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS order_unfinished_by_user"
CREATE_INDEX = (
    "CREATE INDEX CONCURRENTLY order_unfinished_by_user ON orders_order (user_id, id)"
    " WHERE status IN ('pending', 'open', 'partially_filled')"
)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0002_order_finished_epoch")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL([DROP_INDEX, CREATE_INDEX], DROP_INDEX)],
            state_operations=[
                migrations.AddIndex(
                    "order",
                    models.Index(
                        fields=["user", "id"],
                        condition=Q(status__in=("pending", "open", "partially_filled")),
                        name="order_unfinished_by_user",
                    ),
                )
            ],
        ),
    ]
