"""The project as a Django app: it owns the user model."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate

from exchange.postgres import lift_time_limits


class ExchangeConfig(AppConfig):
    name = "exchange"

    def ready(self) -> None:
        import exchange.access.schema
        import exchange.login_limits  # noqa: F401 - its receivers

        pre_migrate.connect(_give_migrations_time)
        post_migrate.connect(_make_fee_account, sender=self)


def _give_migrations_time(*, using: str, **_: Any) -> None:
    """Lift the transaction time limit: a migration on a full table may take longer."""
    lift_time_limits(using=using, local=False)


def _make_fee_account(*, using: str, **_: Any) -> None:
    """Make the user whose balances are the fees; no fee can be settled without it."""
    from exchange.fee_account import make_fee_account

    make_fee_account(using)
