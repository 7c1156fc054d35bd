"""The rules of `0005_order_fee_rates` held against old rows: no lock that an order would wait for."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0005_order_fee_rates")]

    operations = [
        ValidateConstraint("order", "order_fee_rates_are_shares"),
        ValidateConstraint("order", "order_not_of_fee_account"),
    ]
