"""Balances and everything that explains them.

`available` and `held` change only through `balances.services` and `balances.settlement`, always
together with a ledger entry that says why. Postgres is at all times the exact state of the
exchange at the log position that `Checkpoint` names.
"""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from balances.transfer_model import Transfer as Transfer  # noqa: PLC0414 - exported from here, as the other tables
from exchange.fields import AmountField
from exchange.models import FEE_ACCOUNT_ID
from exchange.money import format_amount
from orders.models import Asset, Market, Order


class Balance(models.Model):
    """What a user has of an asset. `version` grows with every change; the cache orders by it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="balances", db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="balances")
    available = AmountField(default=Decimal(0))
    held = AmountField(default=Decimal(0), help_text="Reserved by live and pending orders.")
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["user_id", "asset_id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "asset"], name="balance_user_asset_unique"),
            models.CheckConstraint(condition=Q(available__gte=0), name="balance_no_overdraft"),
            models.CheckConstraint(condition=Q(held__gte=0), name="balance_hold_not_negative"),
        ]

    def __str__(self) -> str:
        available, held = format_amount(self.available), format_amount(self.held)
        return f"{self.user_id} {self.asset_id}: {available} + {held} held"

    @property
    def total(self) -> Decimal:
        total: Decimal = self.available + self.held
        return total


SEED_NOTE = "seed"
SYSTEM_NOTE = "system"
"""A deposit or withdrawal by nobody was made by the seed or by the exchange: its note is one of
these, or begins with one and a colon."""


class LedgerEntry(models.Model):
    """One movement of one balance: by how much, what it was after, and why. Never changed."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit"
        WITHDRAWAL = "withdrawal"
        HOLD = "hold"
        RELEASE = "release"
        TRADE = "trade"
        FEE = "fee"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    available_change = AmountField()
    held_change = AmountField()
    available_after = AmountField()
    held_after = AmountField()
    order = models.ForeignKey(
        Order, null=True, on_delete=models.PROTECT, related_name="ledger", db_index=False
    )
    trade_id = models.PositiveBigIntegerField(
        null=True, help_text="The trade's number in the market of the order."
    )
    transfer = models.ForeignKey(
        Transfer,
        null=True,
        on_delete=models.PROTECT,
        related_name="ledger",
        db_index=False,
        help_text="The request that a deposit or withdrawal, or its hold, belongs to.",
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Who deposited or withdrew on the user's behalf; nobody: the note says system.",
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["deposit", "withdrawal", "hold", "release", "trade", "fee"]),
                name="ledger_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(available_after__gte=0, held_after__gte=0),
                name="ledger_after_not_negative",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["hold", "release"])
                | Q(available_change=-F("held_change"))
                & (Q(order__isnull=False) | Q(transfer__isnull=False)),
                name="ledger_hold_moves_within_balance",
            ),
            models.CheckConstraint(
                condition=Q(transfer__isnull=True) | Q(order__isnull=True) & ~Q(kind="trade"),
                name="ledger_one_reference",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["deposit", "withdrawal"]) | Q(held_change=0),
                name="ledger_transfer_is_available",
            ),
            models.CheckConstraint(
                condition=~Q(kind="fee")
                | Q(held_change=0, transfer__isnull=True)
                & (
                    Q(order__isnull=False, trade_id__isnull=False, available_change__lt=0)
                    | Q(
                        order__isnull=True,
                        trade_id__isnull=True,
                        available_change__gt=0,
                        user=FEE_ACCOUNT_ID,
                    )
                ),
                name="ledger_fee_goes_to_its_account",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["deposit", "withdrawal"]) | Q(note__regex=r"\S"),
                name="ledger_transfer_says_why",
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["deposit", "withdrawal"])
                | Q(actor__isnull=False)
                | Q(note__regex=r"^(seed|system)(:|$)"),
                name="ledger_transfer_says_who",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "asset", "-id"], name="ledger_by_balance"),
            models.Index(fields=["order"], name="ledger_by_order"),
            models.Index(
                fields=["-id"],
                condition=Q(kind__in=["deposit", "withdrawal"]),
                name="ledger_transfers",
            ),
            models.Index(
                fields=["transfer"],
                condition=Q(transfer__isnull=False),
                name="ledger_by_transfer",
            ),
        ]

    def __str__(self) -> str:
        change = format_amount(self.available_change)
        return f"{self.kind} {change} {self.asset_id} of user {self.user_id}"


class Trade(models.Model):
    """A settled fill. `trade_id` counts from 1 without a gap in each market.

    Each side pays its fee in what it receives: the buyer in base, the seller in quote.
    """

    market = models.ForeignKey(
        Market, on_delete=models.PROTECT, related_name="trades", db_index=False
    )
    trade_id = models.PositiveBigIntegerField()
    price = AmountField()
    quantity = AmountField()
    taker_side = models.CharField(max_length=4, choices=Order.Side.choices)
    buy_order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="buys")
    sell_order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="sells")
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    seller = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    buyer_fee = AmountField(default=Decimal(0), db_default=Decimal(0), help_text="Base.")
    seller_fee = AmountField(default=Decimal(0), db_default=Decimal(0), help_text="Quote.")
    executed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["market", "trade_id"], name="trade_id_unique"),
            models.CheckConstraint(
                condition=Q(price__gt=0, quantity__gt=0, trade_id__gt=0),
                name="trade_amounts_positive",
            ),
            models.CheckConstraint(
                condition=Q(taker_side__in=["buy", "sell"]), name="trade_taker_side_known"
            ),
            models.CheckConstraint(
                condition=Q(buyer_fee__gte=0, buyer_fee__lte=F("quantity"))
                & Q(seller_fee__gte=0, seller_fee__lte=F("price") * F("quantity")),
                name="trade_fees_within_received",
            ),
        ]

    def __str__(self) -> str:
        quantity, price = format_amount(self.quantity), format_amount(self.price)
        return f"{self.market_id} #{self.trade_id}: {quantity} at {price}"


class Decrement(models.Model):
    """A prevented self-trade that reduced two orders of one user by `quantity` (base).

    When it happened is where the log has the taker: a taker comes once.
    """

    taker_order = models.ForeignKey(
        Order, on_delete=models.PROTECT, related_name="decrements_as_taker", db_index=False
    )
    maker_order = models.ForeignKey(
        Order, on_delete=models.PROTECT, related_name="decrements_as_maker"
    )
    quantity = AmountField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["taker_order", "maker_order"], name="decrement_of_a_pair_unique"
            ),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="decrement_positive"),
            models.CheckConstraint(
                condition=~Q(taker_order=F("maker_order")), name="decrement_orders_differ"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.taker_order_id} and {self.maker_order_id}: {format_amount(self.quantity)}"


class LogEpoch(models.Model):
    """A stretch of the log in which offsets and results count.

    The next one begins when the log is lost or made anew, and when results have to be made again.
    `begin_offsets`: per partition (as text), the checkpoint at which it began; what it can be
    replayed from, if `is_new_log`: then its offsets have nothing to do with those before it.
    """

    number = models.AutoField(primary_key=True)
    order_topic_id = models.CharField(max_length=64)
    trade_topic_id = models.CharField(max_length=64)
    reason = models.CharField(max_length=200)
    is_new_log = models.BooleanField(
        default=True, help_text="order-events was lost or cut; else the same log goes on."
    )
    begin_offsets = models.JSONField(default=dict)
    started_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"epoch {self.number}"


class Checkpoint(models.Model):
    """How far a partition has been settled: `offset` is that of the last event dealt with.

    Written in the settlement transaction itself; its row lock is what makes settling twice
    impossible. -1: nothing in this epoch yet.
    """

    partition = models.PositiveIntegerField(primary_key=True)
    epoch = models.ForeignKey(LogEpoch, on_delete=models.PROTECT)
    offset = models.BigIntegerField()
    gap_offset = models.BigIntegerField(
        null=True, help_text="Where a missing result was last made again; a second time halts."
    )
    halted_reason = models.CharField(max_length=500, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["partition"]
        constraints = [
            models.CheckConstraint(condition=Q(offset__gte=-1), name="checkpoint_offset_real"),
        ]

    def __str__(self) -> str:
        return f"partition {self.partition} at {self.epoch_id}/{self.offset}"


class MarketHalt(models.Model):
    """A market whose results are no longer settled, because one would have broken a promise.

    The row stands from the first result that could not be settled; the other markets of the
    partition go on.
    """

    market = models.OneToOneField(Market, primary_key=True, on_delete=models.PROTECT)
    epoch = models.ForeignKey(LogEpoch, on_delete=models.PROTECT)
    offset = models.BigIntegerField(help_text="The first order event that was not settled.")
    reason = models.CharField(max_length=500)
    halted_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.market_id} halted: {self.reason}"


class PastHalt(models.Model):
    """A halt of a market that an operator has ended, and what it left out of the settlement.

    Left out are the market's events from (`epoch`, `offset`) on, through `last_offset` of the
    epoch before `resumed_epoch`. Orders among them that were still pending were published again.
    """

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="past_halts")
    epoch = models.ForeignKey(LogEpoch, on_delete=models.PROTECT, related_name="+")
    offset = models.BigIntegerField(help_text="The first order event that was not settled.")
    resumed_epoch = models.ForeignKey(LogEpoch, on_delete=models.PROTECT, related_name="+")
    last_offset = models.BigIntegerField(help_text="The last order event that was left out.")
    reason = models.CharField(max_length=500)
    halted_at = models.DateTimeField()
    resumed_at = models.DateTimeField(auto_now_add=True)
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    note = models.CharField(max_length=200, help_text="What was found and mended.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.market_id} from {self.epoch_id}/{self.offset} to {self.last_offset}"


class CacheTrust(models.Model):
    """The single row that says since when the Redis cache is not to be believed, if so.

    Set by a process that could not mark what it was about to change; cleared, after a flush, by
    the periodic repair. See `balances.cache`.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    distrusted_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(
        null=True, help_text="When the distrust had been committed: vouches run out from here on."
    )

    class Meta:
        verbose_name_plural = "cache trust"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="cache_trust_single_row"),
        ]

    def __str__(self) -> str:
        return f"distrusted since {self.distrusted_at}" if self.distrusted_at else "trusted"
