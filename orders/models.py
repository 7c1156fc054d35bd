"""Assets, markets and orders.

An order row is also the outbox: it is `pending` until its result has been settled, and the relay
publishes again what stays pending too long. Only `orders.services` creates orders and asks for
cancels; only the settlement (`balances.settlement`) moves them on. Nothing happens in `save()`.
"""

from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from exchange.fields import AmountField
from exchange.money import DECIMAL_PLACES, format_amount

LIVE_STATUSES = ("open", "partially_filled")
UNFINISHED_STATUSES = ("pending", *LIVE_STATUSES)


class Asset(models.Model):
    """Something that can be owned, known by its symbol: "USDT", "ADA"."""

    symbol = models.CharField(max_length=10, primary_key=True)
    name = models.CharField(max_length=50, blank=True)
    decimals = models.PositiveSmallIntegerField(
        default=8, help_text="Smallest unit: 10^-decimals. Cannot change once the asset is used."
    )

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(
                condition=Q(symbol__regex=r"^[A-Z0-9]{2,10}$"), name="asset_symbol_is_plain"
            ),
            models.CheckConstraint(
                condition=Q(decimals__lte=DECIMAL_PLACES), name="asset_decimals_fit"
            ),
        ]

    def __str__(self) -> str:
        return self.symbol


class Market(models.Model):
    """A pair of assets that trade against each other, and the rules of that trade."""

    class State(models.TextChoices):
        OPEN = "open"
        HALTED = "halted"

    symbol = models.CharField(max_length=21, primary_key=True)
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="markets_as_base")
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="markets_as_quote")
    tick_size = AmountField(help_text="Prices are multiples of this (quote per base).")
    lot_size = AmountField(help_text="Quantities are multiples of this (base).")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    state_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(condition=~Q(base=F("quote")), name="market_assets_differ"),
            models.CheckConstraint(
                condition=Q(tick_size__gt=0, lot_size__gt=0), name="market_sizes_positive"
            ),
            models.UniqueConstraint(fields=["base", "quote"], name="market_pair_unique"),
            models.CheckConstraint(
                condition=Q(state__in=["open", "halted"]), name="market_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.symbol

    def clean(self) -> None:
        """Refuse sizes by which a trade could be worth a fraction of the smallest quote unit."""
        if not (self.base_id and self.quote_id and self.tick_size and self.lot_size):
            return
        if self.symbol != f"{self.base_id}-{self.quote_id}":
            raise ValidationError({"symbol": "Must be BASE-QUOTE, for example ADA-USDT."})
        if (self.tick_size * self.lot_size) % (Decimal(10) ** -self.quote.decimals):
            raise ValidationError(
                "tick_size times lot_size must be a multiple of the quote asset's smallest unit."
            )
        if self.lot_size % (Decimal(10) ** -self.base.decimals):
            raise ValidationError(
                {"lot_size": "Must be a multiple of the base asset's smallest unit."}
            )


class Order(models.Model):
    """A limit order. `price`: quote per base; `quantity` and what becomes of it: base.

    `prevented_quantity` is by how much prevented self-trades have reduced it. What is neither
    filled nor prevented is left, or has been canceled with the order.

    `epoch` and `offset` say where on the log the engine saw it; they are set with the first
    result, and their order is the time priority of the book.
    """

    class Side(models.TextChoices):
        BUY = "buy"
        SELL = "sell"

    class Type(models.TextChoices):
        LIMIT = "limit"

    class TimeInForce(models.TextChoices):
        GTC = "gtc", "Good till canceled"
        IOC = "ioc", "Immediate or cancel"
        FOK = "fok", "Fill or kill"

    class SelfTradePrevention(models.TextChoices):
        NONE = "none"
        CANCEL_TAKER = "cancel_taker"
        CANCEL_MAKER = "cancel_maker"
        CANCEL_BOTH = "cancel_both"
        DECREMENT_AND_CANCEL = "decrement_and_cancel"

    class Status(models.TextChoices):
        PENDING = "pending"
        OPEN = "open"
        PARTIALLY_FILLED = "partially_filled"
        FILLED = "filled"
        CANCELED = "canceled"
        REJECTED = "rejected"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders", db_index=False
    )
    market = models.ForeignKey(
        Market, on_delete=models.PROTECT, related_name="orders", db_index=False
    )
    side = models.CharField(max_length=4, choices=Side.choices)
    order_type = models.CharField(max_length=10, choices=Type.choices, default=Type.LIMIT)
    time_in_force = models.CharField(
        max_length=3, choices=TimeInForce.choices, default=TimeInForce.GTC
    )
    post_only = models.BooleanField(default=False, db_default=False)
    self_trade_prevention = models.CharField(
        max_length=20,
        choices=SelfTradePrevention.choices,
        default=SelfTradePrevention.NONE,
        db_default="none",
        help_text="What happens when it comes and meets an order of the same user.",
    )
    price = AmountField()
    quantity = AmountField()
    filled_quantity = AmountField(default=Decimal(0))
    prevented_quantity = AmountField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="By how much prevented self-trades have reduced it.",
    )
    filled_quote = AmountField(
        default=Decimal(0), help_text="Quote paid or received by the fills so far."
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(max_length=200, blank=True)
    client_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL: none given, so that uniqueness leaves it alone
    request_id = models.CharField(max_length=64, blank=True)
    epoch = models.PositiveIntegerField(null=True)
    offset = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    cancel_requested_at = models.DateTimeField(null=True)
    relayed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    finished_epoch = models.PositiveIntegerField(
        null=True, help_text="The epoch of the log whose event finished it."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(price__gt=0, quantity__gt=0), name="order_amounts_positive"
            ),
            models.CheckConstraint(
                condition=Q(
                    filled_quantity__gte=0,
                    prevented_quantity__gte=0,
                    filled_quantity__lte=F("quantity") - F("prevented_quantity"),
                ),
                name="order_fill_within_quantity",
            ),
            models.CheckConstraint(
                condition=Q(
                    side__in=["buy", "sell"],
                    order_type="limit",
                    time_in_force__in=["gtc", "ioc", "fok"],
                    self_trade_prevention__in=[
                        "none",
                        "cancel_taker",
                        "cancel_maker",
                        "cancel_both",
                        "decrement_and_cancel",
                    ],
                )
                & (Q(time_in_force="gtc") | Q(post_only=False)),
                name="order_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(time_in_force="gtc") | ~Q(status__in=LIVE_STATUSES),
                name="order_rests_if_good_till_canceled",
            ),
            models.CheckConstraint(
                condition=~Q(time_in_force="fok")
                | Q(prevented_quantity=0)
                & (Q(filled_quantity=0) | Q(filled_quantity=F("quantity"))),
                name="order_fok_is_filled_whole",
            ),
            models.CheckConstraint(
                condition=(
                    Q(
                        status__in=["pending", "rejected"],
                        filled_quantity=0,
                        prevented_quantity=0,
                    )
                    | Q(
                        status="open",
                        filled_quantity=0,
                        prevented_quantity__lt=F("quantity"),
                        offset__isnull=False,
                    )
                    | Q(
                        status="partially_filled",
                        filled_quantity__gt=0,
                        filled_quantity__lt=F("quantity") - F("prevented_quantity"),
                        offset__isnull=False,
                    )
                    | Q(status="filled", filled_quantity=F("quantity"), offset__isnull=False)
                    | Q(
                        status="canceled",
                        filled_quantity__lt=F("quantity"),
                        offset__isnull=False,
                    )
                ),
                name="order_status_agrees_with_fill",
            ),
            models.CheckConstraint(
                condition=Q(epoch__isnull=True, offset__isnull=True)
                | Q(epoch__isnull=False, offset__isnull=False),
                name="order_place_on_log_whole",
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True, finished_epoch__isnull=True)
                | Q(finished_at__isnull=False, finished_epoch__isnull=False),
                name="order_finish_whole",
            ),
            models.UniqueConstraint(
                fields=["user", "client_order_id"],
                condition=Q(client_order_id__isnull=False),
                name="order_client_order_id_unique",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="order_by_user"),
            models.Index(fields=["market", "-id"], name="order_by_market"),
            models.Index(
                fields=["market", "side", "price"],
                condition=Q(status__in=LIVE_STATUSES),
                name="order_live_by_price",
            ),
            models.Index(fields=["id"], condition=Q(status="pending"), name="order_pending"),
            models.Index(
                fields=["user", "id"],
                condition=Q(status__in=UNFINISHED_STATUSES),
                name="order_unfinished_by_user",
            ),
            models.Index(
                fields=["id"],
                condition=Q(cancel_requested_at__isnull=False, finished_at__isnull=True),
                name="order_cancel_requested",
            ),
        ]

    def __str__(self) -> str:
        quantity, price = format_amount(self.quantity), format_amount(self.price)
        return f"{self.side} {quantity} {self.market_id} at {price}"

    @property
    def remaining_quantity(self) -> Decimal:
        """What has neither been filled nor prevented (base), also of a finished order."""
        remaining: Decimal = self.quantity - self.filled_quantity - self.prevented_quantity
        return remaining
