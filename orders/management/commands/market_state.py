"""`manage.py market_state`: open a market, or have it take fewer orders or none."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchange.api.errors import ClientError
from orders import outbox
from orders.market_states import change_state
from orders.models import STATES


class Command(BaseCommand):
    help = (
        "Order the state of a market: open; post_only, which takes no order that would trade when "
        "it comes; cancel_only and halted, which take no orders. Cancels are always taken. The "
        "change goes through the log, and counts from its place there on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("market", help="for example ADA-USDT")
        parser.add_argument("state", choices=STATES)
        parser.add_argument("--reason", required=True, help="why; shown to everybody")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        try:
            change = change_state(
                market=options["market"], state=options["state"], reason=options["reason"]
            )
        except ClientError as refusal:
            raise CommandError(refusal.message) from refusal
        outbox.flush()
        self.stdout.write(f"{change.market_id} is to be {change.state}. The log confirms.")
