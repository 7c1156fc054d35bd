"""Every deposit and withdrawal says why, and who made it unless it was the exchange itself.

For a full table: the index is built beside the traffic; the constraints are made without a look at
old rows, which takes a moment's lock, and held against them afterwards, which takes none that an
order would wait for. It can be run again when it was interrupted.
"""

import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

TRANSFERS = Q(kind__in=["deposit", "withdrawal"])
SAYS_WHY = ~TRANSFERS | Q(note__regex=r"\S")
SAYS_WHO = ~TRANSFERS | Q(actor__isnull=False) | Q(note__regex=r"^(seed|system)(:|$)")

DROP_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS ledger_transfers"
CREATE_INDEX = (
    "CREATE INDEX CONCURRENTLY ledger_transfers ON balances_ledgerentry (id DESC)"
    " WHERE kind IN ('deposit', 'withdrawal')"
)
COMPLETE_OLD_NOTES = """
UPDATE balances_ledgerentry SET note = CASE
  WHEN actor_id IS NOT NULL THEN 'no reason was given'
  WHEN note !~ '\\S' THEN 'system'
  ELSE left('system: ' || note, 200) END
WHERE kind IN ('deposit', 'withdrawal')
  AND (note !~ '\\S' OR actor_id IS NULL AND note !~ '^(seed|system)(:|$)')
"""


def _add_not_valid(name: str, condition: str) -> migrations.SeparateDatabaseAndState:
    """Make a constraint for new rows; an attempt that was interrupted may have made it."""
    state = {"ledger_transfer_says_why": SAYS_WHY, "ledger_transfer_says_who": SAYS_WHO}[name]
    drop = f"ALTER TABLE balances_ledgerentry DROP CONSTRAINT IF EXISTS {name}"
    add = f"ALTER TABLE balances_ledgerentry ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
    return migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL([drop, add], drop)],
        state_operations=[
            migrations.AddConstraint(
                "ledgerentry", models.CheckConstraint(condition=state, name=name)
            )
        ],
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("balances", "0003_epochs_and_past_halts")]

    operations = [
        migrations.AlterField(
            model_name="ledgerentry",
            name="actor",
            field=models.ForeignKey(
                db_index=False,
                help_text="Who deposited or withdrew on the user's behalf; "
                "nobody: the note says system.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL([DROP_INDEX, CREATE_INDEX], DROP_INDEX),
            ],
            state_operations=[
                migrations.AddIndex(
                    "ledgerentry",
                    models.Index(fields=["-id"], condition=TRANSFERS, name="ledger_transfers"),
                )
            ],
        ),
        _add_not_valid(
            "ledger_transfer_says_why",
            "kind NOT IN ('deposit', 'withdrawal') OR note ~ '\\S'",
        ),
        _add_not_valid(
            "ledger_transfer_says_who",
            "kind NOT IN ('deposit', 'withdrawal') OR actor_id IS NOT NULL"
            " OR note ~ '^(seed|system)(:|$)'",
        ),
        migrations.RunSQL(COMPLETE_OLD_NOTES, migrations.RunSQL.noop),
        ValidateConstraint("ledgerentry", "ledger_transfer_says_why"),
        ValidateConstraint("ledgerentry", "ledger_transfer_says_who"),
    ]
