"""The command line: `python -m benchmarks`, or `make bench`.

Runs the parts one after another, each run of a part in a process of its own, so that none finds the
memory, the connections or the data of the one before it. Ends with a table, the same as JSON, and
plots if they are asked for.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from benchmarks.options import Options
from benchmarks.report import (
    Details,
    Figure,
    merged,
    read_details,
    read_json,
    show,
    write_json,
    write_markdown,
)

PARTS = {
    "engine": "the pure engine against other people's",
    "pipeline": "records waiting on the log, until they are settled and cached",
    "accept": "POST /orders, one by one",
    "batch": "POST /orders/batch",
    "latency": "from 201 to the settled balance",
    "read": "GET /balance/{user_id}",
    "recovery": "a matching worker reads its books again",
}
LONG_PARTS = {
    "load": "latency and accepted orders over offered load (5 minutes a run)",
    "soak": "a million orders over HTTP: memory, tables, indexes (10 to 20 minutes a run)",
    "scaling": "the pipeline with 1, 2 and 4 workers of each kind (Apache Kafka only)",
}
"""Measured only when they are named."""
ALL_PARTS = PARTS | LONG_PARTS
WORKERS = {"scaling": (1, 2, 4)}
"""With how many workers a run of a part is made; with those of `--workers` if it is not here."""
PROGRESS = "done: "
"""Begins a line in which a part says which share of its run is done."""
DESCRIPTION = (
    "Measure the exchange, each figure beside a ceiling measured in the same run.\n\nparts:"
)


def main() -> int:
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    if options.in_process:
        _measure(options)
        return 0
    figures: list[Figure] = []
    details: Details = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        works = sum(len(_workers_of(part, options)) for part in options.parts) * options.runs
        bar = _Bar(progress, works)
        for part in options.parts:
            bar.describe(f"{part}: {ALL_PARTS[part]}")
            runs = [_run(part, options, bar) for _ in range(options.runs)]
            figures += merged([found for found, _ in runs])
            details[part] = [noted for _, noted in runs if noted]
    _tell(options, console, figures, {part: noted for part, noted in details.items() if noted})
    return int(not all(figure.is_reached for figure in figures))


def _tell(
    options: argparse.Namespace, console: Console, figures: list[Figure], details: Details
) -> None:
    """Print the table, and write the files that were asked for."""
    show(figures, console)
    if options.json is not None:
        write_json(figures, options.json, details)
        console.print(f"Every run's figures: {options.json}")
    if options.markdown is not None:
        write_markdown(figures, options.markdown)
    if options.plots is not None:
        from benchmarks.plots import write_plots  # here: it takes a second to load

        for path in write_plots(details, options.plots):
            console.print(f"Plot: {path}")


class _Bar:
    """The bar of all runs: whole ones, and the share of the present one that is done."""

    def __init__(self, progress: Progress, works: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=works)
        self._whole = 0

    def describe(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def show(self, share: float) -> None:
        self._progress.update(self._task, completed=self._whole + share)

    def say(self, text: str) -> None:
        self._progress.console.print(text)

    def advance(self) -> None:
        self._whole += 1
        self.show(0.0)


def _measure(options: argparse.Namespace) -> None:
    """Run the part that is named in this process, and leave what it comes to in the file."""
    (part,) = options.parts
    measure: Callable[[Options], list[Figure]] = importlib.import_module(
        f"benchmarks.{part}"
    ).measure
    given = Options(
        kafka=options.kafka, scale=options.scale, workers=options.workers,
        advance=lambda share: print(f"{PROGRESS}{share:.4f}", flush=True),
    )  # fmt: skip
    figures = measure(given)
    write_json(figures, options.json, {part: [given.details]})


def _workers_of(part: str, options: argparse.Namespace) -> tuple[int, ...]:
    return WORKERS.get(part, (options.workers,))


def _run(part: str, options: argparse.Namespace, bar: _Bar) -> tuple[list[Figure], dict[str, Any]]:
    """Make one run of a part; return its figures, and what else it has noted."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for workers in _workers_of(part, options):
        found, noted = _in_own_process(part, options, workers, bar)
        figures += found
        details |= noted
        bar.advance()
    return figures, details


def _in_own_process(
    part: str, options: argparse.Namespace, workers: int, bar: _Bar
) -> tuple[list[Figure], dict[str, Any]]:
    """Raises CalledProcessError: the part failed, and has said why."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        found = Path(scratch, "figures.json")
        argv = [
            sys.executable, "-m", "benchmarks", part, "--in-process", "--json", str(found),
            "--kafka", options.kafka, "--scale", str(options.scale), "--workers", str(workers),
        ]  # fmt: skip
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(PROGRESS):
                    bar.show(float(line.removeprefix(PROGRESS)))
                else:
                    bar.say(line.rstrip("\n"))
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, argv)
        return read_json(found), read_details(found)[part][0]


def _options() -> argparse.Namespace:
    parts = _listed(PARTS) + "\n\nonly when named, as they take long:\n" + _listed(LONG_PARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{DESCRIPTION}\n{parts}",
        epilog="Exit status 1 if a figure has not reached its goal.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="part",
        choices=[[], *ALL_PARTS],
        help="all by default, but for those that take long",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure (default: 3)")
    parser.add_argument("--kafka", choices=("embedded", "apache"), default="embedded")
    parser.add_argument(
        "--workers", type=int, default=1, help="pipeline: workers of each kind (Apache Kafka only)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="below 1: shorter, to try the benchmark itself"
    )
    parser.add_argument("--json", type=Path, help="write every run's figures there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="draw what `load` has measured there, as PNG"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    if options.runs < 1:
        parser.error("--runs: at least 1")
    if options.workers > 1 and options.kafka != "apache":
        parser.error("--workers: several workers need consumer groups: --kafka apache")
    if "scaling" in options.parts and options.kafka != "apache":
        parser.error("scaling: several workers need consumer groups: --kafka apache")
    return options


def _listed(parts: dict[str, str]) -> str:
    width = max(map(len, ALL_PARTS)) + 2
    return "\n".join(f"  {name:<{width}}{what}" for name, what in parts.items())


if __name__ == "__main__":
    sys.exit(main())
