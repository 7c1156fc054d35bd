"""`manage.py restore_balance`: set a balance to what its ledger says."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from balances import services
from exchange.api.errors import ClientError
from exchange.money import format_amount


class Command(BaseCommand):
    help = (
        "Set a user's balance of an asset to the sum of its ledger entries, after something else "
        "than the exchange has changed it. `manage.py audit` says where that is needed. Safe on a "
        "running system; the cache follows."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user_id", type=int)
        parser.add_argument("asset")
        parser.add_argument("--note", required=True, help="why; it is logged")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            before, after = services.restore_from_ledger(
                user_id=options["user_id"], asset=options["asset"], note=options["note"]
            )
        except ClientError as refusal:
            raise CommandError(refusal.message) from refusal
        for name, old, new in zip(("available", "held"), before, after, strict=True):
            self.stdout.write(f"{name}: {format_amount(old)} -> {format_amount(new)}")
