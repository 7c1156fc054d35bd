"""`manage.py forget_cache`: empty the balance cache, in the one way that is safe at any time."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from balances import cache
from balances.cache import CacheUnreachableError


class Command(BaseCommand):
    help = (
        "Empty the balance cache on a running system, after balances were changed by something "
        "else than the exchange. Balances come from Postgres for some seconds; then it fills again."
    )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            cache.forget_everything()
        except CacheUnreachableError as error:
            raise CommandError(f"Redis is not reachable: {error}") from error
        self.stdout.write(
            f"The balance cache is empty. It is believed again in {cache.MARK_MS // 1000} s."
        )
