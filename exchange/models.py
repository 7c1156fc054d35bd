"""Users, by a model of our own that can grow without a painful migration; fee tiers; API keys."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from exchange.fields import RateField

FEE_ACCOUNT_ID = 0
"""The user whose balances are the fees that were taken. It is made with the tables, cannot sign in
and has no orders; no request can name it, because user ids of the API begin with 1."""


class FeeTier(models.Model):
    """What users of a kind pay at most; where a market asks for less, they pay that.

    The rates are shares of what an order receives. They count for orders that are placed from
    now on: an order keeps the rates that it was accepted with.
    """

    name = models.CharField(max_length=30, primary_key=True)
    maker_rate = RateField(help_text="Of an order that had been waiting in the book; 0.001: 0.1 %.")
    taker_rate = RateField(help_text="Of an order that trades when it comes.")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    maker_rate__gte=0, maker_rate__lt=1, taker_rate__gte=0, taker_rate__lt=1
                ),
                name="fee_tier_rates_are_shares",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A trader, an operator, or both. Balances and orders refer to it by `id`.

    One of them is the fee account (`FEE_ACCOUNT_ID`).
    """

    fee_tier = models.ForeignKey(
        FeeTier,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="users",
        db_index=False,
    )

    class Meta:
        verbose_name = "user"
        verbose_name_plural = "users"
        constraints = [
            models.CheckConstraint(
                condition=~Q(id=FEE_ACCOUNT_ID)
                | Q(is_active=False, is_staff=False, is_superuser=False),
                name="user_fee_account_cannot_sign_in",
            ),
        ]


class ApiKey(models.Model):
    """What a program signs its requests with, for its owner.

    `public_id` is sent with each request, `sealed_secret` is the encrypted secret. With
    `may_act_for_users` it is a service credential: it acts for any user. It is never deleted,
    only revoked, and has no secret then.
    """

    MAX_NETWORKS = 20

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys", db_index=False
    )
    name = models.CharField(max_length=50)
    public_id = models.CharField(max_length=27, unique=True)
    sealed_secret = models.CharField(max_length=500)
    may_read = models.BooleanField()
    may_trade = models.BooleanField()
    may_act_for_users = models.BooleanField(default=False)
    allowed_networks = ArrayField(
        models.CharField(max_length=49),
        default=list,
        blank=True,
        help_text="CIDR; empty: from anywhere.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=Q(may_read=True) | Q(may_trade=True), name="api_key_may_something"
            ),
            models.CheckConstraint(
                condition=Q(public_id__regex=r"^ek_[0-9a-f]{24}$"), name="api_key_public_id_form"
            ),
            models.CheckConstraint(
                condition=~Q(name="") & (~Q(sealed_secret="") | Q(revoked_at__isnull=False)),
                name="api_key_name_and_secret",
            ),
            models.CheckConstraint(
                condition=Q(allowed_networks__len__lte=20), name="api_key_networks_bounded"
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) | Q(revoked_at__gte=F("created_at")),
                name="api_key_revoked_after_creation",
            ),
        ]
        indexes = [models.Index(fields=["owner", "-id"], name="api_key_by_owner")]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"

    @property
    def scopes(self) -> list[str]:
        """What it may do, by name."""
        granted = {
            "read": self.may_read,
            "trade": self.may_trade,
            "act_for_users": self.may_act_for_users,
        }
        return [name for name, is_granted in granted.items() if is_granted]
