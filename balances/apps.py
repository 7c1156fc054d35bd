from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BalancesConfig(AppConfig):
    name = "balances"

    def ready(self) -> None:
        post_migrate.connect(_make_trust_row, sender=self)


def _make_trust_row(*, using: str, **_: Any) -> None:
    """Make the single row of CacheTrust; nothing works without it."""
    from balances.models import CacheTrust

    CacheTrust.objects.using(using).get_or_create(pk=1)
