"""Fee tiers, and the fee account, which cannot sign in.

For a full table: the column is empty, and the rule is made without a look at old rows; the next
migration holds it against them.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [("exchange", "0003_revoked_keys_have_no_secret")]

    operations = [
        migrations.CreateModel(
            name="FeeTier",
            fields=[
                ("name", models.CharField(max_length=30, primary_key=True, serialize=False)),
                (
                    "maker_rate",
                    exchange.fields.RateField(
                        decimal_places=8,
                        help_text="Of an order that had been waiting in the book; 0.001: 0.1 %.",
                        max_digits=9,
                    ),
                ),
                (
                    "taker_rate",
                    exchange.fields.RateField(
                        decimal_places=8,
                        help_text="Of an order that trades when it comes.",
                        max_digits=9,
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(
                            maker_rate__gte=0, maker_rate__lt=1, taker_rate__gte=0, taker_rate__lt=1
                        ),
                        name="fee_tier_rates_are_shares",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="user",
            name="fee_tier",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="users",
                to="exchange.feetier",
            ),
        ),
        AddConstraintNotValid(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=~Q(id=0) | Q(is_active=False, is_staff=False, is_superuser=False),
                name="user_fee_account_cannot_sign_in",
            ),
        ),
    ]
