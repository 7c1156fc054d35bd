"""`manage.py replay` as an operator runs it, with and without an archived checkpoint."""

import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from matching.management.commands.replay import SENTENCES
from tests.integration.pipeline.test_recovery import begin_anew, random_flow
from tests.support import World


def replay(*arguments: str | Path) -> tuple[int, str]:
    """Run the command; return its exit status and what it printed."""
    out = io.StringIO()
    try:
        call_command("replay", *map(str, arguments), stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def damage(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture
def used_world(exchange_world: World) -> World:
    random_flow(exchange_world, seed=41, count=40)
    exchange_world.pump()
    return exchange_world


@pytest.fixture
def archive(used_world: World, tmp_path: Path) -> Path:
    """A checkpoint, archived after a replay that agreed."""
    path = tmp_path / "checkpoint.gz"
    status, text = replay("--archive", path)
    assert status == 0, text
    return path


def test_what_agrees_is_said_to(used_world: World) -> None:
    status, text = replay()
    assert status == 0
    assert "What is settled is what the engine makes of the log." in text


def test_differences_are_named_and_the_exit_status_is_1(used_world: World, tmp_path: Path) -> None:
    damage(
        "UPDATE balances_trade SET price = price + 1 WHERE id = (SELECT min(id) FROM balances_trade)"
    )
    path = tmp_path / "checkpoint.gz"
    status, text = replay("--archive", path)
    assert status == 1
    assert "trades: all 1" in text
    assert list(tmp_path.iterdir()) == [], "what differs is not archived"


def test_the_report_can_be_read_by_a_program(used_world: World) -> None:
    status, text = replay("--json")
    report = json.loads(text)
    assert (status, report["verdict"], report["archived"]) == (0, "agrees", False)
    assert sum(partition["records"] for partition in report["partitions"]) == len(
        used_world.order_events()
    )
    assert [check["name"] for check in report["checks"]] == [
        "beginning", "records", "orders", "trades", "books",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value"),
    [("KAFKA_BOOTSTRAP_SERVERS", ["127.0.0.1:1"])],
)
def test_a_log_that_is_away_is_no_pass(
    used_world: World, settings: Settings, setting: str, value: Any
) -> None:
    setattr(settings, setting, value)
    status, text = replay()
    assert status == 2
    assert "Nothing could be compared" in text


def test_an_archive_is_where_the_next_replay_begins(used_world: World, archive: Path) -> None:
    before = len(used_world.order_events())
    random_flow(used_world, seed=42, count=30)
    used_world.pump()
    status, text = replay("--from", archive, "--json")
    report = json.loads(text)
    assert status == 0
    assert (
        sum(partition["records"] for partition in report["partitions"])
        == len(used_world.order_events()) - before
    )
    assert all(check["found"] == 0 for check in report["checks"])


def test_an_archive_of_an_archive(used_world: World, archive: Path, tmp_path: Path) -> None:
    random_flow(used_world, seed=42, count=20)
    used_world.pump()
    second = tmp_path / "second.gz"
    assert replay("--from", archive, "--archive", second)[0] == 0
    assert replay("--from", second)[0] == 0


def test_an_archive_knows_what_postgres_has_forgotten(used_world: World, archive: Path) -> None:
    """Changed in Postgres consistently, before the part of the log that is read."""
    damage(
        "UPDATE orders_order o SET price = price - tick_size FROM orders_market"
        " WHERE symbol = market_id AND status = 'open' AND side = 'buy'"
    )
    status, text = replay("--from", archive)
    assert status == 1
    assert "books" in text


def test_an_archive_can_be_written_without_a_replay(used_world: World, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.gz"
    status, text = replay("--archive", path, "--no-replay")
    assert (status, "The checkpoint is in" in text) == (0, True)
    assert replay("--from", path)[0] == 0
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_but_an_archive_can_be_had_without_a_replay(used_world: World) -> None:
    assert replay("--no-replay")[0] == 2


def test_an_archive_of_another_log_is_refused(used_world: World, archive: Path) -> None:
    begin_anew(used_world)
    status, text = replay("--from", archive)
    assert status == 2
    assert "of another log" in text


def lines_of(archive: Path) -> list[Any]:
    with gzip.open(archive, "rt") as file:
        return [json.loads(line) for line in file]


def change(position: int, *path: Any, to: Any) -> Callable[[list[Any]], None]:
    def changed(lines: list[Any]) -> None:
        inner = lines[position]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to

    return changed


SPOILED: list[tuple[str, Callable[[list[Any]], Any], str]] = [
    ("of a version to come", change(0, "version", to=2), "not an archive of version 1"),
    ("of another kind", change(0, "kind", to="something"), "not an archive of version 1"),
    ("an order changed", change(2, 2, to=999), "differs"),
    ("an order off its lot", change(2, 5, to="0.001"), "not a whole archive"),
    ("another number of orders", change(-1, "orders", to=1), "orders are missing"),
    ("an order removed", lambda lines: lines.pop(2), "orders are missing"),
    ("the end removed", lambda lines: lines.pop(), "has no end"),
    ("something after the end", lambda lines: lines.append({"orders": 0}), "lines after the end"),
    ("a partition removed", lambda lines: lines.pop(1), "an order before its partition"),
]


def test_an_archive_that_does_not_add_up_is_refused(archive: Path, tmp_path: Path) -> None:
    assert isinstance(lines_of(archive)[2], list), "the first partition is meant to have orders"
    for what, spoil, reason in SPOILED:
        lines = lines_of(archive)
        spoil(lines)
        path = tmp_path / "spoiled.gz"
        with gzip.open(path, "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        status, text = replay("--from", path)
        assert (status, reason in text) == (2, True), (what, text)


def test_a_file_that_is_no_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    for content in (None, b"", b"nonsense", archive.read_bytes()[:-20]):
        if content is not None:
            path.write_bytes(content)
        status, text = replay("--from", path)
        assert (status, "is not a whole archive" in text) == (2, True), (content, text)


def test_everything_compared_is_explained_to_the_operator() -> None:
    document = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    section = document[document.index("## Replay the log") : document.index("## A halt:")]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(SENTENCES)
