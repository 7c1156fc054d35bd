"""The rules of the two migrations before held against old rows: no lock that a trade would wait for."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("balances", "0008_ledger_fees")]

    operations = [
        ValidateConstraint("trade", "trade_fees_within_received"),
        ValidateConstraint("ledgerentry", "ledger_kind_known"),
        ValidateConstraint("ledgerentry", "ledger_fee_goes_to_its_account"),
    ]
