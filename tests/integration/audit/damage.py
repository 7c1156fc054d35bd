"""One exchange with a history, for all tests of a module; each damages it and takes it back.

Used by the tests of the audit and of the replay.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import override_settings
from pytest_django import DjangoDbBlocker

from balances import services, transfers
from balances.audit import CHECKS, Outcome, parameters, run_check
from balances.audit.runner import partitions_of_assets
from exchange.kafka import Log
from exchange.models import User
from orders.models import Market
from tests.integration.pipeline.test_recovery import begin_anew, random_flow
from tests.support import World

MARKET_WITH_FEES = "BTC-USDT"


@pytest.fixture(scope="module")
def books(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """Orders in every state on three markets, over two logs; 1 and 2 are the users.

    On one of the markets there are fees.
    """
    with django_db_blocker.unblock(), override_settings(KAFKA_TOPIC_PREFIX="audit-"), Log() as log:
        log.recreate_topics()
        world = World()
        world.seed()
        Market.objects.filter(pk=MARKET_WITH_FEES).update(
            maker_fee_rate="0.001", taker_fee_rate="0.0025"
        )
        random_flow(world, seed=3, count=60)
        world.pump()
        place_stops(world)
        begin_anew(world)
        random_flow(world, seed=4, count=60)
        prevent_a_self_trade(world)
        place_icebergs(world)
        world.pump()
        amend_orders(world)
        ask_for_transfers()
        random_flow(world, seed=5, count=5)  # pending: on the log, and not matched yet
        yield world
        world.close()
        log.delete_topics()
        call_command("flush", interactive=False)


def prevent_a_self_trade(world: World) -> None:
    """Two orders of user 1 reduce each other: the taker has nothing left, the maker lives on."""
    services.deposit(user_id=1, asset="ETH", amount=Decimal(10))
    world.place(1, "sell", 5, 20, market="ETH-USDT")
    world.place(1, "buy", 2, 20, market="ETH-USDT", self_trade_prevention="decrement_and_cancel")


def place_icebergs(world: World) -> None:
    """Two icebergs of user 2 at one price; one order takes the first part of each."""
    services.deposit(user_id=2, asset="ETH", amount=Decimal(20))
    world.place(2, "sell", 9, 13, market="ETH-USDT", visible_quantity=4)
    world.place(2, "sell", 6, 13, market="ETH-USDT", visible_quantity=2)
    world.place(1, "buy", 3, 13, market="ETH-USDT")


def amend_orders(world: World) -> None:
    """Two orders of user 1: amended twice, the second time to trade; and with an amendment that waits.

    A third amendment is refused: its order has traded first.
    """
    services.deposit(user_id=1, asset="USDT", amount=Decimal(1_000))
    services.deposit(user_id=2, asset="SOL", amount=Decimal(10))
    amended = world.place(1, "buy", 5, 10, market="SOL-USDT")
    world.place(2, "sell", 2, 12, market="SOL-USDT")
    world.pump()
    world.amend(amended, price=11, quantity=6)
    world.pump()
    world.amend(amended, price=12)
    world.pump()
    refused = world.place(1, "buy", 2, 13, market="SOL-USDT")
    world.pump()
    world.place(2, "sell", 2, 13, market="SOL-USDT")
    world.amend(refused, quantity=3)
    world.pump()
    waits = world.place(1, "buy", 5, 9, market="SOL-USDT")
    world.pump()
    world.amend(waits, quantity=8)  # on the log, and not matched yet


def place_stops(world: World) -> None:
    """Stop orders of user 1: one has come to the book, one is elected, two wait."""
    for user_id in (1, 2):
        services.deposit(user_id=user_id, asset="ETH", amount=Decimal(10))
    for number, stop_price in enumerate(("11", "13", "14", "15")):
        world.place(1, "buy", 1, 9 - number, market="ETH-USDT", stop_price=stop_price)
    for price in ("11", "13"):
        world.pump()
        world.place(2, "sell", 1, price, market="ETH-USDT")
        world.place(1, "buy", 1, price, market="ETH-USDT")
    world.pump()


def ask_for_transfers() -> None:
    """Make a deposit and a withdrawal of user 1 in every state."""
    staff = User.objects.create_user("treasurer", is_staff=True).pk
    for kind in ("deposit", "withdrawal"):
        for decide in (None, transfers.approve_transfer, transfers.reject_transfer):
            asked = transfers.request_transfer(
                user_id=1, kind=kind, asset="USDT", amount=Decimal(3), actor_id=1,
                external_reference=f"{kind}-{decide.__name__ if decide else 'waits'}",
            )  # fmt: skip
            if decide is not None:
                decide(transfer_id=asked.transfer.pk, actor_id=staff, note="seen")


class Books:
    """The books in a transaction of the test's own, to be damaged at will."""

    def damage(self, *statements: str) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def value(self, query: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(query)
            ((value,),) = cursor.fetchall()
        return value

    def audit(self) -> dict[str, Outcome]:
        """Run every check; return those that have found something."""
        given = parameters(partitions_of_assets())
        with connection.cursor() as cursor:
            outcomes = [run_check(cursor, check, given, 0) for check in CHECKS.values()]
        return {outcome.name: outcome for outcome in outcomes if outcome.found}


@pytest.fixture
def damaged(books: World, db: None) -> Iterator[Books]:
    """The books without what protects them: no constraint, no foreign key. Rolled back at the end."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign keys
            cursor.execute(_CONSTRAINTS)
            for table, name in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE")
        yield Books()
        transaction.set_rollback(True)


_CONSTRAINTS = """
SELECT conrelid::regclass::text, conname FROM pg_constraint
WHERE contype IN ('c', 'u') AND conrelid::regclass::text ~ '^(orders|balances)_'
"""
