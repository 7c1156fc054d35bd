"""The table of dead-man switches; `orders.models` has it, too."""

from django.conf import settings
from django.db import models
from django.db.models import Q

SHORTEST_SECONDS, LONGEST_SECONDS = 5, 86_400
"""What a switch may be set to."""


class DeadManSwitch(models.Model):
    """What cancels all orders of a user who gives no sign of life. Armed: `expires_at` is set.

    When it fires it is disarmed, and says up to which number orders are to be canceled:
    `canceling` until that has been asked of each of them. It may be armed again meanwhile. Only
    `orders.dead_man` writes here.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    timeout_seconds = models.PositiveIntegerField(null=True)
    expires_at = models.DateTimeField(null=True)
    fired_at = models.DateTimeField(null=True, help_text="When it fired last.")
    last_order_id = models.BigIntegerField(
        null=True, help_text="The last number that any order had been given when it fired."
    )
    canceling = models.BooleanField(default=False)

    class Meta:
        verbose_name = "dead-man switch"
        verbose_name_plural = "dead-man switches"
        ordering = ["user_id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout_seconds__isnull=True, expires_at__isnull=True)
                | Q(
                    timeout_seconds__isnull=False,  # a comparison with NULL would not refuse
                    timeout_seconds__gte=SHORTEST_SECONDS,
                    timeout_seconds__lte=LONGEST_SECONDS,
                    expires_at__isnull=False,
                ),
                name="switch_armed_whole",
            ),
            models.CheckConstraint(
                condition=Q(fired_at__isnull=True, last_order_id__isnull=True, canceling=False)
                | Q(fired_at__isnull=False, last_order_id__isnull=False, last_order_id__gte=0),
                name="switch_fired_whole",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(expires_at__isnull=False), name="switch_armed"
            ),
            models.Index(fields=["fired_at"], condition=Q(canceling=True), name="switch_canceling"),
        ]

    def __str__(self) -> str:
        state = f"until {self.expires_at}" if self.expires_at else "disarmed"
        return f"switch of user {self.user_id}: {state}"
