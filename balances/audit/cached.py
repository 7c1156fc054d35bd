"""The Redis cache against Postgres, value by value, while both go on changing.

Only what a reader would believe counts: a complete entry, nothing emptied in it, no mark. The
promise is that such an entry is never older than what Postgres had committed *before* it was
read, and that a value is the one Postgres has for its version. So Postgres is read first, then
the cache; and what looks wrong is read twice more before it is called a difference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from time import perf_counter
from typing import NamedTuple

from balances import trust
from balances.audit.check import FIRST_ROWS, Outcome
from balances.cache import CacheUnreachableError, inspection
from balances.cache.inspection import Fields
from balances.models import Balance

NAME = "cache"
SAYS = "Every balance that the cache would answer with is the one in Postgres."
LOOKS = 3
"""So often in a row something must look wrong to be a difference."""
COLUMNS = ("user_id", "asset", "in_cache", "in_postgres")


class Stored(NamedTuple):
    """A balance as Postgres has it."""

    version: int
    available: Decimal
    held: Decimal


class Difference(NamedTuple):
    """A value that a reader would get from the cache, and what Postgres says."""

    user_id: int
    asset: str
    in_cache: str
    in_postgres: str


@dataclass
class _Found:
    looked_at: int = 0
    differences: int = 0
    first: tuple[Difference, ...] = ()

    def add(self, found: Sequence[Difference]) -> None:
        self.differences += len(found)
        self.first = (*self.first, *found)[:FIRST_ROWS]


def compare_cache(progress: Callable[[int, int], None] = lambda _, __: None) -> Outcome:
    """Compare every entry of the cache. `progress` is told (entries done, about how many)."""
    started = perf_counter()
    found, reason = _Found(), ""
    try:
        if trust.is_trusted():
            _compare_all(found, progress)
        else:
            reason = "Postgres says that the cache is not to be believed; nobody reads it now"
    except CacheUnreachableError as error:
        reason = f"Redis does not answer: {error}"
    return Outcome(
        name=NAME,
        finds="difference",
        looked_at=found.looked_at,
        seconds=perf_counter() - started,
        found=found.differences,
        columns=COLUMNS,
        first=found.first,
        not_checked=reason,
    )


def _compare_all(found: _Found, progress: Callable[[int, int], None]) -> None:
    total = inspection.count_keys()
    done: set[int] = set()  # SCAN may return an entry twice
    for page in inspection.scan_users():
        users = [user for user in page if user not in done]
        found.add(_differences_of(users))
        done.update(users)
        found.looked_at = len(done)
        progress(found.looked_at, max(total, found.looked_at))


def _differences_of(users: Sequence[int]) -> list[Difference]:
    """Return what is wrong with the entries of `users` each time they are looked at."""
    wrong: list[Difference] = []
    for _ in range(LOOKS):
        before = _stored(users)
        entries = inspection.raw_entries(users)
        after = _stored(users)
        wrong = [
            difference
            for user, fields in entries.items()
            if _is_believed(fields)
            for difference in _compare(user, fields, before.get(user, {}), after.get(user, {}))
        ]
        if not wrong:
            break
        users = sorted({difference.user_id for difference in wrong})
    return wrong


def _stored(users: Sequence[int]) -> dict[int, dict[str, Stored]]:
    """Return what Postgres has committed by now."""
    rows = Balance.objects.filter(user_id__in=users)
    found: dict[int, dict[str, Stored]] = {}
    for user, asset, version, available, held in rows.values_list(
        "user_id", "asset_id", "version", "available", "held"
    ):
        found.setdefault(user, {})[asset] = Stored(version, available, held)
    return found


def _is_believed(fields: Fields) -> bool:
    """Whether a reader would take this entry for an answer (see `balances.cache.scripts`).

    A mark that has expired counts like one that lives: the next reader forgets the entry.
    """
    return b"*" in fields and not any(
        name.startswith(b"w:") or (name.startswith(b"a:") and value.startswith(b"~"))
        for name, value in fields.items()
    )


def _compare(
    user: int, fields: Fields, before: dict[str, Stored], after: dict[str, Stored]
) -> Iterator[Difference]:
    """Compare an entry with what Postgres had committed before and after it was read."""
    values = {
        name.decode(errors="replace").removeprefix("a:"): value.decode(errors="replace")
        for name, value in fields.items()
        if name.startswith(b"a:")
    }
    for asset in sorted(values.keys() | before.keys()):
        text = values.get(asset)
        if not _is_true(text, before.get(asset), after.get(asset)):
            yield Difference(user, asset, text or "nothing", _written(after.get(asset)))


def _is_true(text: str | None, before: Stored | None, after: Stored | None) -> bool:
    """Whether the cache may say `text` of a balance that was `before` and is `after`."""
    cached = None if text is None else _parse(text)
    if cached is None or after is None:
        return False
    if cached in (before, after):
        return True
    # Committed after `before` was read, and changed again since: nothing to compare with, but it
    # cannot be older than `before`, nor newer than `after`.
    oldest = 0 if before is None else before.version
    return oldest < cached.version < after.version


def _parse(text: str) -> Stored | None:
    """Return the value as read by `balances.cache`, or None if it cannot be one."""
    try:
        version, available, held = text.split(":")
        return Stored(int(version), Decimal(available), Decimal(held))
    except (ValueError, InvalidOperation):
        return None


def _written(row: Stored | None) -> str:
    if row is None:
        return "no such balance"
    return f"{row.version}:{row.available:f}:{row.held:f}"
