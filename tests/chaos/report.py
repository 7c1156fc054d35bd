"""The table at the end of a run: on the terminal, as JSON, as Markdown. Decides nothing."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

COLUMNS = (
    "fault", "times", "in flight, median", "in flight, most", "recovery s, median",
    "recovery s, most", "lost", "doubled",
)  # fmt: skip


@dataclass(frozen=True)
class Injection:
    """One fault that was injected. `recovery_seconds`: None if it did not recover in time."""

    number: int
    fault: str
    note: str
    in_flight: int
    recovery_seconds: float | None


@dataclass
class Report:
    """What a run has come to."""

    seed: int
    broker: str
    versions: dict[str, str] = field(default_factory=dict)
    load: float = 0.0
    limit_seconds: float = 0.0
    orders: int = 0
    cancels: int = 0
    amendments: int = 0
    trades: int = 0
    repeated: int = 0
    """Requests without an answer, or with 503, that were sent again."""
    balance_reads: dict[str, int] = field(default_factory=dict)
    duration_seconds: float = 0.0
    checkpoints: int = 0
    """How often the books were balanced while the load rested."""
    injections: list[Injection] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    logs: str = ""

    def rows(self, faults: Sequence[str]) -> list[tuple[str, ...]]:
        """Return a line of cells for each fault that was injected, and one for all."""
        by_fault = {
            fault: [one for one in self.injections if one.fault == fault] for fault in faults
        }
        found = [
            _row(fault, mine, self.lost.get(fault, 0), self.doubled.get(fault, 0))
            for fault, mine in by_fault.items()
            if mine
        ]
        lost, doubled = sum(self.lost.values()), sum(self.doubled.values())
        return [*found, _row("all", self.injections, lost, doubled)] if found else []

    def facts(self) -> list[tuple[str, str]]:
        """Return the lines above the table."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        reads = ", ".join(f"{count} from the {name}" for name, count in self.balance_reads.items())
        return [
            ("seed", str(self.seed)),
            ("broker", self.broker),
            ("versions", versions),
            ("load", f"{self.load:g} requests a second"),
            ("longest recovery allowed", f"{self.limit_seconds:g} s"),
            ("orders accepted", str(self.orders)),
            ("cancels accepted", str(self.cancels)),
            ("amendments accepted", str(self.amendments)),
            ("trades", str(self.trades)),
            ("requests sent again", str(self.repeated)),
            ("balances compared after each step", reads),
            ("books balanced", f"{self.checkpoints} times"),
            ("duration", f"{self.duration_seconds / 60:.1f} minutes"),
            ("result", f"{len(self.violations)} violations" if self.violations else "passed"),
        ]


def _row(name: str, injections: Sequence[Injection], lost: int, doubled: int) -> tuple[str, ...]:
    in_flight = [one.in_flight for one in injections]
    seconds = [o.recovery_seconds for o in injections if o.recovery_seconds is not None]
    failed = len(seconds) < len(injections)
    return (
        name,
        str(len(injections)),
        f"{median(in_flight):g}",
        str(max(in_flight)),
        f"{median(seconds):.1f}" if seconds else "-",
        "did not" if failed else f"{max(seconds):.1f}",
        str(lost),
        str(doubled),
    )


def show(report: Report, faults: Sequence[str], console: Console) -> None:
    """Print header, table and violations."""
    for name, value in report.facts():
        console.print(f"[dim]{name:>34}[/dim]  {value}", soft_wrap=True)
    table = Table(*COLUMNS)
    for row in report.rows(faults):
        table.add_row(*row)
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    for violation in report.violations:
        console.print(f"[red]{violation}[/red]", soft_wrap=True, highlight=False)


def write_json(report: Report, path: Path) -> None:
    path.write_text(json.dumps(asdict(report), indent=2) + "\n")


def write_markdown(report: Report, faults: Sequence[str], path: Path) -> None:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in report.facts()]
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {' | '.join(row)} |" for row in report.rows(faults)]
    lines += ["", *(f"- {violation}" for violation in report.violations)]
    path.write_text("\n".join(lines).rstrip() + "\n")
