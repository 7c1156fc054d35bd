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

from exchange.fields import AmountField, RateField
from exchange.models import FEE_ACCOUNT_ID
from exchange.money import DECIMAL_PLACES, format_amount
from orders.amendment_model import Amendment as Amendment  # noqa: PLC0414 - exported from here, as the other tables
from orders.switch_model import DeadManSwitch as DeadManSwitch  # noqa: PLC0414 - exported from here, as the other tables

LIVE_STATUSES = ("open", "partially_filled")
"""The statuses of orders that are in a book."""
UNFINISHED_STATUSES = ("pending", "untriggered", *LIVE_STATUSES)
RESTING_TIMES = ("gtc", "gtd")
"""The times in force of orders that rest."""
STOP_TYPES = ("stop_limit", "stop_market")
"""The types of orders that wait for a trade price."""
UNPRICED_TYPES = ("market", "stop_market")
"""The types of orders that have their price from the band, and trade at once when they come."""
MAX_PARTS = 100
"""Of an iceberg: so many trades may a taker have with it at most."""
EXPIRED = "expired"
"""Why an order was canceled whose time is over."""

STATES = ("open", "post_only", "cancel_only", "halted")
"""Of a market: it takes every order; those that do not trade when they come; cancels only, in the
last two."""

_RATES_ARE_SHARES = Q(
    maker_fee_rate__gte=0, maker_fee_rate__lt=1, taker_fee_rate__gte=0, taker_fee_rate__lt=1
)


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
        POST_ONLY = "post_only"
        CANCEL_ONLY = "cancel_only"
        HALTED = "halted"

    symbol = models.CharField(max_length=21, primary_key=True)
    base = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="markets_as_base")
    quote = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="markets_as_quote")
    tick_size = AmountField(help_text="Prices are multiples of this (quote per base).")
    lot_size = AmountField(help_text="Quantities are multiples of this (base).")
    min_quantity = AmountField(
        null=True, blank=True, help_text="Of an order, base; empty: any that the lot size allows."
    )
    max_quantity = AmountField(null=True, blank=True, help_text="Of an order, base; empty: any.")
    min_notional = AmountField(
        null=True, blank=True, help_text="Price times quantity of an order, quote; empty: any."
    )
    price_band = RateField(
        null=True,
        blank=True,
        help_text="How far from the last trade an order may trade, as a share of its price; 0.1: "
        "10 %. Empty: any price, and no market orders.",
    )
    maker_fee_rate = RateField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Share of what an order receives that had been waiting in the book; "
        "0.001: 0.1 %.",
    )
    taker_fee_rate = RateField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Share of what an order receives that trades when it comes.",
    )
    state = models.CharField(max_length=11, choices=State.choices, default=State.OPEN)
    state_reason = models.CharField(max_length=500, blank=True)
    ordered_state = models.CharField(
        max_length=11,
        choices=State.choices,
        default=State.OPEN,
        db_default=State.OPEN,
        help_text="What operators have ordered last, as settled; a stopped settlement halts it all "
        "the same.",
    )
    state_change_id = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="The change that ordered it; 0: none has yet."
    )

    class Meta:
        ordering = ["symbol"]
        constraints = [
            models.CheckConstraint(condition=~Q(base=F("quote")), name="market_assets_differ"),
            models.CheckConstraint(
                condition=Q(tick_size__gt=0, lot_size__gt=0), name="market_sizes_positive"
            ),
            models.CheckConstraint(condition=_RATES_ARE_SHARES, name="market_fee_rates_are_shares"),
            models.CheckConstraint(
                condition=Q(min_quantity__isnull=True) | Q(min_quantity__gt=0),
                name="market_min_quantity_positive",
            ),
            models.CheckConstraint(
                condition=Q(max_quantity__isnull=True)
                | Q(max_quantity__gt=0, min_quantity__isnull=True)
                | Q(max_quantity__gte=F("min_quantity"), min_quantity__isnull=False),
                name="market_max_quantity_not_below_min",
            ),
            models.CheckConstraint(
                condition=Q(min_notional__isnull=True) | Q(min_notional__gt=0),
                name="market_min_notional_positive",
            ),
            models.CheckConstraint(
                condition=Q(price_band__isnull=True) | Q(price_band__gt=0, price_band__lt=1),
                name="market_price_band_is_share",
            ),
            models.UniqueConstraint(fields=["base", "quote"], name="market_pair_unique"),
            models.CheckConstraint(
                condition=Q(state__in=STATES, ordered_state__in=STATES), name="market_state_known"
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


class MarketChange(models.Model):
    """An operator's wish that a market be in another state: who, when, why, and since when it is.

    The row is the outbox of its record on the log, as with orders. Of a market's changes the one
    with the highest number counts; one that was overtaken has the place of the one that overtook
    it.
    """

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="changes")
    state = models.CharField(max_length=11, choices=Market.State.choices)
    reason = models.CharField(max_length=500, help_text="Why; shown to everybody.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who ordered it; nobody: somebody at the command line.",
    )
    requested_at = models.DateTimeField(auto_now_add=True)
    relayed_at = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(null=True)
    offset = models.BigIntegerField(null=True)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=STATES), name="market_change_state_known"),
            models.CheckConstraint(condition=Q(reason__regex=r"\S"), name="market_change_says_why"),
            models.CheckConstraint(
                condition=Q(epoch__isnull=True, offset__isnull=True, applied_at__isnull=True)
                | Q(epoch__isnull=False, offset__isnull=False, applied_at__isnull=False),
                name="market_change_applied_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(applied_at__isnull=True), name="market_change_waiting"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} {self.state}: {self.reason}"


class Order(models.Model):
    """An order. `price`: quote per base; `quantity` and what becomes of it: base.

    A market order is stored as what it is to the engine: a limit order that trades at once or not
    at all, at prices up to `price`, which is the edge of its market's band.

    `prevented_quantity` is by how much prevented self-trades have reduced it. What is neither
    filled nor prevented is left, or has been canceled with the order.

    `epoch` and `offset` say where on the log the engine saw it; they are set with the first
    result, and their order is the time priority of the book. An order that a later event has put
    to the back of its queue stands there instead: `queue_epoch`, `queue_offset`, and its rank
    among all that this event has put there; the event's own order comes before those, with rank 0.

    A stop order is a limit or market order that waits, `untriggered`, until a trade reaches
    `stop_price`. The event of that trade elects it: `elected_epoch`, `elected_offset`, and its rank
    among all that this event has elected, from 1 on. Since then its trigger is wished for; the row
    is the outbox of that, as with cancels. Its trigger is the event by which it comes:
    `triggered_epoch`, `triggered_offset`, which is also its place in the queue.

    The fee rates are those that applied when it was accepted; they never change.

    An order that was amended has its present price and quantity, and in `first_price` and
    `first_quantity` those that it came with: that is what its record on the log says.

    An iceberg shows `visible_quantity` of itself at a time. All its parts but the first are exactly
    so large, and the first is what is left over: so what is left of it says what is seen of it.
    """

    class Side(models.TextChoices):
        BUY = "buy"
        SELL = "sell"

    class Type(models.TextChoices):
        LIMIT = "limit"
        MARKET = "market"
        STOP_LIMIT = "stop_limit"
        STOP_MARKET = "stop_market"

    class TimeInForce(models.TextChoices):
        GTC = "gtc", "Good till canceled"
        IOC = "ioc", "Immediate or cancel"
        FOK = "fok", "Fill or kill"
        GTD = "gtd", "Good till date"

    class SelfTradePrevention(models.TextChoices):
        NONE = "none"
        CANCEL_TAKER = "cancel_taker"
        CANCEL_MAKER = "cancel_maker"
        CANCEL_BOTH = "cancel_both"
        DECREMENT_AND_CANCEL = "decrement_and_cancel"

    class Status(models.TextChoices):
        PENDING = "pending"
        UNTRIGGERED = "untriggered"
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
    order_type = models.CharField(max_length=16, choices=Type.choices, default=Type.LIMIT)
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
    expires_at = models.DateTimeField(
        null=True, help_text="From then on it is canceled; of a good-till-date order only."
    )
    price = AmountField()
    stop_price = AmountField(
        null=True,
        help_text="Quote per base; the trade price that it waits for. Of a stop order only.",
    )
    quantity = AmountField()
    quote_amount = AmountField(
        null=True,
        help_text="Quote: what it may spend, and holds. Its quantity is what that buys at most.",
    )
    visible_quantity = AmountField(
        null=True,
        help_text="Of an iceberg: how much of it is seen at a time. Empty: all of it.",
    )
    filled_quantity = AmountField(default=Decimal(0))
    prevented_quantity = AmountField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="By how much prevented self-trades have reduced it.",
    )
    filled_quote = AmountField(
        default=Decimal(0), help_text="Quote paid or received by the fills so far."
    )
    maker_fee_rate = RateField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Share of what it receives by trades for which it waited.",
    )
    taker_fee_rate = RateField(
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="Share of what it receives by trades that it makes when it comes.",
    )
    first_price = AmountField(
        null=True, help_text="Quote per base; its price when it came, if it has been amended since."
    )
    first_quantity = AmountField(
        null=True, help_text="Base; its quantity when it came, if it has been amended since."
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(max_length=200, blank=True)
    client_order_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 - NULL: none given, so that uniqueness leaves it alone
    request_id = models.CharField(max_length=64, blank=True)
    epoch = models.PositiveIntegerField(null=True)
    offset = models.BigIntegerField(null=True)
    queue_epoch = models.PositiveIntegerField(null=True)
    queue_offset = models.BigIntegerField(null=True)
    queue_rank = models.PositiveIntegerField(null=True)
    elected_at = models.DateTimeField(
        null=True, help_text="When that price had come; its trigger is on the way since."
    )
    elected_epoch = models.PositiveIntegerField(null=True)
    elected_offset = models.BigIntegerField(null=True)
    elected_rank = models.PositiveIntegerField(null=True)
    triggered_at = models.DateTimeField(null=True, help_text="When it came to the book.")
    triggered_epoch = models.PositiveIntegerField(null=True)
    triggered_offset = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_reason = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text="Why its cancel was asked for; empty: its user wished so.",
    )
    relayed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    finished_epoch = models.PositiveIntegerField(
        null=True, help_text="The epoch of the log whose event finished it."
    )
    matched_at = models.DateTimeField(
        null=True, help_text="When the result of its own event was handed to the log."
    )
    settled_at = models.DateTimeField(null=True, help_text="When that result was settled.")

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
                    order_type__in=["limit", "market", "stop_limit", "stop_market"],
                    time_in_force__in=["gtc", "ioc", "fok", "gtd"],
                    self_trade_prevention__in=[
                        "none",
                        "cancel_taker",
                        "cancel_maker",
                        "cancel_both",
                        "decrement_and_cancel",
                    ],
                )
                & (Q(time_in_force__in=RESTING_TIMES) | Q(post_only=False))
                & (~Q(order_type__in=UNPRICED_TYPES) | Q(time_in_force="ioc")),
                name="order_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(time_in_force__in=RESTING_TIMES) | ~Q(status__in=LIVE_STATUSES),
                name="order_rests_if_good_till_canceled",
            ),
            models.CheckConstraint(
                condition=Q(time_in_force="gtd", expires_at__isnull=False)
                | ~Q(time_in_force="gtd") & Q(expires_at__isnull=True),
                name="order_expires_if_good_till_date",
            ),
            models.CheckConstraint(
                condition=Q(visible_quantity__isnull=True)
                | Q(
                    visible_quantity__isnull=False,
                    visible_quantity__gt=0,
                    visible_quantity__lt=F("quantity"),
                    quantity__lte=F("visible_quantity") * MAX_PARTS,
                    order_type="limit",
                    time_in_force__in=RESTING_TIMES,
                ),
                name="order_iceberg_possible",
            ),
            models.CheckConstraint(
                condition=Q(first_price__isnull=True, first_quantity__isnull=True)
                | Q(
                    first_price__isnull=False,
                    first_quantity__isnull=False,
                    first_price__gt=0,
                    first_quantity__gt=0,
                    time_in_force__in=RESTING_TIMES,
                    visible_quantity__isnull=True,
                ),
                name="order_amended_whole",
            ),
            models.CheckConstraint(
                condition=Q(cancel_reason="")
                | Q(
                    cancel_reason=EXPIRED,
                    time_in_force="gtd",
                    cancel_requested_at__isnull=False,
                    cancel_requested_at__gte=F("expires_at"),
                ),
                name="order_cancel_reason_known",
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
                        status="untriggered",
                        filled_quantity=0,
                        prevented_quantity=0,
                        offset__isnull=False,
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
                        status="filled",
                        quote_amount__isnull=False,
                        filled_quantity__gt=0,
                        prevented_quantity=0,
                        offset__isnull=False,
                    )
                    | Q(
                        status="canceled",
                        filled_quantity__lt=F("quantity"),
                        offset__isnull=False,
                    )
                ),
                name="order_status_agrees_with_fill",
            ),
            models.CheckConstraint(
                condition=Q(quote_amount__isnull=True)
                | Q(
                    order_type="market",
                    side="buy",
                    quote_amount__gt=0,
                    filled_quote__lte=F("quote_amount"),
                ),
                name="order_spends_at_most_its_amount",
            ),
            models.CheckConstraint(
                condition=Q(epoch__isnull=True, offset__isnull=True)
                | Q(epoch__isnull=False, offset__isnull=False),
                name="order_place_on_log_whole",
            ),
            models.CheckConstraint(
                condition=Q(
                    queue_epoch__isnull=True, queue_offset__isnull=True, queue_rank__isnull=True
                )
                | Q(
                    epoch__isnull=False,  # a comparison with NULL would not refuse
                    queue_epoch__isnull=False,
                    queue_offset__isnull=False,
                    queue_rank__isnull=False,
                )
                & (
                    Q(queue_epoch__gt=F("epoch"))
                    | Q(queue_epoch=F("epoch"), queue_offset__gte=F("offset"))
                ),
                name="order_place_in_queue_whole",
            ),
            models.CheckConstraint(
                condition=Q(order_type__in=STOP_TYPES, stop_price__isnull=False, stop_price__gt=0)
                | ~Q(order_type__in=STOP_TYPES)
                & Q(stop_price__isnull=True)
                & ~Q(status="untriggered"),
                name="order_stop_price_if_stop",
            ),
            models.CheckConstraint(
                condition=Q(
                    elected_at__isnull=True,
                    elected_epoch__isnull=True,
                    elected_offset__isnull=True,
                    elected_rank__isnull=True,
                )
                | Q(
                    elected_at__isnull=False,
                    elected_epoch__isnull=False,
                    elected_offset__isnull=False,
                    elected_rank__isnull=False,
                    stop_price__isnull=False,
                )
                & ~Q(status__in=["pending", "rejected"]),
                name="order_election_whole",
            ),
            models.CheckConstraint(
                condition=Q(
                    Q(stop_price__isnull=True)
                    | Q(filled_quantity=0) & ~Q(status__in=["open", "partially_filled", "filled"]),
                    triggered_at__isnull=True,
                    triggered_epoch__isnull=True,
                    triggered_offset__isnull=True,
                )
                | Q(
                    triggered_at__isnull=False,
                    triggered_epoch__isnull=False,
                    triggered_offset__isnull=False,
                    elected_at__isnull=False,
                    queue_epoch__isnull=False,
                )
                & ~Q(status="untriggered"),
                name="order_trigger_whole",
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=True, finished_epoch__isnull=True)
                | Q(finished_at__isnull=False, finished_epoch__isnull=False),
                name="order_finish_whole",
            ),
            models.CheckConstraint(
                condition=Q(settled_at__isnull=True, matched_at__isnull=True)
                | Q(settled_at__isnull=False, epoch__isnull=False),
                name="order_way_whole",
            ),
            models.CheckConstraint(condition=_RATES_ARE_SHARES, name="order_fee_rates_are_shares"),
            models.CheckConstraint(
                condition=~Q(user=FEE_ACCOUNT_ID), name="order_not_of_fee_account"
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
            models.Index(
                fields=["expires_at"],
                condition=Q(
                    expires_at__isnull=False,
                    cancel_requested_at__isnull=True,
                    status__in=UNFINISHED_STATUSES,
                ),
                name="order_expiring",
            ),
            models.Index(
                fields=["market", "side", "stop_price"],
                condition=Q(status="untriggered"),
                name="order_untriggered",
            ),
            models.Index(
                fields=["id"],
                condition=Q(elected_at__isnull=False, status="untriggered"),
                name="order_elected",
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
