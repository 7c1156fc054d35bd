"""`manage.py reset`: Postgres, Redis and the log back to nothing."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from balances import cache
from balances.models import Checkpoint, LogEpoch, MarketHalt, PastHalt
from exchange.fee_account import make_fee_account
from exchange.kafka import Log

KEPT = {"balances_cachetrust", "django_content_type", "auth_permission", "django_migrations"}
"""What migrations have written, and a reset must not take away."""


class Command(BaseCommand):
    help = (
        "Delete everything: all rows in Postgres, the balance cache in Redis, all records in "
        "Kafka. Refuses in production. A running stack notices and goes on from nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        if settings.PRODUCTION:
            raise CommandError("reset does not exist in production (EXCHANGE_ENV=production).")
        if not options["yes"] and not self._confirmed():
            raise CommandError("Nothing was deleted.")
        with Log() as log:
            # The topics first and last: a worker that begins on what is about to go finds in the
            # end that the topics are others, and begins again.
            log.delete_topics()
            _truncate()
            cache.forget_everything()
            log.recreate_topics()
        self.stdout.write("Postgres, Redis and the log are empty. Next: manage.py seed")

    def _confirmed(self) -> bool:
        where = settings.DATABASES["default"]
        self.stdout.write(
            f"This deletes everything in database {where['NAME']} at {where['HOST']}:"
            f"{where['PORT']}, in Redis and in Kafka at "
            f"{', '.join(settings.KAFKA_BOOTSTRAP_SERVERS)}."
        )
        return input('Type "reset" to go on: ') == "reset"


def _truncate() -> None:
    """Empty every table of the project's apps; epoch numbers go on, so that none comes back."""
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    epochs = LogEpoch._meta.db_table
    names = ", ".join(
        connection.ops.quote_name(table) for table in sorted(tables - KEPT - {epochs})
    )
    with transaction.atomic(), connection.cursor() as cursor:
        # Deleted, not truncated: what refers to an epoch goes first, and its sequence stays.
        for model in (Checkpoint, MarketHalt, PastHalt, LogEpoch):
            model.objects.all().delete()
        cursor.execute(f"TRUNCATE {names} RESTART IDENTITY")
        make_fee_account()
