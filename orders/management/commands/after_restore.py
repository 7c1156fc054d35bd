"""`manage.py after_restore`: make the log and the cache fit a database from a backup."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from balances import cache
from balances.cache import CacheUnreachableError
from balances.checkpoints import current_epoch
from exchange.kafka import Log, LogError
from orders.models import UNFINISHED_STATUSES, Order


class Command(BaseCommand):
    help = (
        "After Postgres was restored from a backup and before anything else is started: make the "
        "Kafka topics anew and empty the balance cache, because both are ahead of the database. "
        "Deletes every record in the topics; what is in Postgres stays, and goes on from there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        if not options["yes"] and not self._confirmed():
            raise CommandError("Nothing was changed.")
        try:
            cache.forget_everything()
            with Log() as log:
                log.recreate_topics()
        except CacheUnreachableError as error:
            raise CommandError(f"Redis is not reachable: {error}") from error
        except LogError as error:
            raise CommandError(f"Kafka refused or is not reachable: {error}") from error
        unfinished = Order.objects.filter(status__in=UNFINISHED_STATUSES).count()
        self.stdout.write(
            f"The topics and the cache are empty. The database is at epoch {current_epoch()}, with "
            f"{unfinished} unfinished orders: the workers begin the next epoch with them. Now "
            "start everything, then run manage.py audit."
        )

    def _confirmed(self) -> bool:
        self.stdout.write(
            "This deletes every record in Kafka at "
            f"{', '.join(settings.KAFKA_BOOTSTRAP_SERVERS)} and empties the balance cache. Every "
            "process of the exchange must be stopped."
        )
        return input('Type "restored" to go on: ') == "restored"
