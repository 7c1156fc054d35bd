"""Array literals on the real server: every text and amount comes back as it went in."""

from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.arrays import array
from exchange.money import DECIMAL_PLACES, MAX_AMOUNT

TEXTS = st.none() | st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=30)
AMOUNTS = st.none() | st.decimals(-MAX_AMOUNT, MAX_AMOUNT, places=DECIMAL_PLACES)
WHOLE = st.none() | st.integers(-(2**63), 2**63 - 1)
FLAGS = st.none() | st.booleans()


@pytest.mark.django_db
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(TEXTS, AMOUNTS, WHOLE, FLAGS), max_size=20))
def test_rows_come_back(rows: list[tuple[str, Decimal, int, bool]]) -> None:
    given_columns = [array([row[place] for row in rows]) for place in range(4)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM unnest(%s::varchar[], %s::numeric[], %s::bigint[], %s::bool[])",
            given_columns,
        )
        assert cursor.fetchall() == rows
