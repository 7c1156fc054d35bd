"""Prevented self-trades that reduced two orders: a new table, so nothing waits for it."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0009_fees_validated"),
        ("orders", "0011_order_rules"),
    ]

    operations = [
        migrations.CreateModel(
            name="Decrement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("quantity", exchange.fields.AmountField(decimal_places=18, max_digits=38)),
                (
                    "maker_order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decrements_as_maker",
                        to="orders.order",
                    ),
                ),
                (
                    "taker_order",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decrements_as_taker",
                        to="orders.order",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("taker_order", "maker_order"), name="decrement_of_a_pair_unique"
                    ),
                    models.CheckConstraint(condition=Q(quantity__gt=0), name="decrement_positive"),
                    models.CheckConstraint(
                        condition=~Q(taker_order=F("maker_order")), name="decrement_orders_differ"
                    ),
                ],
            },
        ),
    ]
