"""`manage.py resume`: show what the settlement has halted; settle it again once it is mended."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from balances import halts
from balances.checkpoints import EpochChangedError
from balances.models import Checkpoint, MarketHalt
from exchange.api.errors import ClientError
from exchange.kafka import LogError


class Command(BaseCommand):
    help = (
        "Without a target: list the markets and partitions whose settlement has stopped. With one: "
        "settle it again from where it stopped, once the cause is mended (docs/operations.md says "
        "how to look and repair). What still breaks a promise halts it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "target", nargs="?", help="a market (ADA-USDT) or the number of a partition (2)"
        )
        parser.add_argument("--note", default="", help="what was found and mended; it is kept")
        parser.add_argument("--by", metavar="USERNAME", help="who resumes it; it is kept")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        target = options["target"]
        if target is None:
            Console(file=self.stdout).print(_halts())  # type: ignore[arg-type]
            return
        if not options["note"].strip():
            raise CommandError("Say with --note what was found and mended: it is kept.")
        actor_id = _actor_id(options["by"])
        try:
            if target.isdecimal():
                halts.resume_partition(
                    partition=int(target), note=options["note"], actor_id=actor_id
                )
            else:
                halts.resume_market(market=target, note=options["note"], actor_id=actor_id)
        except ClientError as refusal:
            raise CommandError(refusal.message) from refusal
        except EpochChangedError as error:
            raise CommandError(f"The log has just changed ({error}): try again.") from error
        except LogError as error:
            raise CommandError(f"Kafka refused or is not reachable: {error}") from error
        self.stdout.write(
            f"{target} is settled again. Its pending orders and cancels are published within "
            "seconds; then run manage.py audit."
        )


def _actor_id(username: str | None) -> int | None:
    if username is None:
        return None
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username}.")
    return int(user.pk)


def _halts() -> Table | str:
    table = Table("halted", "since", "from", "reason")
    for halt in MarketHalt.objects.order_by("market_id"):
        place = f"epoch {halt.epoch_id}, offset {halt.offset}"
        table.add_row(halt.market_id, f"{halt.halted_at:%F %T} UTC", place, halt.reason)
    for row in Checkpoint.objects.exclude(halted_reason="").order_by("partition"):
        place = f"epoch {row.epoch_id}, after offset {row.offset}"
        table.add_row(
            f"partition {row.partition}", f"{row.updated_at:%F %T} UTC", place, row.halted_reason
        )
    return table if table.row_count else "Nothing is halted by the settlement."
