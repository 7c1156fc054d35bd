"""The table of deposits and withdrawals that were asked for; `balances.models` has it, too."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from exchange.fields import AmountField
from exchange.money import format_amount
from orders.models import Asset


class Transfer(models.Model):
    """A deposit or withdrawal that was asked for, and what became of it.

    A withdrawal holds its amount while it is requested. Only `balances.transfers` writes here: it
    moves on once, together with the ledger entries. `external_reference` is the user's own name for
    it, and makes asking again harmless.
    """

    class Kind(models.TextChoices):
        DEPOSIT = "deposit"
        WITHDRAWAL = "withdrawal"

    class Status(models.TextChoices):
        REQUESTED = "requested"
        APPROVED = "approved"
        REJECTED = "rejected"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount = AmountField()
    external_reference = models.CharField(max_length=64)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.REQUESTED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Who sent the request; nobody in demo mode.",
    )
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    decided_at = models.DateTimeField(null=True)
    note = models.CharField(
        max_length=200, blank=True, help_text="Why it was approved or rejected."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "external_reference"], name="transfer_reference_unique"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="transfer_amount_positive"),
            models.CheckConstraint(
                condition=Q(kind__in=["deposit", "withdrawal"]), name="transfer_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(external_reference__regex=r"^[A-Za-z0-9._:-]{1,64}$"),
                name="transfer_reference_plain",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="requested", decided_by__isnull=True, decided_at__isnull=True, note=""
                )
                | Q(
                    status__in=["approved", "rejected"],
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                    note__regex=r"\S",
                ),
                name="transfer_decision_whole",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("user")),
                name="transfer_decided_by_another",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="transfer_by_user"),
            models.Index(
                fields=["user"], condition=Q(status="requested"), name="transfer_requested"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {format_amount(self.amount)} {self.asset_id}, {self.status}"
