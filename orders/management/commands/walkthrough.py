"""`manage.py walkthrough`: play the two walk-throughs against a running stack."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import requests
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from exchange.access.client import Signed
from exchange.access.keys import create_service_credential, revoke_api_key
from exchange.models import User
from orders.walkthrough import WALKTHROUGHS, Outcome, Services, WalkthroughError, play

READY_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Reset and seed the exchange, then play the two walk-throughs over HTTP and compare every "
        "balance, order and trade. Exits 0 only if all agree. Deletes all data: asks first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask before the reset")
        for name, port in (("balances", 5001), ("orders", 5002), ("matching", 5003)):
            parser.add_argument(
                f"--{name}-url",
                default=os.environ.get(f"{name.upper()}_URL", f"http://127.0.0.1:{port}"),
                help=f"where the {name} service answers (default: %(default)s)",
            )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        console = Console()
        services = Services(options["balances_url"], options["orders_url"], options["matching_url"])
        agree = True
        for walkthrough in WALKTHROUGHS:
            console.rule(walkthrough.title)
            call_command("reset", yes=options["yes"], stdout=_Silent())
            call_command("seed", stdout=self.stdout)  # a reset has made a new admin login
            _await_ready(services)
            try:
                with _service_credential() as auth:
                    outcome = play(walkthrough, replace(services, auth=auth), console.print)
            except (WalkthroughError, requests.RequestException) as error:
                raise CommandError(str(error)) from error
            console.print(_table(outcome))
            agree = agree and outcome.agrees
        if not agree:
            raise CommandError("Something differs: see the lines marked NO.")
        console.print("[bold green]Everything agrees, to the last digit.[/]")


@contextmanager
def _service_credential() -> Iterator[Signed]:
    """A credential for this walk-through alone: it acts for both users, without demo mode."""
    owner = User.objects.get(username="admin")
    made = create_service_credential(
        owner_id=owner.pk, name="walkthrough", scopes=["read", "trade"], actor_id=None
    )
    try:
        yield Signed(made.key.public_id, made.secret)
    finally:
        revoke_api_key(api_key_id=made.key.pk, actor_id=None)


class _Silent:
    def write(self, text: str) -> None:
        """Drop what the command says: the walk-through tells its own story."""


def _await_ready(services: Services) -> None:
    deadline = time.monotonic() + READY_SECONDS
    answer = "no answer"
    while time.monotonic() < deadline:
        try:
            response = requests.get(
                f"{services.orders}/health/ready", headers={"Accept": "application/json"}, timeout=5
            )
        except requests.ConnectionError:
            time.sleep(0.1)
            continue
        if response.status_code == 200:
            return
        answer = response.text
        time.sleep(0.1)
    raise CommandError(
        f"The stack at {services.orders} is not ready after {READY_SECONDS:.0f} s: {answer}. "
        "Is it running? make up starts it."
    )


def _table(outcome: Outcome) -> Table:
    table = Table("what", "expected", "found", "agrees")
    for line in outcome.lines:
        mark = "[green]yes[/]" if line.agrees else "[bold red]NO[/]"
        table.add_row(line.what, line.expected, line.found, mark)
    return table
