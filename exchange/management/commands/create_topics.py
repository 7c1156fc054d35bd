"""`manage.py create_topics`: make the Kafka topics that do not exist yet."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.kafka import Log, LogError


class Command(BaseCommand):
    help = "Create the Kafka topics that do not exist yet. Can be repeated."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            with Log() as log:
                created = log.create_topics()
                log.identity()
        except LogError as error:
            raise CommandError(f"Kafka refused or is not reachable: {error}") from error
        for topic in created:
            self.stdout.write(f"created topic {topic}")
        if not created:
            self.stdout.write("all topics exist")
