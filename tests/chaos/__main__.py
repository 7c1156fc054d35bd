"""The command line: `python -m tests.chaos`, or `make chaos`.

Turns arguments into a run, and its report into a table and an exit status.
"""

import argparse
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import Progress

from exchange.addresses import LOCAL
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.report import Report, show, write_json, write_markdown
from tests.chaos.run import Options, Run

INTERRUPTED = 130

DESCRIPTION = """\
Run the whole exchange on throw-away data, put a steady load of orders and cancels on it, and
inject faults at random moments. After each fault everything has to be well again within 30 s
without a hand on it; every order that was answered has to be there, once; and whenever the load
rests, the books have to balance. Ends at the first violation (a late recovery is noted, and the
run goes on). Exit status 1 if there was any.
"""


def main() -> int:
    options = _options()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    base_dir = LOCAL / "chaos" / f"{options.kafka}-{seed}-{os.getpid()}"
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    tell = _teller(console)
    tell(f"seed {seed}, on the {options.kafka} broker; logs in {base_dir / 'logs'}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    run = Run(
        Options(
            seed=seed, times=options.times, base_dir=base_dir, kafka=options.kafka,
            faults=options.faults, load=options.load, limit_seconds=options.limit,
            keep_logs=options.keep_logs,
        ),
        tell=tell,
    )  # fmt: skip
    interrupted = False
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("faults")
        try:
            run.execute(lambda done, of: progress.update(bar, completed=done, total=of))
        except KeyboardInterrupt:
            interrupted = True
            run.report.violations.append("interrupted before the end")
    _publish(run.report, options, console)
    if run.report.violations or options.keep_logs:
        console.print(f"Logs of every process: {run.report.logs}", soft_wrap=True)
    if run.report.violations:
        console.print(f"Again: python -m tests.chaos {_again(options, seed)}", soft_wrap=True)
    return INTERRUPTED if interrupted else int(bool(run.report.violations))


def _publish(report: Report, options: argparse.Namespace, console: Console) -> None:
    names = [fault.name for fault in FAULTS]
    show(report, names, console)
    if options.json is not None:
        write_json(report, options.json)
    if options.markdown is not None:
        write_markdown(report, names, options.markdown)


def _options() -> argparse.Namespace:
    width = max(len(fault.name) for fault in FAULTS) + 2
    faults = "\n".join(
        f"  {fault.name:<{width}}{fault.what}"
        + ("" if len(fault.brokers) > 1 else f" (only --kafka {fault.brokers[0]})")
        for fault in FAULTS
    )
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=DESCRIPTION,
        epilog=f"faults:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=int, metavar="N",
        help="decides faults, order, victims, moments and orders; drawn and printed if not given",
    )  # fmt: skip
    parser.add_argument(
        "--times", type=_positive, default=20, metavar="N", help="each fault so often (20)"
    )
    parser.add_argument(
        "--kafka", choices=("embedded", "apache"), default="embedded",
        help="the broker; Apache Kafka needs Java 17 and Maven (embedded)",
    )  # fmt: skip
    parser.add_argument(
        "--faults", type=_faults, default=FAULTS, metavar="A,B", help="only these, by name (all)"
    )
    parser.add_argument(
        "--load", type=float, default=40.0, metavar="N", help="requests a second (40)"
    )
    parser.add_argument(
        "--limit", type=float, default=30.0, metavar="SECONDS",
        help="the longest recovery; more only where others need the machine too (30)",
    )  # fmt: skip
    parser.add_argument(
        "--keep-logs", action="store_true", help="keep the logs also if the run passes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def _faults(text: str) -> tuple[Fault, ...]:
    by_name = {fault.name: fault for fault in FAULTS}
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in by_name]:
        raise argparse.ArgumentTypeError(
            f"no fault is called {', '.join(unknown)}; there are: {', '.join(by_name)}"
        )
    return tuple(by_name[name] for name in names)


def _again(options: argparse.Namespace, seed: int) -> str:
    again = f"--seed {seed} --times {options.times} --kafka {options.kafka} --load {options.load:g}"
    if options.limit != 30:
        again += f" --limit {options.limit:g}"
    if options.faults != FAULTS:
        again += f" --faults '{','.join(fault.name for fault in options.faults)}'"
    return again


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _teller(console: Console) -> Callable[[str], None]:
    begin = time.monotonic()
    return lambda text: console.print(
        f"[dim]{time.monotonic() - begin:7.1f} s[/dim]  {text}", soft_wrap=True
    )


if __name__ == "__main__":
    sys.exit(main())
