"""What the dashboard, the alerts and the scrape configuration name is what the processes say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric

from exchange.metrics.state import ExchangeState
from exchange.stack.processes import METRICS_PORTS

PROJECT = Path(__file__).resolve().parents[2]
MONITORING = PROJECT / "docs" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0][
    "rules"
]
OPERATIONS = (PROJECT / "docs" / "operations.md").read_text()
SUFFIXES = {
    "counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"),
}  # fmt: skip


def families() -> dict[str, Metric]:
    """Every metric of the exchange by its name, without the suffixes of its samples."""
    own = [family for family in REGISTRY.collect() if family.name.startswith("exchange_")]
    return {family.name: family for family in (*own, *ExchangeState().describe())}


def sample_names() -> set[str]:
    return {
        f"{family.name}{suffix}"
        for family in families().values()
        for suffix in SUFFIXES[family.type]
    }


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in ALERTS)]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_that_is_asked_for_exists(expression: str) -> None:
    named = re.findall(r"\b(?:exchange_\w+|up)\b", expression)
    assert named
    assert set(named) - {"up"} <= sample_names()
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_on_the_dashboard() -> None:
    text = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    assert [name for name in families() if name not in text] == []


def test_panels_do_not_lie_on_each_other() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_every_process_is_scraped_where_it_answers() -> None:
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        entry["labels"]["process"]: tuple(int(t.rpartition(":")[2]) for t in entry["targets"])
        for entry in jobs[0]["static_configs"]
    }
    assert scraped == METRICS_PORTS


def test_every_metric_and_every_alert_is_explained() -> None:
    section = OPERATIONS[OPERATIONS.index("## Metrics") : OPERATIONS.index("## What waits how")]
    explained = set(re.findall(r"`([A-Za-z_]+)`", section))
    assert {f"{family.name}{SUFFIXES[family.type][0]}".removesuffix("_bucket")
            for family in families().values()} <= explained  # fmt: skip
    assert {rule["alert"] for rule in ALERTS} <= explained
