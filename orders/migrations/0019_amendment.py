"""Amendments of orders: a new table, so nothing waits for it."""

import django.db.models.deletion
from django.db import migrations, models

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0018_first_price"),
    ]

    operations = [
        migrations.CreateModel(
            name="Amendment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("price", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("quantity", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("price_before", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("quantity_before", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("held", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("requested_at", models.DateTimeField(auto_now_add=True)),
                ("relayed_at", models.DateTimeField(null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("applied", "Applied"),
                            ("refused", "Refused"),
                        ],
                        default="waiting",
                        max_length=7,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("epoch", models.PositiveIntegerField(null=True)),
                ("offset", models.BigIntegerField(null=True)),
                ("settled_at", models.DateTimeField(null=True)),
                ("last_trade_id", models.BigIntegerField(null=True)),
                ("moved", models.BooleanField(null=True)),
                (
                    "market",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="orders.market",
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="amendments",
                        to="orders.order",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "waiting")),
                        fields=["id"],
                        name="amendment_waiting",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("held__gte", 0),
                            ("price__gt", 0),
                            ("price_before__gt", 0),
                            ("quantity__gt", 0),
                            ("quantity_before__gt", 0),
                        ),
                        name="amendment_amounts_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("price", models.F("price_before")),
                            ("quantity", models.F("quantity_before")),
                            _negated=True,
                        ),
                        name="amendment_changes_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("epoch__isnull", True),
                                ("last_trade_id__isnull", True),
                                ("moved__isnull", True),
                                ("offset__isnull", True),
                                ("reason", ""),
                                ("settled_at__isnull", True),
                                ("status", "waiting"),
                            ),
                            models.Q(
                                ("epoch__isnull", False),
                                ("last_trade_id__isnull", False),
                                ("moved__isnull", False),
                                ("offset__isnull", False),
                                ("reason", ""),
                                ("settled_at__isnull", False),
                                ("status", "applied"),
                            ),
                            models.Q(
                                ("epoch__isnull", False),
                                ("last_trade_id__isnull", True),
                                ("moved__isnull", True),
                                ("offset__isnull", False),
                                ("settled_at__isnull", False),
                                ("status", "refused"),
                                models.Q(("reason", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="amendment_settled_whole",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "waiting")),
                        fields=("order",),
                        name="amendment_one_at_a_time",
                    ),
                ],
            },
        ),
    ]
