"""The plots of what `benchmarks.load` has measured: latency and accepted orders over the load."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("agg")  # no screen

from matplotlib import pyplot

from benchmarks.report import Details

SIZE_INCHES = (7.0, 4.0)
DOTS_PER_INCH = 100
OFFERED = "offered load (orders/s)"


def write_plots(details: Details, directory: Path) -> list[Path]:
    """Draw what there is to draw, each point the median of the runs; return the files."""
    runs = details.get("load", [])
    if not runs:
        return []
    directory.mkdir(parents=True, exist_ok=True)
    return [_latency(runs, directory / "latency.png"), _accepted(runs, directory / "accepted.png")]


def medians(runs: Sequence[dict[str, Any]], name: str) -> list[float]:
    """Return the median over the runs of `name` at each load."""
    of_runs = [[float(point[name]) for point in run["points"]] for run in runs]
    return [median(values) for values in zip(*of_runs, strict=True)]


def _latency(runs: Sequence[dict[str, Any]], path: Path) -> Path:
    figure, axes = pyplot.subplots(figsize=SIZE_INCHES)
    offered = medians(runs, "offered")
    axes.plot(offered, medians(runs, "p99_ms"), marker="o", label="99th percentile")
    axes.plot(offered, medians(runs, "median_ms"), marker="o", label="median")
    for name, label, style in (
        ("bare_p99_ms", "ceiling, 99th percentile", ":"),
        ("bare_median_ms", "ceiling, median", "--"),
    ):
        value = median(float(run[name]) for run in runs)
        axes.axhline(value, color="gray", linestyle=style, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("201 to settled balance (ms)")
    return _finish(figure, axes, path)


def _accepted(runs: Sequence[dict[str, Any]], path: Path) -> Path:
    figure, axes = pyplot.subplots(figsize=SIZE_INCHES)
    offered = medians(runs, "offered")
    axes.plot(offered, offered, color="gray", linestyle=":", label="as offered")
    axes.plot(offered, medians(runs, "accepted"), marker="o", label="accepted")
    ceiling = median(float(run["bare_accepted"]) for run in runs)
    axes.axhline(ceiling, color="gray", linestyle="--", label="ceiling: a bare view")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("accepted (orders/s)")
    return _finish(figure, axes, path)


def _finish(figure: Any, axes: Any, path: Path) -> Path:
    axes.set_xlabel(OFFERED)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    pyplot.close(figure)
    return path
