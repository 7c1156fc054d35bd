"""What a check is: one SQL statement that returns the rows in which a promise is broken.

The statements are plain SQL with one parameter, so that anybody with a cursor can run them: the
command, the tests, a person with psql.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, Protocol

FIRST_ROWS = 20
"""Rows that are named of each failing check; all are counted."""

Finding = Literal["difference", "halt"]


@dataclass(frozen=True)
class Check:
    """A promise that can be looked up.

    `says`: the promise, as a sentence. `sql`: returns one row for each place where it is broken,
    none if it is kept; it may use the parameters that `parameters` returns. `looks_at`: the table
    whose rows it goes through. `finds`: a difference is a broken promise; a halt is a promise kept
    by stopping.
    """

    name: str
    says: str
    looks_at: str
    sql: str
    finds: Finding = "difference"


@dataclass(frozen=True)
class Outcome:
    """What a check has found: how many rows break the promise, and the first of them.

    `seconds`: what it took, None where it was looked up together with others. `not_checked`: why
    nothing was looked at, or "".
    """

    name: str
    finds: Finding
    looked_at: int
    seconds: float | None
    found: int
    columns: tuple[str, ...] = ()
    first: tuple[tuple[Any, ...], ...] = ()
    not_checked: str = ""


class Cursor(Protocol):
    """A DB-API cursor: Django's, or that of psycopg2."""

    @property
    def description(self) -> Any: ...

    def execute(self, sql: Any, params: Any = ...) -> Any: ...

    def fetchall(self) -> Sequence[tuple[Any, ...]]: ...


def parameters(partitions: Mapping[str, int]) -> dict[str, str]:
    """Return what the statements are given. `partitions`: that of each base asset."""
    return {"partitions": json.dumps(dict(partitions))}


def run_check(cursor: Cursor, check: Check, given: Mapping[str, str], looked_at: int) -> Outcome:
    """Ask `check` on `cursor` and return what it has found."""
    started = perf_counter()
    cursor.execute(
        f"SELECT count(*) OVER (), found.* FROM ({check.sql}) AS found"  # noqa: S608 - our own SQL
        f" ORDER BY found LIMIT {FIRST_ROWS}",
        given,
    )
    columns = tuple(column[0] for column in cursor.description[1:])
    rows = cursor.fetchall()
    return Outcome(
        name=check.name,
        finds=check.finds,
        looked_at=looked_at,
        seconds=perf_counter() - started,
        found=rows[0][0] if rows else 0,
        columns=columns,
        first=tuple(tuple(row[1:]) for row in rows),
    )
