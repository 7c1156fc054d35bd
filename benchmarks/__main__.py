"""The command line: `python -m benchmarks`, or `make bench`.

Runs the parts one after another, each run of a part in a process of its own, so that none finds the
memory, the connections or the data of the one before it. Ends with a table, and the same as JSON.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.options import Options
from benchmarks.report import Figure, merged, read_json, show, write_json, write_markdown

PARTS = {
    "engine": "the pure engine against other people's",
    "pipeline": "records waiting on the log, until they are settled and cached",
    "accept": "POST /orders, one by one",
    "batch": "POST /orders/batch",
    "latency": "from 201 to the settled balance",
    "read": "GET /balance/{user_id}",
    "recovery": "a matching worker reads its books again",
}
DESCRIPTION = (
    "Measure the exchange, each figure beside a ceiling measured in the same run.\n\nparts:"
)


def main() -> int:
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    if options.in_process:
        (part,) = options.parts
        write_json(_measure(part, options), options.json)
        return 0
    figures: list[Figure] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("runs", total=len(options.parts) * options.runs)
        for part in options.parts:
            progress.update(bar, description=f"{part}: {PARTS[part]}")
            runs = []
            for _ in range(options.runs):
                runs.append(_in_own_process(part, options))
                progress.advance(bar)
            figures += merged(runs)
    show(figures, console)
    if options.json is not None:
        write_json(figures, options.json)
        console.print(f"Every run's figures: {options.json}")
    if options.markdown is not None:
        write_markdown(figures, options.markdown)
    return int(not all(figure.is_reached for figure in figures))


def _measure(part: str, options: argparse.Namespace) -> list[Figure]:
    measure: Callable[[Options], list[Figure]] = importlib.import_module(
        f"benchmarks.{part}"
    ).measure
    return measure(
        Options(
            kafka=options.kafka, scale=options.scale, workers=options.workers,
        )
    )  # fmt: skip


def _in_own_process(part: str, options: argparse.Namespace) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        found = Path(scratch, "figures.json")
        argv = [
            sys.executable, "-m", "benchmarks", part, "--in-process", "--json", str(found),
            "--kafka", options.kafka, "--scale", str(options.scale),
            "--workers", str(options.workers),
        ]  # fmt: skip
        subprocess.run(argv, check=True)
        return read_json(found)


def _options() -> argparse.Namespace:
    width = max(map(len, PARTS)) + 2
    parts = "\n".join(f"  {name:<{width}}{what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{DESCRIPTION}\n{parts}",
        epilog="Exit status 1 if a figure has not reached its goal.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", choices=[[], *PARTS], help="all by default"
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
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS)
    if options.runs < 1:
        parser.error("--runs: at least 1")
    if options.workers > 1 and options.kafka != "apache":
        parser.error("--workers: several workers need consumer groups: --kafka apache")
    return options


if __name__ == "__main__":
    sys.exit(main())
