"""Deposits and withdrawals that are asked for: their table, and the ledger's reference to it.

For a full ledger: the new column is empty, so adding it takes a moment's lock and looks at no row.
"""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields


def _key(to: str, related_name: str = "+", **more: Any) -> Any:
    return models.ForeignKey(
        to=to,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        **more,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0004_transfers_say_why"),
        ("orders", "0002_order_finished_epoch"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Transfer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user", _key(settings.AUTH_USER_MODEL)),
                ("asset", _key("orders.asset")),
                (
                    "kind",
                    models.CharField(
                        choices=[("deposit", "Deposit"), ("withdrawal", "Withdrawal")],
                        max_length=10,
                    ),
                ),
                ("amount", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("external_reference", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                        ],
                        default="requested",
                        max_length=10,
                    ),
                ),
                (
                    "requested_by",
                    _key(
                        settings.AUTH_USER_MODEL,
                        null=True,
                        help_text="Who sent the request; nobody in demo mode.",
                    ),
                ),
                ("requested_at", models.DateTimeField(auto_now_add=True)),
                ("decided_by", _key(settings.AUTH_USER_MODEL, null=True)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="Why it was approved or rejected.", max_length=200
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["user", "-id"], name="transfer_by_user"),
                    models.Index(
                        condition=Q(status="requested"), fields=["user"], name="transfer_requested"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "external_reference"), name="transfer_reference_unique"
                    ),
                    models.CheckConstraint(
                        condition=Q(amount__gt=0), name="transfer_amount_positive"
                    ),
                    models.CheckConstraint(
                        condition=Q(kind__in=["deposit", "withdrawal"]), name="transfer_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=Q(external_reference__regex=r"^[A-Za-z0-9._:-]{1,64}$"),
                        name="transfer_reference_plain",
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            status="requested",
                            decided_by__isnull=True,
                            decided_at__isnull=True,
                            note="",
                        )
                        | Q(
                            status__in=["approved", "rejected"],
                            decided_by__isnull=False,
                            decided_at__isnull=False,
                            note__regex=r"\S",
                        ),
                        name="transfer_decision_whole",
                    ),
                    models.CheckConstraint(
                        condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("user")),
                        name="transfer_decided_by_another",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="transfer",
            field=_key(
                "balances.transfer",
                null=True,
                related_name="ledger",
                help_text="The request that a deposit or withdrawal, or its hold, belongs to.",
            ),
        ),
    ]
