"""Every kind of damage to Postgres is found, by the checks that are to find it and by no other."""

import pytest

from balances.audit import CHECKS
from tests.integration.audit.amendment_damages import AMENDMENT_DAMAGES
from tests.integration.audit.candle_damages import CANDLE_DAMAGES
from tests.integration.audit.damage import Books
from tests.integration.audit.fee_damages import FEE_DAMAGES
from tests.integration.audit.iceberg_damages import ICEBERG_DAMAGES
from tests.integration.audit.money_damages import MONEY_DAMAGES
from tests.integration.audit.order_damages import ORDER_DAMAGES
from tests.integration.audit.stop_damages import STOP_DAMAGES
from tests.integration.audit.transfer_damages import TRANSFER_DAMAGES
from tests.integration.audit.words import Damage

DAMAGES = [
    *MONEY_DAMAGES, *ORDER_DAMAGES, *TRANSFER_DAMAGES, *CANDLE_DAMAGES, *FEE_DAMAGES, *STOP_DAMAGES,
    *ICEBERG_DAMAGES, *AMENDMENT_DAMAGES,
]  # fmt: skip


def test_books_that_nobody_has_touched_are_in_order(damaged: Books) -> None:
    assert damaged.audit() == {}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.does)
def test_damage_is_found_by_its_checks_and_no_other(damaged: Books, damage: Damage) -> None:
    damaged.damage(*damage.sql)
    found = damaged.audit()

    assert set(found) == set(damage.found_by)
    for name, row in damage.found_by.items():
        assert row in [first[: len(row)] for first in found[name].first]


def test_every_check_is_seen_to_find_something() -> None:
    assert {name for damage in DAMAGES for name in damage.found_by} == set(CHECKS)
