"""`manage.py audit`: prove the books, from Postgres and then against the cache."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from balances.audit import CHECKS, Outcome
from balances.audit.cached import NAME as CACHE
from balances.audit.cached import SAYS as CACHE_SAYS
from balances.audit.cached import compare_cache
from balances.audit.last import note_audit
from balances.audit.report import Verdict, as_json, print_report, verdict_of
from balances.audit.runner import WORKERS, run_checks

SENTENCES = {name: check.says for name, check in CHECKS.items()} | {CACHE: CACHE_SAYS}


class Command(BaseCommand):
    help = (
        "Prove the books: every promise looked up in one snapshot of Postgres, then the cache "
        "against Postgres. Only reads; safe while the exchange runs. Exit status 0: all agree; "
        "1: differences, with the rows named; 2: a store could not be looked at; 3: the books "
        "balance, but a market or partition is halted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="say what the checks are, and end")
        parser.add_argument(
            "--check", action="append", choices=sorted(SENTENCES), metavar="NAME",
            help="only this check (may be given several times)",
        )  # fmt: skip
        parser.add_argument("--no-cache", action="store_true", help="leave the cache out")
        parser.add_argument(
            "--fail-fast", action="store_true", help="end at the first check that finds differences"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument(
            "--workers", type=int, default=WORKERS, metavar="N",
            help="checks at a time, each on a connection of its own (default: %(default)s)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        console = _console(self.stdout)
        if options["list"]:
            console.print(_listed())
            return
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1.", returncode=Verdict.NOT_CHECKED)
        names = [name for name in SENTENCES if name in (options["check"] or SENTENCES)]
        if options["no_cache"]:
            names = [name for name in names if name != CACHE]
        started = perf_counter()
        try:
            outcomes = _audit(names, options["workers"], options["fail_fast"])
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(
                f"Postgres could not be looked at: {error}", returncode=Verdict.NOT_CHECKED
            ) from error
        seconds = perf_counter() - started
        if names == list(SENTENCES):
            note_audit(outcomes)
        if options["json"]:
            self.stdout.write(as_json(outcomes, seconds))
        else:
            print_report(console, outcomes, SENTENCES, seconds)
        verdict, sentence = verdict_of(outcomes)
        if verdict is not Verdict.AGREES:
            raise CommandError(sentence, returncode=verdict)


def _audit(names: Sequence[str], workers: int, fail_fast: bool) -> list[Outcome]:
    """Run the checks called `names`, with a progress bar on a terminal; return what they find."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    ) as progress:  # fmt: skip
        checks = [CHECKS[name] for name in names if name != CACHE]
        task = progress.add_task("Postgres", total=len(checks))
        outcomes = run_checks(
            checks,
            workers=workers,
            fail_fast=fail_fast,
            started=lambda name: progress.update(task, description=f"Postgres: {name}"),
            done=lambda _: progress.advance(task),
        )
        failed = verdict_of(outcomes)[0] is Verdict.DIFFERS
        if CACHE in names and not (fail_fast and failed):
            entries = progress.add_task("cache")
            outcomes.append(
                compare_cache(
                    lambda done, total: progress.update(entries, completed=done, total=total)
                )
            )
    return outcomes


def _console(out: Any) -> Console:
    """Return a console that writes to `out`; wide where no terminal says how wide it is."""
    return Console(file=out, width=None if out.isatty() else 200)


def _listed() -> Table:
    table = Table("check", "what should be")
    for name, says in SENTENCES.items():
        table.add_row(name, says)
    return table
