"""Orders that are good till a date, and why a cancel was asked for.

For a full table: the columns are added empty or with a constant, without a look at the rows; the
index is built beside the traffic; the rules are made for new rows first and held against old ones
afterwards. It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

LIVE = ("open", "partially_filled")
PREVENTIONS = ["none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel"]
RESTING = ("gtc", "gtd")

COLUMNS: list[Any] = [
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS expires_at timestamptz NULL",
    "ALTER TABLE orders_order ADD COLUMN IF NOT EXISTS"
    " cancel_reason varchar(20) DEFAULT '' NOT NULL",
]
NO_COLUMNS = "ALTER TABLE orders_order DROP COLUMN expires_at, DROP COLUMN cancel_reason"
_KIND = (
    "order_type = 'limit' AND side IN ('buy', 'sell')"
    " AND time_in_force IN ({times}) AND self_trade_prevention IN"
    " ('none', 'cancel_taker', 'cancel_maker', 'cancel_both', 'decrement_and_cancel')"
    " AND (time_in_force IN ({resting}) OR NOT post_only)"
)
_RESTS = "time_in_force IN ({resting}) OR NOT status IN ('open', 'partially_filled')"
CONDITIONS = {
    # name: (before, from now on, the same for Django)
    "order_kind_known": (
        _KIND.format(times="'gtc', 'ioc', 'fok'", resting="'gtc'"),
        _KIND.format(times="'gtc', 'ioc', 'fok', 'gtd'", resting="'gtc', 'gtd'"),
        Q(
            side__in=["buy", "sell"],
            order_type="limit",
            time_in_force__in=["gtc", "ioc", "fok", "gtd"],
            self_trade_prevention__in=PREVENTIONS,
        )
        & (Q(time_in_force__in=RESTING) | Q(post_only=False)),
    ),
    "order_rests_if_good_till_canceled": (
        _RESTS.format(resting="'gtc'"),
        _RESTS.format(resting="'gtc', 'gtd'"),
        Q(time_in_force__in=RESTING) | ~Q(status__in=LIVE),
    ),
    "order_expires_if_good_till_date": (
        "",
        "(time_in_force = 'gtd') = (expires_at IS NOT NULL)",
        Q(time_in_force="gtd", expires_at__isnull=False)
        | ~Q(time_in_force="gtd") & Q(expires_at__isnull=True),
    ),
    "order_cancel_reason_known": (
        "",
        "cancel_reason = '' OR cancel_reason = 'expired' AND time_in_force = 'gtd'"
        " AND cancel_requested_at IS NOT NULL AND cancel_requested_at >= expires_at",
        Q(cancel_reason="")
        | Q(
            cancel_reason="expired",
            time_in_force="gtd",
            cancel_requested_at__isnull=False,
            cancel_requested_at__gte=F("expires_at"),
        ),
    ),
}
DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS order_expiring"
CREATE_INDEX = (
    "CREATE INDEX CONCURRENTLY order_expiring ON orders_order (expires_at)"
    " WHERE expires_at IS NOT NULL AND cancel_requested_at IS NULL"
    " AND status IN ('pending', 'open', 'partially_filled')"
)


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

    dependencies = [("orders", "0012_queue_place")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(COLUMNS, NO_COLUMNS)],
            state_operations=[
                migrations.AddField(
                    "order",
                    "expires_at",
                    models.DateTimeField(
                        help_text="From then on it is canceled; of a good-till-date order only.",
                        null=True,
                    ),
                ),
                migrations.AddField(
                    "order",
                    "cancel_reason",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Why its cancel was asked for; empty: its user wished so.",
                        max_length=20,
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
                            ("gtd", "Good till date"),
                        ],
                        default="gtc",
                        max_length=3,
                    ),
                ),
            ],
        ),
        *(_constraint(name) for name in CONDITIONS),
        *(ValidateConstraint("order", name) for name in CONDITIONS),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL([DROP_INDEX, CREATE_INDEX], DROP_INDEX)],
            state_operations=[
                migrations.AddIndex(
                    "order",
                    models.Index(
                        fields=["expires_at"],
                        condition=Q(
                            expires_at__isnull=False,
                            cancel_requested_at__isnull=True,
                            status__in=("pending", *LIVE),
                        ),
                        name="order_expiring",
                    ),
                )
            ],
        ),
    ]
