"""What a market takes of a trade: nothing, until an operator says otherwise."""

from decimal import Decimal

from django.db import migrations, models
from django.db.models import Q

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_order_unfinished_by_user")]

    operations = [
        migrations.AddField(
            model_name="market",
            name="maker_fee_rate",
            field=exchange.fields.RateField(
                db_default=Decimal(0),
                decimal_places=8,
                default=Decimal(0),
                help_text="Share of what an order receives that had been waiting in the book; "
                "0.001: 0.1 %.",
                max_digits=9,
            ),
        ),
        migrations.AddField(
            model_name="market",
            name="taker_fee_rate",
            field=exchange.fields.RateField(
                db_default=Decimal(0),
                decimal_places=8,
                default=Decimal(0),
                help_text="Share of what an order receives that trades when it comes.",
                max_digits=9,
            ),
        ),
        migrations.AddConstraint(
            model_name="market",
            constraint=models.CheckConstraint(
                condition=Q(
                    maker_fee_rate__gte=0,
                    maker_fee_rate__lt=1,
                    taker_fee_rate__gte=0,
                    taker_fee_rate__lt=1,
                ),
                name="market_fee_rates_are_shares",
            ),
        ),
    ]
