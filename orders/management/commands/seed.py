"""`manage.py seed`: what a fresh exchange starts with."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.progress import Progress

from orders import seeding


class Command(BaseCommand):
    help = (
        "Make assets, markets, user 1 with 1000 USDT, user 2 with 500 ADA and an admin login "
        "(printed once). Can be repeated: what exists is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--users", type=int, default=0, metavar="N",
            help="also make N traders with plenty of every asset",
        )  # fmt: skip
        parser.add_argument(
            "--markets", type=int, default=0, metavar="N", help="also make N markets against USDT"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        seeding.seed_markets()
        seeding.seed_traders()
        seeding.seed_bulk_markets(options["markets"])
        if options["users"]:
            self._seed_users(options["users"])
        self.stdout.write("seeded: assets, markets, user 1 (1000 USDT), user 2 (500 ADA)")
        self.stdout.write("to sign in at /login as user 1: first manage.py changepassword user1")
        password = seeding.seed_operator()
        if password is not None:
            self.stdout.write(f"admin login (shown once): admin / {password}")

    def _seed_users(self, count: int) -> None:
        with Progress() as progress:
            task = progress.add_task("traders", total=count)
            for done in seeding.seed_bulk_users(count):
                progress.update(task, completed=done)
