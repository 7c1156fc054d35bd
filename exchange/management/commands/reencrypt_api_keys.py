"""`manage.py reencrypt_api_keys`: all secrets of API keys under the first encryption key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.access.keys import reencrypt_secrets


class Command(BaseCommand):
    help = (
        "Encrypt the secret of every API key with the first of API_KEY_ENCRYPTION_KEYS, after a "
        "new one was put before the others. Then the others can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        found = reencrypt_secrets()
        self.stdout.write(f"encrypted with the first key: {found.done} secrets")
        if found.left:
            raise CommandError(
                f"No key in API_KEY_ENCRYPTION_KEYS fits the secrets of {', '.join(found.left)}. "
                "They were left as they are: put the old key back and run this again, or revoke "
                "them."
            )
