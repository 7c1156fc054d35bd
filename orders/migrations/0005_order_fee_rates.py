"""The fee rates that an order was accepted with; those of before pay nothing.

For a full table: the columns have a constant default, so no row is written; the rules are made
without a look at old rows, and the next migration holds them against those. A migration of its own,
because it locks the table for a moment, and must not hold another one meanwhile.
"""

from decimal import Decimal

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import Q

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0004_market_fee_rates"),
        ("exchange", "0004_fee_tiers"),  # an order is inserted with a look at them
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="maker_fee_rate",
            field=exchange.fields.RateField(
                db_default=Decimal(0),
                decimal_places=8,
                default=Decimal(0),
                help_text="Share of what it receives by trades for which it waited.",
                max_digits=9,
            ),
        ),
        migrations.AddField(
            model_name="order",
            name="taker_fee_rate",
            field=exchange.fields.RateField(
                db_default=Decimal(0),
                decimal_places=8,
                default=Decimal(0),
                help_text="Share of what it receives by trades that it makes when it comes.",
                max_digits=9,
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=Q(
                    maker_fee_rate__gte=0,
                    maker_fee_rate__lt=1,
                    taker_fee_rate__gte=0,
                    taker_fee_rate__lt=1,
                ),
                name="order_fee_rates_are_shares",
            ),
        ),
        AddConstraintNotValid(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=~Q(user=0), name="order_not_of_fee_account"
            ),
        ),
    ]
