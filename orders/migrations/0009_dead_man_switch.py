"""A dead-man switch for each user who wants one. A new table: nothing that is full is touched."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exchange", "0003_revoked_keys_have_no_secret"),
        ("orders", "0008_market_states"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeadManSwitch",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("timeout_seconds", models.PositiveIntegerField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("fired_at", models.DateTimeField(help_text="When it fired last.", null=True)),
                (
                    "last_order_id",
                    models.BigIntegerField(
                        help_text="The last number that any order had been given when it fired.",
                        null=True,
                    ),
                ),
                ("canceling", models.BooleanField(default=False)),
            ],
            options={
                "verbose_name": "dead-man switch",
                "verbose_name_plural": "dead-man switches",
                "ordering": ["user_id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)),
                        fields=["expires_at"],
                        name="switch_armed",
                    ),
                    models.Index(
                        condition=models.Q(("canceling", True)),
                        fields=["fired_at"],
                        name="switch_canceling",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("expires_at__isnull", True), ("timeout_seconds__isnull", True)
                            ),
                            models.Q(
                                ("expires_at__isnull", False),
                                ("timeout_seconds__gte", 5),
                                ("timeout_seconds__isnull", False),
                                ("timeout_seconds__lte", 86400),
                            ),
                            _connector="OR",
                        ),
                        name="switch_armed_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("canceling", False),
                                ("fired_at__isnull", True),
                                ("last_order_id__isnull", True),
                            ),
                            models.Q(
                                ("fired_at__isnull", False),
                                ("last_order_id__gte", 0),
                                ("last_order_id__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="switch_fired_whole",
                    ),
                ],
            },
        ),
    ]
