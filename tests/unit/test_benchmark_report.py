"""What a benchmark says: medians over runs, ratios run by run, and whether the goal is reached."""

import importlib.util
from pathlib import Path

import pytest

from benchmarks.__main__ import ALL_PARTS
from benchmarks.report import Figure, Goal, merged, read_details, read_json, rows, write_json


def figure(value: float, ceiling: float, goal: Goal) -> Figure:
    return Figure("part", "what", "orders/s", (value,), "a ceiling", (ceiling,), goal)


def test_the_ratio_is_that_of_the_runs_not_of_the_medians() -> None:
    goal = Goal(ratio_at_least=0.5)
    (found,) = merged([[figure(10, 100, goal)], [figure(60, 100, goal)], [figure(50, 50, goal)]])
    assert found.value == 50
    assert found.ceiling == 100
    assert found.ratio == pytest.approx(0.6)
    assert found.is_reached


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(), True),
        (Goal(at_least=4_000), False),
        (Goal(at_least=3_000, ratio_at_least=0.35), True),
        (Goal(at_least=3_000, ratio_at_least=0.4), False),
        (Goal(at_most=3_000), False),
        (Goal(ratio_at_most=0.5), True),
        (Goal(ratio_at_most=0.3), False),
        (Goal(ratio_at_most=0.3, slack=800), True),
        (Goal(ratio_at_most=0.3, slack=799), False),
    ],
)
def test_every_bound_of_a_goal_has_to_hold(goal: Goal, reached: bool) -> None:
    assert figure(3_500, 9_000, goal).is_reached is reached


def test_a_ratio_without_a_ceiling_is_not_reached() -> None:
    bare = Figure("part", "what", "s", (1.0,), goal=Goal(ratio_at_least=0.1))
    assert bare.ratio is None
    assert not bare.is_reached


def test_figures_survive_the_file(tmp_path: Path) -> None:
    before = [figure(3_500, 9_000, Goal(at_least=4_000, ratio_at_least=0.35))]
    write_json(before, tmp_path / "figures.json")
    assert read_json(tmp_path / "figures.json") == before
    assert rows(before)[0][-2:] == ("≥ 4,000, ≥ 0.35 times", "NO")


def test_the_slack_of_a_goal_is_said() -> None:
    assert rows([figure(110, 100, Goal(ratio_at_most=1.1, slack=16))])[0][-2:] == (
        "≤ 1.1 times + 16",
        "yes",
    )


def test_what_a_part_has_noted_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "of" / "its" / "own" / "figures.json"  # no folder of it is there before
    write_json([], path, {"load": [{"points": [1, 2]}]})
    assert read_details(path) == {"load": [{"points": [1, 2]}]}


def test_a_point_of_a_plot_is_the_median_of_the_runs() -> None:
    plots = pytest.importorskip("benchmarks.plots", reason="needs requirements/bench.txt")
    runs = [{"points": [{"p99_ms": p}, {"p99_ms": 2 * p}]} for p in (10, 30, 20)]
    assert plots.medians(runs, "p99_ms") == [20, 40]


def test_nothing_is_drawn_of_parts_that_were_not_measured(tmp_path: Path) -> None:
    plots = pytest.importorskip("benchmarks.plots", reason="needs requirements/bench.txt")
    assert plots.write_plots({"soak": [{}]}, tmp_path / "plots") == []
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize("part", ALL_PARTS)
def test_every_part_that_is_offered_is_there(part: str) -> None:
    assert importlib.util.find_spec(f"benchmarks.{part}") is not None
