"""Deposits and withdrawals: who, when and why, held by the database itself."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from structlog.testing import capture_logs

from balances import services
from balances.models import LedgerEntry
from balances.services import MissingNoteError
from exchange.models import User
from tests.support import World, balance_of


@pytest.fixture
def operator(exchange_world: World) -> User:
    return User.objects.create_user("operator", is_staff=True)


def newest() -> LedgerEntry:
    found = LedgerEntry.objects.first()
    assert found is not None
    return found


def test_a_transfer_is_logged_with_everything_that_is_asked_later(operator: User) -> None:
    with capture_logs() as logs:
        services.deposit(
            user_id=1, asset="USDT", amount=Decimal("2.50"), actor_id=operator.pk, note="wire 7"
        )
        services.withdraw(user_id=1, asset="USDT", amount=Decimal(1))

    made = [log for log in logs if log["event"] == "transfer_made"]
    assert made[0] == {
        "event": "transfer_made", "log_level": "info", "kind": "deposit", "actor_id": operator.pk,
        "user_id": 1, "asset": "USDT", "amount": "2.5", "note": "wire 7",
    }  # fmt: skip
    assert (made[1]["kind"], made[1]["actor_id"], made[1]["note"]) == ("withdrawal", None, "system")


def test_a_refused_transfer_is_not_logged(exchange_world: World) -> None:
    with capture_logs() as logs, pytest.raises(services.InsufficientBalanceError):
        services.withdraw(user_id=1, asset="USDT", amount=Decimal(1001))
    assert [log for log in logs if log["event"] == "transfer_made"] == []


@pytest.mark.parametrize("note", ["", " ", "\t\n"])
@pytest.mark.parametrize("move", [services.deposit, services.withdraw])
def test_somebody_who_does_not_say_why_is_refused(operator: User, move: Any, note: str) -> None:
    with pytest.raises(MissingNoteError) as refusal:
        move(user_id=1, asset="USDT", amount=Decimal(1), actor_id=operator.pk, note=note)
    assert (refusal.value.code, refusal.value.field) == ("note_required", "note")
    assert balance_of(1, "USDT") == ("1000", "0")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("", "system"), ("system", "system"), ("seed", "seed"), ("system: fee", "system: fee"),
        ("correction", "system: correction"), ("systematic", "system: systematic"),
    ],
)  # fmt: skip
def test_what_nobody_does_is_marked_as_the_exchanges_own(
    exchange_world: World, given: str, stored: str
) -> None:
    services.deposit(user_id=1, asset="USDT", amount=Decimal(1), note=given)
    assert newest().note == stored


@pytest.mark.parametrize("kind", ["deposit", "withdrawal"])
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("note = ''", "ledger_transfer_says_why"),
        ("note = E' \\t'", "ledger_transfer_says_why"),
        ("actor_id = NULL", "ledger_transfer_says_who"),
        ("actor_id = NULL, note = 'systematic'", "ledger_transfer_says_who"),
    ],
)
def test_the_database_holds_no_transfer_without_a_reason_and_somebody(
    operator: User, kind: str, change: str, constraint: str
) -> None:
    services.deposit(user_id=1, asset="USDT", amount=Decimal(1), actor_id=operator.pk, note="why")
    with connection.cursor() as cursor, pytest.raises(IntegrityError, match=constraint):
        cursor.execute(
            f"UPDATE balances_ledgerentry SET kind = %s, {change} WHERE id = %s",
            [kind, newest().pk],
        )


@pytest.fixture
def before_the_migration(exchange_world: World) -> Iterator[None]:
    """The schema as it was; every migration is there again after the test."""
    executor = MigrationExecutor(connection)
    name = next(
        name for app, name in executor.loader.graph.nodes
        if app == "balances" and name.endswith("transfers_say_why")
    )  # fmt: skip
    parents = executor.loader.graph.nodes["balances", name].dependencies
    executor.migrate([parent for parent in parents if parent[0] == "balances"])
    yield
    call_command("migrate", "balances", verbosity=0)


def test_the_migration_completes_old_rows_and_can_be_run_again(before_the_migration: None) -> None:
    operator = User.objects.create_user("operator").pk
    old = [(None, ""), (operator, ""), (None, "by hand"), (operator, "wire"), (None, "seed")]
    with connection.cursor() as cursor:
        for actor, note in [*old, (None, "x" * 200)]:
            cursor.execute(
                "INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change,"
                " held_change, available_after, held_after, actor_id, note, created_at)"
                " VALUES (1, 'USDT', 'deposit', 0, 0, 1000, 0, %s, %s, now())",
                [actor, note],
            )
        # As an attempt leaves it that was cut off after its first steps.
        cursor.execute("CREATE INDEX ledger_transfers ON balances_ledgerentry (id)")
        cursor.execute(
            "ALTER TABLE balances_ledgerentry ADD CONSTRAINT ledger_transfer_says_why"
            " CHECK (true) NOT VALID"
        )

    call_command("migrate", "balances", verbosity=0)

    notes = list(LedgerEntry.objects.order_by("id").values_list("note", flat=True))[-6:]
    assert notes == [
        "system", "no reason was given", "system: by hand", "wire", "seed",
        "system: " + "x" * 192,
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE convalidated AND conname LIKE 'ledger_transfer_says%'"
        )
        assert {name for (name,) in cursor.fetchall()} == {
            "ledger_transfer_says_why", "ledger_transfer_says_who",
        }  # fmt: skip
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'ledger_transfers'")
        assert "WHERE" in cursor.fetchone()[0]


def test_the_ledger_page_shows_deposits_and_withdrawals_alone(
    exchange_world: World, operator: User
) -> None:
    operator.user_permissions.set(Permission.objects.filter(codename="view_ledgerentry"))
    exchange_world.place(1, "buy", 1, "1.9")
    services.withdraw(
        user_id=1, asset="USDT", amount=Decimal(1), actor_id=operator.pk, note="paid out"
    )
    browser = Client()
    browser.force_login(operator)

    def kinds(query: str) -> set[str]:
        page = browser.get(f"/admin/balances/ledgerentry/{query}")
        assert page.status_code == 200
        assert b"deposits and withdrawals" in page.content
        return {entry.kind for entry in page.context["cl"].result_list}

    assert kinds("") == {"deposit", "withdrawal", "hold"}
    assert kinds("?what=transfers") == {"deposit", "withdrawal"}
    assert kinds("?what=nonsense") == {"deposit", "withdrawal", "hold"}
