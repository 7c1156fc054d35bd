"""`manage.py audit` as an operator runs it: what it prints, how it ends, beside a running exchange."""

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections
from django_redis import get_redis_connection
from pytest_django import Settings

from balances.audit import CHECKS, Check, runner
from balances.audit.cached import NAME as CACHE
from balances.models import Balance, Checkpoint
from balances.selectors import get_balances
from exchange.models import User
from orders import outbox
from orders.models import Order
from tests.integration.pipeline.test_concurrency import in_thread, trade_at_random
from tests.integration.pipeline.test_recovery import random_flow
from tests.support import World, trust_cache


def audit(*arguments: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it printed."""
    out = io.StringIO()
    try:
        call_command("audit", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()


def audit_json(*arguments: str) -> tuple[int, dict[str, Any]]:
    status, text = audit("--json", *arguments)
    report, _ = json.JSONDecoder().raw_decode(text)
    return status, report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def used_world(exchange_world: World) -> World:
    """An exchange with trades, resting orders, and all balances in the cache."""
    random_flow(exchange_world, seed=7, count=40)
    exchange_world.pump()
    trust_cache()
    for user_id in (1, 2):
        get_balances(user_id=user_id)
    return exchange_world


def take_a_coin() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_balance SET available = available - 1, version = version + 1"
            " WHERE user_id = 2 AND asset_id = 'ADA'"
        )


def test_good_books_pass_with_a_line_for_each_check(used_world: World) -> None:
    status, text = audit()
    assert status == 0
    for name in (*CHECKS, CACHE):
        assert name in text
    assert "The books balance, to the last digit." in text


def test_differences_are_named_and_the_exit_status_is_1(used_world: World) -> None:
    take_a_coin()
    status, text = audit()
    assert status == 1
    assert "The books do not balance: conservation, ledger_sums, ledger_end, cache." in text
    available = Balance.objects.get(user_id=2, asset_id="ADA").available
    assert f"{available.normalize():f}" in text


def test_the_report_can_be_read_by_a_program(used_world: World) -> None:
    take_a_coin()
    status, report = audit_json()
    assert status == 1
    assert report["verdict"] == "differs"
    checks = {check["name"]: check for check in report["checks"]}
    assert list(checks) == [*CHECKS, CACHE]
    assert checks["ledger_sums"]["found"] == 1
    assert checks["ledger_sums"]["first"][0]["asset"] == "ADA"
    assert checks["holds"] == checks["holds"] | {"found": 0, "first": [], "not_checked": ""}
    assert checks["order_fills"]["rows"] == Order.objects.count()


def test_only_the_first_rows_are_named_and_all_are_counted(used_world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET finished_at = CASE WHEN finished_at IS NULL THEN now() END,"
            " finished_epoch = CASE WHEN finished_at IS NULL THEN epoch END"
        )
    count = Order.objects.count()
    assert count > 20, "the flow is meant to have more orders"
    status, report = audit_json("--check", "order_finish")
    (check,) = report["checks"]
    assert (status, check["found"], len(check["first"])) == (1, count, 20)
    assert f"the first 20 of {count}" in audit("--check", "order_finish")[1]


def test_fail_fast_begins_nothing_after_the_first_differences(used_world: World) -> None:
    take_a_coin()
    status, report = audit_json("--fail-fast", "--workers", "1")
    assert status == 1
    assert [check["name"] for check in report["checks"]] == ["conservation"]


def test_single_checks_can_be_asked_for(used_world: World) -> None:
    take_a_coin()
    assert audit("--check", "holds")[0] == 0
    _, report = audit_json("--check", "cache", "--check", "holds")
    assert [check["name"] for check in report["checks"]] == ["holds", "cache"]


def test_the_checks_can_be_listed(used_world: World) -> None:
    status, text = audit("--list")
    assert status == 0
    assert all(name in text for name in (*CHECKS, CACHE))


def test_a_check_that_does_not_exist_is_refused(used_world: World) -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("audit", "--check", "everything")


def test_redis_away_is_no_pass(used_world: World, settings: Settings) -> None:
    address = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/1"}
    settings.CACHES = {"default": address}
    status, text = audit()
    assert status == 2
    assert "cache: not checked" in text
    assert audit("--no-cache")[0] == 0


def test_differences_weigh_more_than_a_cache_that_is_away(
    used_world: World, settings: Settings
) -> None:
    take_a_coin()
    address = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/1"}
    settings.CACHES = {"default": address}
    assert audit()[0] == 1


def test_a_wrong_value_in_the_cache_alone_is_a_difference(used_world: World) -> None:
    get_redis_connection("default").hset("balance:1", "a:SOL", "1:5:0")
    status, report = audit_json()
    assert status == 1
    assert [check["name"] for check in report["checks"] if check["found"]] == [CACHE]


def test_postgres_that_ends_a_query_is_no_pass(
    used_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = Check("holds", "", "orders_order", "SELECT pg_sleep(60)::text")
    monkeypatch.setitem(CHECKS, "holds", endless)
    monkeypatch.setattr(runner, "STATEMENT_TIMEOUT_SECONDS", "0.2")
    status, text = audit("--check", "holds")
    assert status == 2
    assert "statement timeout" in text


def test_a_halt_is_told_apart_from_differences(used_world: World) -> None:
    Checkpoint.objects.filter(partition=1).update(halted_reason="a test")
    status, text = audit()
    assert status == 3
    assert "settlement has stopped: halted_partitions" in text
    assert "a test" in text
    assert audit_json()[1]["verdict"] == "halted"


def test_the_audit_only_reads(used_world: World) -> None:
    """What a check may do is bounded by its transaction, not by good will."""
    writes = Check("x", "", "orders_order", "SELECT nextval('orders_order_id_seq')")
    with pytest.raises(DatabaseError, match="read-only transaction"):
        runner.run_checks([writes])


def test_books_balance_at_every_moment_of_a_running_exchange(exchange_world: World) -> None:
    world = exchange_world
    world.restart_matching()
    users = [User.objects.create(username=f"t{number}").pk for number in range(4)]
    random_flow(world, seed=9, count=1)
    done = threading.Event()
    trust_cache()

    def settle_all_along() -> tuple[int, int]:
        while not done.is_set():
            world.pump()
        return 0, 0

    def trade_all_along(seed: int) -> tuple[int, int]:
        accepted = 0
        while not done.is_set():
            accepted += trade_at_random(seed := seed + 1, [1, 2, *users])[0]
        return accepted, 0

    with ThreadPoolExecutor(3) as pool:
        settling = pool.submit(in_thread, settle_all_along)
        placing = [
            pool.submit(in_thread, lambda s=seed: trade_all_along(s))  # type: ignore[misc]
            for seed in (100, 200)
        ]
        statuses = []
        for _ in range(6):
            for user_id in (1, 2):
                get_balances(user_id=user_id)  # readers fill the cache all the time
            statuses.append(audit("--json")[0])
        done.set()
        accepted = sum(future.result(60)[0] for future in placing)
        settling.result(60)
    outbox.flush()
    world.pump()
    connections.close_all()

    assert accepted > 20
    assert statuses == [0] * 6
    assert audit("--json")[0] == 0


def test_every_check_is_explained_to_the_operator() -> None:
    document = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    section = document[document.index("## Prove the books") : document.index("## Reset")]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {*CHECKS, CACHE}


def test_no_value_is_cut_off_on_a_narrow_terminal(
    used_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_trade SET buyer_id = 3 - buyer_id")
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    with pytest.raises(CommandError):
        call_command("audit", "--check", "trade_parties", stdout=terminal)
    assert "trade_parties" in terminal.getvalue()
    assert "…" not in terminal.getvalue()
