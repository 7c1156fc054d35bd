"""Candles: what the settled trades come to, by market and interval. Derived, never the truth.

Only `matching.market_data.folding` writes them. They are in Postgres beside the trades, so a crash,
a lost Redis or a restored backup never leaves them at odds (decision 0016).
"""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Extract, Mod
from django.db.models.lookups import Exact

from exchange.fields import AmountField
from matching.market_data.candles import INTERVALS
from orders.models import Market


class Candle(models.Model):
    """One that has trades; of an interval without any there is no row."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="+", db_index=False)
    seconds = models.PositiveIntegerField(help_text="How long the interval is.")
    start = models.DateTimeField()
    open = AmountField()
    high = AmountField()
    low = AmountField()
    close = AmountField()
    volume = models.DecimalField(max_digits=56, decimal_places=18, help_text="Base.")
    quote_volume = models.DecimalField(
        max_digits=92, decimal_places=36, help_text="Quote; each price times quantity, exactly."
    )
    trades = models.PositiveBigIntegerField()
    first_trade_id = models.PositiveBigIntegerField()
    last_trade_id = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["market_id", "seconds", "start"]
        constraints = [
            models.UniqueConstraint(fields=["market", "seconds", "start"], name="candle_unique"),
            models.CheckConstraint(
                condition=Q(seconds__in=list(INTERVALS.values())), name="candle_interval_known"
            ),
            models.CheckConstraint(
                condition=Exact(Mod(Extract(F("start"), "epoch"), F("seconds")), 0),
                name="candle_start_aligned",
            ),
            models.CheckConstraint(
                condition=Q(
                    low__gt=0, low__lte=F("open"), high__gte=F("open"), volume__gt=0,
                    quote_volume__gt=0,
                ) & Q(low__lte=F("close"), high__gte=F("close")),
                name="candle_prices_in_order",
            ),
            models.CheckConstraint(
                condition=Q(
                    trades__gte=1,
                    first_trade_id__gte=1,
                    trades__lte=F("last_trade_id") - F("first_trade_id") + 1,
                ),
                name="candle_trades_within_numbers",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.market_id} {self.seconds} s from {self.start:%F %T}"


class CandleProgress(models.Model):
    """The last trade that is in a market's candles. Its row lock lets one fold at a time."""

    market = models.OneToOneField(Market, primary_key=True, on_delete=models.PROTECT)
    last_trade_id = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "candle progress"

    def __str__(self) -> str:
        return f"{self.market_id} up to trade {self.last_trade_id}"
