"""Columns of rows as array literals of Postgres, for statements with `unnest`.

psycopg2 writes a list as `ARRAY[…]`, which the server parses element by element as an expression:
three to four times as slow as one literal, and four to six times the work for the client
(docs/performance.md). A literal is one string, and the cast in the statement says its type.
"""

from collections.abc import Iterable
from decimal import Decimal

Element = int | bool | Decimal | str | None
"""What an array may hold here; a boolean is written as Postgres reads it, an amount exactly."""


def array(values: Iterable[Element]) -> str:
    """Return `values` as an array literal: "{1,2,NULL}", to be cast in the statement.

    Raises:
        TypeError: a value is of another type; a float, above all.
    """
    return "{" + ",".join([_written(value) for value in values]) + "}"


def columns(rows: Iterable[Iterable[Element]]) -> list[str]:
    """Return the columns of `rows` (at least one, all of one length) as array literals."""
    return [array(column) for column in zip(*rows, strict=True)]


def _written(value: Element) -> str:
    kind = type(value)
    if kind is int or kind is Decimal:
        return str(value)
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if '"' in value or "\\" in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if isinstance(value, bool | int | Decimal):
        return str(value)
    raise TypeError(f"{value!r} is no element of an array")
