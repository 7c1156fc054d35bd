"""What a benchmark comes to: figures, each beside the ceiling that was measured in the same run.

The machines are shared and noisy, so no absolute figure stands alone: every run measures its own
ceiling, the ratio is taken run by run, and what is shown is the median of the runs.
"""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """What a figure is to reach. Every bound that is given has to hold.

    `ratio_*` bound value / ceiling; the others bound the value itself, in the figure's unit. By as
    much as `slack`, in that unit, a value may pass `ratio_at_most` times its ceiling.
    """

    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    slack: float = 0.0

    def text(self) -> str:
        slack = f" + {self.slack:,g}" if self.slack else ""
        bounds = (
            ("≥", self.at_least, ""),
            ("≤", self.at_most, ""),
            ("≥", self.ratio_at_least, " times"),
            ("≤", self.ratio_at_most, f" times{slack}"),
        )
        return ", ".join(f"{sign} {bound:,g}{times}" for sign, bound, times in bounds if bound)

    def is_reached(self, value: float, ratio: float | None, ratio_less_slack: float | None) -> bool:
        return all(
            (
                self.at_least is None or value >= self.at_least,
                self.at_most is None or value <= self.at_most,
                self.ratio_at_least is None or (ratio is not None and ratio >= self.ratio_at_least),
                self.ratio_at_most is None
                or (ratio_less_slack is not None and ratio_less_slack <= self.ratio_at_most),
            )
        )


@dataclass(frozen=True)
class Figure:
    """One line of the table: a value per run, and the ceiling of each run, in the same unit."""

    part: str
    name: str
    unit: str
    values: tuple[float, ...]
    ceiling_name: str = ""
    ceilings: tuple[float, ...] = ()
    goal: Goal = Goal()

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def ceiling(self) -> float | None:
        return median(self.ceilings) if self.ceilings else None

    @property
    def ratio(self) -> float | None:
        """The median over the runs of value / ceiling."""
        return self._ratio(0.0)

    def _ratio(self, slack: float) -> float | None:
        if not self.ceilings:
            return None
        return median(
            (value - slack) / ceiling
            for value, ceiling in zip(self.values, self.ceilings, strict=True)
        )

    @property
    def is_reached(self) -> bool:
        return self.goal.is_reached(self.value, self.ratio, self._ratio(self.goal.slack))

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "values": self.values,
            "ceiling_name": self.ceiling_name,
            "ceilings": self.ceilings,
            "value": self.value,
            "ceiling": self.ceiling,
            "ratio": self.ratio,
            "goal": vars(self.goal),
            "reached": self.is_reached,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Figure":
        return cls(
            part=found["part"],
            name=found["name"],
            unit=found["unit"],
            values=tuple(found["values"]),
            ceiling_name=found["ceiling_name"],
            ceilings=tuple(found["ceilings"]),
            goal=Goal(**found["goal"]),
        )


def merged(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return the figures with the values of all runs; each run has the same figures."""
    return [
        replace(
            of_runs[0],
            values=tuple(value for figure in of_runs for value in figure.values),
            ceilings=tuple(ceiling for figure in of_runs for ceiling in figure.ceilings),
        )
        for of_runs in zip(*runs, strict=True)
    ]


def number(value: float | None) -> str:
    """Write a figure as people read it: no more digits than it is worth."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


COLUMNS = ("part", "what", "unit", "figure", "ceiling", "", "ratio", "to reach", "reached")


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return the table's cells, one tuple for each figure."""
    return [
        (
            figure.part,
            figure.name,
            figure.unit,
            number(figure.value),
            number(figure.ceiling),
            figure.ceiling_name,
            number(figure.ratio),
            figure.goal.text(),
            ("yes" if figure.is_reached else "NO") if figure.goal.text() else "",
        )
        for figure in figures
    ]


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print the table for people."""
    table = Table(*COLUMNS, title="Medians of the runs; ceilings measured in the same run")
    for row in rows(figures):
        table.add_row(*row)
    console.print(table)


def write_markdown(figures: Sequence[Figure], path: Path) -> None:
    """Write the table as Markdown."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows(figures)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


Details = dict[str, list[dict[str, Any]]]
"""By the name of a part, what each run of it has noted besides its figures."""


def write_json(figures: Sequence[Figure], path: Path, details: Details | None = None) -> None:
    """Write everything that was measured, each run's values included."""
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "figures": [figure.as_json() for figure in figures],
        "details": details or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> list[Figure]:
    """Read the figures that `write_json` has written."""
    return [Figure.from_json(found) for found in json.loads(path.read_text())["figures"]]


def read_details(path: Path) -> Details:
    """Read the details that `write_json` has written."""
    found: Details = json.loads(path.read_text())["details"]
    return found
