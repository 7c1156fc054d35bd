"""The database backend keeps no statements that nobody asked for."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings

pytestmark = pytest.mark.django_db


def test_no_statement_is_kept_in_debug_mode() -> None:
    connection.queries_log.clear()
    with override_settings(DEBUG=True), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert list(connection.queries_log) == []


def test_who_counts_statements_sees_them() -> None:
    with CaptureQueriesContext(connection) as seen, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert [query["sql"] for query in seen] == ["SELECT 1"]
