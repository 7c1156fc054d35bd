"""Migrations apply on tables that are full of what the version before has written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
from django.core.management import call_command

from exchange.embedded.server import Server

PROJECT = Path(__file__).resolve().parents[2]
SCRATCH = "migrated"
FIRST_VERSION = ("balances", "0002")
"""Where the first version stood; it brings the other apps to where they were."""

FIRST_CONTENT = """
INSERT INTO exchange_user (id, password, is_superuser, username, first_name, last_name, email,
    is_staff, is_active, date_joined)
  VALUES (1, '', false, 'user1', '', '', '', false, true, now());
INSERT INTO orders_asset (symbol, name, decimals) VALUES ('ADA', '', 6), ('USDT', '', 6);
INSERT INTO orders_market (symbol, base_id, quote_id, tick_size, lot_size, state, state_reason)
  VALUES ('ADA-USDT', 'ADA', 'USDT', 0.0001, 0.01, 'open', '');
INSERT INTO balances_logepoch (number, order_topic_id, trade_topic_id, reason, started_at) VALUES
  (1, 'a', 'b', 'the first log', '2026-01-01'),
  (2, 'c', 'd', 'order-events was made anew', '2026-02-01'),
  (3, 'c', 'd', 'results of partition 1 after 7 missing', '2026-03-01');
INSERT INTO orders_order (id, user_id, market_id, side, order_type, time_in_force, price, quantity,
    filled_quantity, filled_quote, status, reason, request_id, epoch, "offset", created_at,
    finished_at) VALUES
  (1, 1, 'ADA-USDT', 'buy', 'limit', 'gtc', 1, 1, 1, 1, 'filled', '', '', 1, 0, '2026-01-02', '2026-01-03'),
  (2, 1, 'ADA-USDT', 'buy', 'limit', 'gtc', 1, 1, 0, 0, 'canceled', '', '', 1, 1, '2026-01-02', '2026-02-03'),
  (3, 1, 'ADA-USDT', 'buy', 'limit', 'gtc', 1, 1, 0, 0, 'open', '', '', 3, 9, '2026-03-02', NULL),
  (4, 1, 'ADA-USDT', 'buy', 'limit', 'gtc', 1, 1, 0, 0, 'pending', '', '', NULL, NULL, '2026-03-02', NULL);
INSERT INTO balances_trade (market_id, trade_id, price, quantity, taker_side, buy_order_id,
    sell_order_id, buyer_id, seller_id, executed_at)
  VALUES ('ADA-USDT', 1, 1, 1, 'buy', 1, 2, 1, 1, '2026-01-02');
INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change, held_change,
    available_after, held_after, note, actor_id, created_at) VALUES
  (1, 'USDT', 'deposit', 5, 0, 5, 0, '', NULL, now()),
  (1, 'USDT', 'deposit', 5, 0, 10, 0, 'a gift', NULL, now()),
  (1, 'USDT', 'withdrawal', -1, 0, 9, 0, '', 1, now());
"""
FIRST_KEYS = """
INSERT INTO exchange_apikey (owner_id, name, public_id, sealed_secret, may_read, may_trade,
    may_act_for_users, allowed_networks, created_at, revoked_at) VALUES
  (1, 'bot', 'ek_000000000000000000000001', 'sealed', true, true, false, '{}', '2026-03-01', NULL),
  (1, 'old', 'ek_000000000000000000000002', 'sealed', true, true, false, '{}', '2026-03-01', '2026-03-02');
"""


@pytest.fixture
def scratch(servers: dict[str, Server]) -> Iterator[str]:
    """The address of an empty database on the tests' Postgres."""
    address = os.environ["DATABASE_URL"]
    _run_alone(address, f"DROP DATABASE IF EXISTS {SCRATCH}", f"CREATE DATABASE {SCRATCH}")
    yield urlsplit(address)._replace(path=f"/{SCRATCH}").geturl()
    _run_alone(address, f"DROP DATABASE {SCRATCH}")


def _run_alone(address: str, *statements: str) -> None:
    """Run statements that no transaction may hold."""
    connection = psycopg2.connect(address)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def migrate(address: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "migrate", "--verbosity", "0", *arguments],
        cwd=PROJECT, env=os.environ | {"DATABASE_URL": address}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def ask(address: str, sql: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(address)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_the_first_version_is_upgraded_with_all_that_it_has_written(scratch: str) -> None:
    migrate(scratch, *FIRST_VERSION)
    ask(scratch, FIRST_CONTENT)

    migrate(scratch, "exchange", "0002")
    ask(scratch, FIRST_KEYS)

    migrate(scratch)

    assert ask(scratch, "SELECT id, finished_epoch FROM orders_order ORDER BY id") == [
        (1, 1), (2, 2), (3, None), (4, None),
    ]  # fmt: skip
    assert ask(scratch, "SELECT number, is_new_log FROM balances_logepoch ORDER BY number") == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    notes = "SELECT actor_id, note FROM balances_ledgerentry ORDER BY id"
    assert ask(scratch, notes) == [
        (None, "system"), (None, "system: a gift"), (1, "no reason was given"),
    ]  # fmt: skip
    keys = "SELECT sealed_secret FROM exchange_apikey ORDER BY id"
    assert ask(scratch, keys) == [("sealed",), ("",)]
    migrate(scratch, "exchange", "0002")  # and back, and forward again
    migrate(scratch)
    assert ask(scratch, keys) == [("sealed",), ("",)]
    migrate(scratch, "balances", "0004")
    migrate(scratch)
    assert ask(scratch, notes)[0] == (None, "system")
    rates = "SELECT DISTINCT maker_fee_rate, taker_fee_rate FROM orders_order"
    assert ask(scratch, rates) == [(0, 0)]
    assert ask(scratch, "SELECT buyer_fee, seller_fee FROM balances_trade") == [(0, 0)]
    account = "SELECT is_active, is_staff, is_superuser FROM exchange_user WHERE id = 0"
    assert ask(scratch, account) == [(False, False, False)]
    rules = "SELECT DISTINCT post_only, self_trade_prevention, prevented_quantity FROM orders_order"
    assert ask(scratch, rules) == [(False, "none", 0)]
    migrate(scratch, "balances", "0006")
    places = "SELECT DISTINCT queue_epoch, queue_offset, queue_rank FROM orders_order"
    assert ask(scratch, places) == [(None, None, None)]
    migrate(scratch, "orders", "0003")  # and back, and forward again
    migrate(scratch)
    assert ask(scratch, rules) == [(False, "none", 0)]
    unchecked = "SELECT conname FROM pg_constraint WHERE NOT convalidated"
    assert ask(scratch, unchecked) == []


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["0012", "0013", "0014", "0015", "0016", "0017", "0018"])
def test_no_column_comes_with_a_check_that_looks_at_every_row_under_the_lock(name: str) -> None:
    """Postgres holds a check that is written beside a new column against every row at once."""
    written = StringIO()
    call_command("sqlmigrate", "orders", name, stdout=written)
    added = [line for line in written.getvalue().splitlines() if "ADD COLUMN" in line]
    assert not [line for line in added if "CHECK" in line.partition("ADD COLUMN")[2]]
