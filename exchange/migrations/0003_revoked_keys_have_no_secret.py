"""A revoked key has no secret any more; those that were revoked before lose theirs."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("exchange", "0002_api_keys")]

    operations = [
        migrations.RemoveConstraint(model_name="apikey", name="api_key_name_and_secret"),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=~Q(name="") & (~Q(sealed_secret="") | Q(revoked_at__isnull=False)),
                name="api_key_name_and_secret",
            ),
        ),
        migrations.RunSQL(
            "UPDATE exchange_apikey SET sealed_secret = '' WHERE revoked_at IS NOT NULL",
            # The constraint of before wants a secret; there is none to give back.
            reverse_sql="UPDATE exchange_apikey SET sealed_secret = 'revoked' "
            "WHERE sealed_secret = ''",
        ),
    ]
