"""A hold may be of a withdrawal that was asked for, and an entry has one reference at most.

For a full ledger, as in `0004_transfers_say_why`: the index is built beside the traffic, the
constraints are made for new rows first and held against old ones afterwards. It can be run again
when it was interrupted.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import F, Q

DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS ledger_by_transfer"
CREATE_INDEX = (
    "CREATE INDEX CONCURRENTLY ledger_by_transfer ON balances_ledgerentry (transfer_id)"
    " WHERE transfer_id IS NOT NULL"
)
ONLY_OF_ORDERS = (
    "kind NOT IN ('hold', 'release') OR available_change = -held_change AND order_id IS NOT NULL"
)
OF_ORDERS_AND_TRANSFERS = (
    "kind NOT IN ('hold', 'release') OR available_change = -held_change"
    " AND (order_id IS NOT NULL OR transfer_id IS NOT NULL)"
)
ONE_REFERENCE = "transfer_id IS NULL OR order_id IS NULL AND kind <> 'trade'"


def _replace(name: str, condition: str) -> str:
    """Return one statement, so that no moment is without a rule."""
    return (
        f"ALTER TABLE balances_ledgerentry DROP CONSTRAINT IF EXISTS {name},"
        f" ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("balances", "0005_transfers")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL([DROP_INDEX, CREATE_INDEX], DROP_INDEX)],
            state_operations=[
                migrations.AddIndex(
                    "ledgerentry",
                    models.Index(
                        fields=["transfer"],
                        condition=Q(transfer__isnull=False),
                        name="ledger_by_transfer",
                    ),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    _replace("ledger_hold_moves_within_balance", OF_ORDERS_AND_TRANSFERS),
                    _replace("ledger_hold_moves_within_balance", ONLY_OF_ORDERS),
                )
            ],
            state_operations=[
                migrations.RemoveConstraint("ledgerentry", "ledger_hold_moves_within_balance"),
                migrations.AddConstraint(
                    "ledgerentry",
                    models.CheckConstraint(
                        condition=~Q(kind__in=["hold", "release"])
                        | Q(available_change=-F("held_change"))
                        & (Q(order__isnull=False) | Q(transfer__isnull=False)),
                        name="ledger_hold_moves_within_balance",
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    _replace("ledger_one_reference", ONE_REFERENCE),
                    "ALTER TABLE balances_ledgerentry DROP CONSTRAINT IF EXISTS"
                    " ledger_one_reference",
                )
            ],
            state_operations=[
                migrations.AddConstraint(
                    "ledgerentry",
                    models.CheckConstraint(
                        condition=Q(transfer__isnull=True)
                        | Q(order__isnull=True) & ~Q(kind="trade"),
                        name="ledger_one_reference",
                    ),
                )
            ],
        ),
        ValidateConstraint("ledgerentry", "ledger_hold_moves_within_balance"),
        ValidateConstraint("ledgerentry", "ledger_one_reference"),
    ]
