"""`manage.py reencrypt_api_keys`: all secrets of API keys under the first encryption key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.access.keys import reencrypt_secrets
from exchange.access.sealing import UnsealableError


class Command(BaseCommand):
    help = (
        "Encrypt the secret of every API key with the first of API_KEY_ENCRYPTION_KEYS, after a "
        "new one was put before the others. Then the others can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            count = reencrypt_secrets()
        except UnsealableError as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        self.stdout.write(f"encrypted with the first key: {count} secrets")
