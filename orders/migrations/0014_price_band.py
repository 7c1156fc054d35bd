"""Price bands of markets, none until an operator says otherwise, and market orders.

For a full table: the rule of orders is made for new rows first and held against old ones afterwards.
It can be run again when it was interrupted.
"""

from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models
from django.db.models import Q

import exchange.fields

PREVENTIONS = ["none", "cancel_taker", "cancel_maker", "cancel_both", "decrement_and_cancel"]
RESTING = ("gtc", "gtd")
NAME = "order_kind_known"
_KIND = (
    "side IN ('buy', 'sell') AND time_in_force IN ('gtc', 'ioc', 'fok', 'gtd')"
    " AND self_trade_prevention IN"
    " ('none', 'cancel_taker', 'cancel_maker', 'cancel_both', 'decrement_and_cancel')"
    " AND (time_in_force IN ('gtc', 'gtd') OR NOT post_only) AND {types}"
)
BEFORE = _KIND.format(types="order_type = 'limit'")
AFTER = _KIND.format(
    types="(order_type = 'limit' OR order_type = 'market' AND time_in_force = 'ioc')"
)
BAND = "market_price_band_is_share"
BAND_COLUMN: Any = [
    "ALTER TABLE orders_market ADD COLUMN IF NOT EXISTS price_band numeric(9, 8) NULL",
    f"ALTER TABLE orders_market DROP CONSTRAINT IF EXISTS {BAND}, ADD CONSTRAINT {BAND}"
    " CHECK (price_band IS NULL OR price_band > 0 AND price_band < 1)",
]


def _replace(condition: str) -> str:
    """Return one statement, so that no moment is without a rule."""
    return (
        f"ALTER TABLE orders_order DROP CONSTRAINT IF EXISTS {NAME},"
        f" ADD CONSTRAINT {NAME} CHECK ({condition}) NOT VALID"
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("orders", "0013_good_till_date")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(BAND_COLUMN, "ALTER TABLE orders_market DROP COLUMN price_band")
            ],
            state_operations=[
                migrations.AddField(
                    "market",
                    "price_band",
                    exchange.fields.RateField(
                        blank=True,
                        decimal_places=8,
                        help_text="How far from the last trade an order may trade, as a share of its "
                        "price; 0.1: 10 %. Empty: any price, and no market orders.",
                        max_digits=9,
                        null=True,
                    ),
                ),
                migrations.AddConstraint(
                    "market",
                    models.CheckConstraint(
                        condition=Q(price_band__isnull=True)
                        | Q(price_band__gt=0, price_band__lt=1),
                        name=BAND,
                    ),
                ),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(_replace(AFTER), _replace(BEFORE))],
            state_operations=[
                migrations.AlterField(
                    "order",
                    "order_type",
                    models.CharField(
                        choices=[("limit", "Limit"), ("market", "Market")],
                        default="limit",
                        max_length=10,
                    ),
                ),
                migrations.RemoveConstraint("order", NAME),
                migrations.AddConstraint(
                    "order",
                    models.CheckConstraint(
                        condition=Q(
                            side__in=["buy", "sell"],
                            order_type__in=["limit", "market"],
                            time_in_force__in=["gtc", "ioc", "fok", "gtd"],
                            self_trade_prevention__in=PREVENTIONS,
                        )
                        & (Q(time_in_force__in=RESTING) | Q(post_only=False))
                        & (Q(order_type="limit") | Q(time_in_force="ioc")),
                        name=NAME,
                    ),
                ),
            ],
        ),
        ValidateConstraint("order", NAME),
    ]
