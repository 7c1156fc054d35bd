"""What each side of a trade has paid; those of before have paid nothing.

For a full table: the columns have a constant default, so no row is written; the rule is made
without a look at old rows, and `0009_fees_validated` holds it against those.
"""

from decimal import Decimal

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [("balances", "0006_holds_of_transfers")]

    operations = [
        migrations.AddField(
            model_name="trade",
            name="buyer_fee",
            field=exchange.fields.AmountField(
                db_default=Decimal(0),
                decimal_places=18,
                default=Decimal(0),
                help_text="Base.",
                max_digits=38,
            ),
        ),
        migrations.AddField(
            model_name="trade",
            name="seller_fee",
            field=exchange.fields.AmountField(
                db_default=Decimal(0),
                decimal_places=18,
                default=Decimal(0),
                help_text="Quote.",
                max_digits=38,
            ),
        ),
        AddConstraintNotValid(
            model_name="trade",
            constraint=models.CheckConstraint(
                condition=Q(buyer_fee__gte=0, buyer_fee__lte=F("quantity"))
                & Q(seller_fee__gte=0, seller_fee__lte=F("price") * F("quantity")),
                name="trade_fees_within_received",
            ),
        ),
    ]
