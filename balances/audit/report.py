"""The outcome of an audit: for people as tables, for programs as JSON, and as an exit status."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from balances.audit.check import Outcome
from exchange.money import format_amount


class Verdict(IntEnum):
    """What an audit comes to; the value is the exit status. The gravest counts."""

    AGREES = 0
    DIFFERS = 1
    NOT_CHECKED = 2
    HALTED = 3


SENTENCES = {
    Verdict.AGREES: "The books balance, to the last digit.",
    Verdict.DIFFERS: "The books do not balance: {names}.",
    Verdict.NOT_CHECKED: "Nothing differs in what was looked at. Not checked: {names}.",
    Verdict.HALTED: "The books balance. But settlement has stopped: {names}.",
}


def verdict_of(
    outcomes: Sequence[Outcome], verdicts: Mapping[Verdict, str] = SENTENCES
) -> tuple[Verdict, str]:
    """Return what `outcomes` come to, with a sentence that names the checks behind it."""
    named = {
        Verdict.DIFFERS: [o.name for o in outcomes if o.found and o.finds == "difference"],
        Verdict.NOT_CHECKED: [o.name for o in outcomes if o.not_checked],
        Verdict.HALTED: [o.name for o in outcomes if o.found and o.finds == "halt"],
    }
    verdict = next((v for v, names in named.items() if names), Verdict.AGREES)
    return verdict, verdicts[verdict].format(names=", ".join(named.get(verdict, [])))


def print_report(
    console: Console,
    outcomes: Sequence[Outcome],
    sentences: Mapping[str, str],
    seconds: float,
    verdicts: Mapping[Verdict, str] = SENTENCES,
) -> None:
    """Print one line for each check, then the first rows of each that has found something."""
    table = Table("check", "rows", "seconds", "result")
    for column in table.columns[1:3]:
        column.justify = "right"
    for outcome in outcomes:
        table.add_row(
            outcome.name, f"{outcome.looked_at:,}", _seconds(outcome.seconds), _result(outcome)
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.not_checked:
            console.print(f"[bold yellow]{outcome.name}: not checked.[/] {outcome.not_checked}.")
        if outcome.found:
            console.print(_rows(outcome, sentences[outcome.name]))
    verdict, sentence = verdict_of(outcomes, verdicts)
    # Anything else is the error that the command ends with.
    console.print(f"{sentence if verdict is Verdict.AGREES else 'Done.'} ({seconds:.1f} s)")


def as_json(
    outcomes: Sequence[Outcome],
    seconds: float,
    verdicts: Mapping[Verdict, str] = SENTENCES,
    **more: Any,
) -> str:
    """Return the report for programs; amounts are decimal strings. `more`: what else it says."""
    verdict, sentence = verdict_of(outcomes, verdicts)
    report = {
        "verdict": verdict.name.lower(),
        "sentence": sentence,
        "seconds": round(seconds, 3),
        "checks": [
            {
                "name": outcome.name,
                "finds": outcome.finds,
                "rows": outcome.looked_at,
                "seconds": None if outcome.seconds is None else round(outcome.seconds, 3),
                "found": outcome.found,
                "not_checked": outcome.not_checked,
                "first": [dict(zip(outcome.columns, row, strict=True)) for row in outcome.first],
            }
            for outcome in outcomes
        ],
        **more,
    }
    return json.dumps(report, default=_written, indent=2)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def _result(outcome: Outcome) -> str:
    if outcome.not_checked:
        return "[bold yellow]not checked[/]"
    if not outcome.found:
        return "[green]ok[/]"
    if outcome.finds == "halt":
        return f"[bold yellow]{outcome.found:,} halted[/]"
    return f"[bold red]{outcome.found:,} difference{'s' if outcome.found > 1 else ''}[/]"


def _rows(outcome: Outcome, says: str) -> Table:
    shown = len(outcome.first)
    which = f"all {shown}" if shown == outcome.found else f"the first {shown} of {outcome.found:,}"
    table = Table(
        *(Column(name, overflow="fold") for name in outcome.columns),  # nothing is cut off
        title=f"{outcome.name}: {which}",
        caption=f"Should be: {says}" if outcome.finds == "difference" else None,
        title_justify="left",
        caption_justify="left",
    )
    for row in outcome.first:
        table.add_row(*map(_written, row))
    return table


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return format_amount(value) if isinstance(value, Decimal) else str(value)
