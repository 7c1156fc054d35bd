"""The project as a Django app: it owns the user model."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


class ExchangeConfig(AppConfig):
    name = "exchange"

    def ready(self) -> None:
        import exchange.access.schema
        import exchange.login_limits  # noqa: F401 - its receivers

        pre_migrate.connect(_give_migrations_time)


def _give_migrations_time(*, using: str, **_: Any) -> None:
    """Lift the transaction time limit: a migration on a full table may take longer."""
    with connections[using].cursor() as cursor:
        cursor.execute("SET transaction_timeout = 0")
