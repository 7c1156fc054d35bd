"""The table of amendments; `orders.models` has it, too."""

from django.db import models
from django.db.models import F, Q

from exchange.fields import AmountField

MAX_REASON = 200


class Amendment(models.Model):
    """A wish that a live order have another price, another quantity (its total, base), or both.

    The row is the outbox of its record on the log, as with orders, and an order has at most one
    that waits. The result says what has become of it: applied, or refused, and then nothing has
    changed. `held` is what was put on hold for it beyond what the order had: of the quote asset if
    it buys, else of the base asset. It goes to the order, or is released.

    `last_trade_id` is the market's last trade before it was applied: what the order has traded up
    to that was at `price_before`. `moved`: it has lost its place in the queue, and has come again
    as if it were new. Only `orders.amending` and the settlement write here.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        APPLIED = "applied"
        REFUSED = "refused"

    order = models.ForeignKey("orders.Order", on_delete=models.PROTECT, related_name="amendments")
    market = models.ForeignKey(
        "orders.Market", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    price = AmountField()
    quantity = AmountField()
    price_before = AmountField()
    quantity_before = AmountField()
    held = AmountField()
    request_id = models.CharField(max_length=64, blank=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    relayed_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=7, choices=Status.choices, default=Status.WAITING)
    reason = models.CharField(max_length=MAX_REASON, blank=True)
    epoch = models.PositiveIntegerField(null=True)
    offset = models.BigIntegerField(null=True)
    settled_at = models.DateTimeField(null=True)
    last_trade_id = models.BigIntegerField(null=True)
    moved = models.BooleanField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    price__gt=0,
                    quantity__gt=0,
                    price_before__gt=0,
                    quantity_before__gt=0,
                    held__gte=0,
                ),
                name="amendment_amounts_positive",
            ),
            models.CheckConstraint(
                condition=~Q(price=F("price_before"), quantity=F("quantity_before")),
                name="amendment_changes_something",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="waiting",
                    reason="",
                    epoch__isnull=True,
                    offset__isnull=True,
                    settled_at__isnull=True,
                    last_trade_id__isnull=True,
                    moved__isnull=True,
                )
                | Q(
                    status="applied",
                    reason="",
                    epoch__isnull=False,
                    offset__isnull=False,
                    settled_at__isnull=False,
                    last_trade_id__isnull=False,
                    moved__isnull=False,
                )
                | Q(
                    status="refused",
                    epoch__isnull=False,
                    offset__isnull=False,
                    settled_at__isnull=False,
                    last_trade_id__isnull=True,
                    moved__isnull=True,
                )
                & ~Q(reason=""),
                name="amendment_settled_whole",
            ),
            models.UniqueConstraint(
                fields=["order"], condition=Q(status="waiting"), name="amendment_one_at_a_time"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(status="waiting"), name="amendment_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}: {self.quantity} at {self.price}, {self.status}"
