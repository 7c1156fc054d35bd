"""A new kind of ledger entry: fees. As `0007_trade_fees`; no moment is without a rule."""

from django.conf import settings
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q

KINDS = ["deposit", "withdrawal", "hold", "release", "trade", "fee"]


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0007_trade_fees"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[(kind, kind.capitalize()) for kind in KINDS], max_length=10
            ),
        ),
        migrations.RemoveConstraint("ledgerentry", "ledger_kind_known"),
        AddConstraintNotValid(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=Q(kind__in=KINDS), name="ledger_kind_known"
            ),
        ),
        AddConstraintNotValid(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=~Q(kind="fee")
                | Q(held_change=0, transfer__isnull=True)
                & (
                    Q(order__isnull=False, trade_id__isnull=False, available_change__lt=0)
                    | Q(
                        order__isnull=True,
                        trade_id__isnull=True,
                        available_change__gt=0,
                        user=0,
                    )
                ),
                name="ledger_fee_goes_to_its_account",
            ),
        ),
    ]
