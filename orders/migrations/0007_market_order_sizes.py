"""The smallest and largest order of a market: none, until an operator says otherwise."""

from typing import Any

from django.db import migrations, models
from django.db.models import F, Q

import exchange.fields


def _amount(help_text: str) -> Any:
    return exchange.fields.AmountField(
        blank=True, decimal_places=18, help_text=help_text, max_digits=38, null=True
    )


def _rule(name: str, condition: Q) -> migrations.AddConstraint:
    return migrations.AddConstraint(
        model_name="market", constraint=models.CheckConstraint(condition=condition, name=name)
    )


class Migration(migrations.Migration):
    dependencies = [("orders", "0006_order_fee_rates_validated")]

    operations = [
        migrations.AddField(
            "market",
            "min_quantity",
            _amount("Of an order, base; empty: any that the lot size allows."),
        ),
        migrations.AddField("market", "max_quantity", _amount("Of an order, base; empty: any.")),
        migrations.AddField(
            "market",
            "min_notional",
            _amount("Price times quantity of an order, quote; empty: any."),
        ),
        _rule("market_min_quantity_positive", Q(min_quantity__isnull=True) | Q(min_quantity__gt=0)),
        _rule(
            "market_max_quantity_not_below_min",
            Q(max_quantity__isnull=True)
            | Q(max_quantity__gt=0, min_quantity__isnull=True)
            | Q(max_quantity__gte=F("min_quantity"), min_quantity__isnull=False),
        ),
        _rule("market_min_notional_positive", Q(min_notional__isnull=True) | Q(min_notional__gt=0)),
    ]
