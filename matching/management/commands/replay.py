"""`manage.py replay`: the log through the engine once more, compared with what is settled."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from balances.audit.report import Verdict, as_json, print_report, verdict_of
from exchange.kafka import LogError
from matching.replay import runner
from matching.replay.archive import read_archive
from matching.replay.beginning import CannotReplayError
from matching.replay.runner import Replayed, Stretch
from matching.replay.tally import Tallies

SENTENCES = {tally.name: tally.says for tally in Tallies().all()}
VERDICTS = {
    Verdict.AGREES: "What is settled is what the engine makes of the log.",
    Verdict.DIFFERS: "What is settled is not what the engine makes of the log: {names}.",
}


class Command(BaseCommand):
    help = (
        "Replay order-events: run the engine on the log and compare its trades, orders and books "
        "with what is settled. Only reads; safe while the exchange runs. Exit status 0: all "
        "agree; 1: differences, with the rows named; 2: nothing could be compared, because a "
        "store is away or the log is not whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", dest="begin_from", type=Path, metavar="FILE",
            help="begin at an archived checkpoint instead of the beginning of the log",
        )  # fmt: skip
        parser.add_argument(
            "--archive", type=Path, metavar="FILE",
            help="if nothing differs, write the present checkpoint to FILE",
        )  # fmt: skip
        parser.add_argument(
            "--no-replay", action="store_true", help="only write the archive, compare nothing"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        if options["no_replay"] and (options["archive"] is None or options["begin_from"]):
            raise CommandError(
                "--no-replay goes with --archive, and without --from.",
                returncode=Verdict.NOT_CHECKED,
            )
        started = perf_counter()
        try:
            replayed = _replay(options["begin_from"], options["archive"], options["no_replay"])
        except (CannotReplayError, LogError, DatabaseError, InterfaceError, OSError) as error:
            raise CommandError(
                f"Nothing could be compared: {error}", returncode=Verdict.NOT_CHECKED
            ) from error
        if options["no_replay"]:
            self._say_archived(replayed, options["archive"])
            return
        self._report(replayed, perf_counter() - started, as_lines=not options["json"])
        if options["archive"] is not None and not options["json"]:
            self._say_archived(replayed, options["archive"])
        verdict, sentence = verdict_of(replayed.outcomes, VERDICTS)
        if verdict is not Verdict.AGREES:
            raise CommandError(sentence, returncode=verdict)

    def _report(self, replayed: Replayed, seconds: float, *, as_lines: bool) -> None:
        if as_lines:
            out: Any = self.stdout
            console = Console(file=out, width=None if out.isatty() else 200)
            console.print(_stretches(replayed.stretches))
            print_report(console, replayed.outcomes, SENTENCES, seconds, VERDICTS)
            return
        self.stdout.write(
            as_json(
                replayed.outcomes,
                seconds,
                VERDICTS,
                partitions=[stretch._asdict() for stretch in replayed.stretches],
                archived=replayed.archived,
            )
        )

    def _say_archived(self, replayed: Replayed, path: Path) -> None:
        if replayed.archived:
            self.stdout.write(f"The checkpoint is in {path}.")
        else:
            raise CommandError("No archive was written.", returncode=Verdict.DIFFERS)


class _RecordsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} records/s")


def _replay(begin_from: Path | None, archive_to: Path | None, skip_replay: bool) -> Replayed:
    """Run the replay, with a progress bar on a terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("replay"), BarColumn(), MofNCompleteColumn(), _RecordsPerSecond(),
        TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("replay", total=None)
        return runner.replay(
            begin_from=read_archive(begin_from) if begin_from is not None else None,
            archive_to=archive_to,
            skip_replay=skip_replay,
            progress=runner.Progress(
                lambda total: progress.update(task, total=total),
                lambda done: progress.advance(task, done),
            ),
        )


def _stretches(stretches: Sequence[Stretch]) -> Table:
    table = Table("partition", "from", "through", "records", "left out by halts")
    for column in table.columns:
        column.justify = "right"
    for stretch in stretches:
        nothing = stretch.last < stretch.first
        table.add_row(
            str(stretch.partition),
            "-" if nothing else f"{stretch.first:,}",
            "-" if nothing else f"{stretch.last:,}",
            f"{stretch.records:,}",
            f"{stretch.left_out:,}",
        )
    return table
