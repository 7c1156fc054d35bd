"""The rule of `0004_fee_tiers` held against old rows: no lock that a request would wait for."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("exchange", "0004_fee_tiers")]

    operations = [ValidateConstraint("user", "user_fee_account_cannot_sign_in")]
