"""The parts of `make bench` that run whole exchanges, each shortened to some seconds; query plans.

Each part has an exchange of its own, and ends with the audit. What is measured here means nothing:
the tests see that it is measured, and that a run whose figures cannot be right fails.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hot_statements import HOT
from exchange.stack.processes import exchange_processes

pytestmark = pytest.mark.e2e

PNG = b"\x89PNG"


@dataclass(frozen=True)
class Report:
    """What the command line has left in its file, and printed."""

    figures: dict[str, dict[str, Any]]
    details: dict[str, list[dict[str, Any]]]
    printed: str


def bench(part: str, tmp_path: Path, *options: str, scale: float) -> Report:
    """Run a part once; its goals need not be reached."""
    path = tmp_path / "bench.json"
    argv = [sys.executable, "-m", "benchmarks", part, "--runs", "1", "--scale", str(scale)]
    done = subprocess.run(
        [*argv, "--json", str(path), *options], capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    assert path.exists(), done.stdout + done.stderr
    found = json.loads(path.read_text())
    return Report({f["name"]: f for f in found["figures"]}, found["details"], done.stdout)


def test_the_soak_holds_memory_and_tables_against_those_of_its_first_tenth(tmp_path: Path) -> None:
    report = bench("soak", tmp_path, scale=0.006)

    (run,) = report.details["soak"]
    assert run["orders"] == 6_000
    assert 0.3 < run["trades"] / run["orders"] < 1
    assert run["canceled"] > 0
    assert report.figures["orders refused"]["value"] == 0
    names = {process.name for process in exchange_processes(schedule=tmp_path)}
    for name in (*names, "postgres", "valkey"):
        memory = report.figures[f"memory of {name}"]
        assert memory["value"] > 1
        assert memory["ceiling"] > 1
        assert memory["goal"]["ratio_at_most"] == 1.1
    assert [sample["orders"] for sample in run["memory"]][-1] == run["orders"]
    assert run["tables"]["orders_order"]["table_bytes"] > 100 * run["orders"]
    first = run["tables_at_first"]["balances_trade"]["table_bytes"]
    assert 0 < first < run["tables"]["balances_trade"]["table_bytes"]
    assert report.figures["table of orders_order"]["ceiling"] > 0
    assert report.figures["updates of balances_balance in place (HOT)"]["value"] > 0
    assert "The books balance" in report.printed


def test_latency_and_throughput_over_load_are_measured_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs requirements/bench.txt")
    report = bench("load", tmp_path, "--plots", str(tmp_path / "plots"), scale=0.05)

    (run,) = report.details["load"]
    assert [point["offered"] for point in run["points"]] == [10, 25, 50, 100, 150, 200, 300]
    for point in run["points"]:
        assert point["accepted"] <= point["offered"] * 1.2  # a probe that is due at the end
        assert 0 < point["median_ms"] <= point["p99_ms"]
        assert point["probes"] >= 2
    assert run["points"][1]["accepted"] > 15
    assert 0 < run["bare_median_ms"] <= run["bare_p99_ms"]
    assert run["bare_accepted"] > 0
    assert report.figures["accepted, 25 orders/s offered"]["ceiling"] == run["bare_accepted"]
    for name in ("latency.png", "accepted.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(PNG)
    assert "The books balance" in report.printed


def test_no_plan_of_a_hot_statement_reads_a_large_table_whole(tmp_path: Path) -> None:
    path = tmp_path / "query-plans.md"
    argv = [sys.executable, "-m", "benchmarks.plans", "--orders", "100000", "--users", "100000"]
    done = subprocess.run(
        [*argv, "--output", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = path.read_text()
    assert found.count("\n## ") == len(HOT)
    assert all(f"\n## {hot.title}\n\n{hot.purpose}" in found for hot in HOT)
    assert found.count("No large table is read whole.") == len(HOT)
