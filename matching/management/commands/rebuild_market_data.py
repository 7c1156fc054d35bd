"""`manage.py rebuild_market_data`: the candles made anew from the settled trades."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from matching.market_data.folding import rebuild
from orders.models import Market


class Command(BaseCommand):
    help = (
        "Make the candles of every market anew from its settled trades. Safe while the exchange "
        "runs: until a market is done, readers see its candles as they were, and new trades wait."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--market", action="append", metavar="SYMBOL",
            help="only this market (may be given several times)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        known = list(Market.objects.order_by("symbol").values_list("symbol", flat=True))
        markets = options["market"] or known
        if unknown := sorted(set(markets) - set(known)):
            raise CommandError(f"There is no market {', '.join(unknown)}: nothing was changed.")
        for market in markets:
            self.stdout.write(f"{market}: {rebuild(market)} trades")
