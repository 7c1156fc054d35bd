"""Every row lock on balances and checkpoints, in one place and one order.

The order is: checkpoints by partition, then balances by (user, asset). Whoever needs several
takes them through here, so no two transactions can wait for each other in a circle. A requested
transfer is locked before its balance (`balances.transfers`). The fee account's balances come after
all others: the settlement takes them when the rest is done, and nobody else takes them together
with others (decision 0022).
"""

from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from balances.cache import CachedBalance
from exchange.arrays import columns


class Delta(NamedTuple):
    """By how much a balance changes."""

    available: Decimal
    held: Decimal


BalanceKey = tuple[int, str]
"""(user id, asset symbol)."""


class CheckpointRow(NamedTuple):
    """A locked checkpoint."""

    partition: int
    epoch: int
    offset: int
    halted: bool


def lock_checkpoints(partitions: Collection[int]) -> dict[int, CheckpointRow]:
    """Lock and return the checkpoints of `partitions`; one that does not exist is left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT partition, epoch_id, "offset", halted_reason <> %s FROM balances_checkpoint'
            " WHERE partition = ANY(%s) ORDER BY partition FOR UPDATE",
            ["", sorted(partitions)],
        )
        return {row[0]: CheckpointRow(*row) for row in cursor.fetchall()}


def lock_balances(keys: Collection[BalanceKey]) -> None:
    """Lock the balances named by `keys`, making those that do not exist yet.

    The missing ones are made first, in order: made after others were locked, they would be locked
    out of it.
    """
    ordered = sorted(keys)
    named = columns(ordered)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_balance (user_id, asset_id, available, held, version)"
            " SELECT user_id, asset_id, 0, 0, 0"
            " FROM unnest(%s::bigint[], %s::varchar[]) AS k(user_id, asset_id)"
            " WHERE NOT EXISTS (SELECT 1 FROM balances_balance b"
            " WHERE b.user_id = k.user_id AND b.asset_id = k.asset_id)"
            " ORDER BY user_id, asset_id ON CONFLICT DO NOTHING",
            named,
        )
        cursor.execute(
            "SELECT count(*) FROM ("
            " SELECT 1 FROM balances_balance b"
            " JOIN unnest(%s::bigint[], %s::varchar[]) AS k(user_id, asset_id)"
            " USING (user_id, asset_id)"
            " ORDER BY b.user_id, b.asset_id FOR UPDATE OF b) AS locked",
            named,
        )
        row = cursor.fetchone()
    assert row is not None
    assert row[0] == len(ordered), "balances that were just made cannot be locked"


def lock_available(keys: Collection[BalanceKey]) -> dict[BalanceKey, Decimal]:
    """Lock those balances of `keys` that exist; return what is available in each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.user_id, b.asset_id, b.available FROM balances_balance b"
            " JOIN unnest(%s::bigint[], %s::varchar[]) AS k(user_id, asset_id)"
            " USING (user_id, asset_id)"
            " ORDER BY b.user_id, b.asset_id FOR UPDATE OF b",
            columns(sorted(keys)),
        )
        return {(row[0], row[1]): row[2] for row in cursor.fetchall()}


def add_to_balances(
    deltas: dict[BalanceKey, Delta], *, are_locked: bool = False
) -> list[CachedBalance]:
    """Add `deltas` to the balances, locked in order, and return each as it is afterwards.

    `are_locked`: the caller has locked them all. One balance alone has no order to be locked in:
    the update locks it.

    Raises:
        IntegrityError: a balance or a hold would become negative.
    """
    if len(deltas) > 1 and not are_locked:
        lock_balances(deltas)
    changed = _add(deltas)
    if not changed:  # the only one, and it does not exist yet
        lock_balances(deltas)
        changed = _add(deltas)
    assert len(changed) == len(deltas), "a locked balance was not there to be changed"
    return changed


def _add(deltas: dict[BalanceKey, Delta]) -> list[CachedBalance]:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_balance b SET available = b.available + d.available,"
            " held = b.held + d.held, version = b.version + 1"
            " FROM unnest(%s::bigint[], %s::varchar[], %s::numeric[], %s::numeric[])"
            " AS d(user_id, asset_id, available, held)"
            " WHERE b.user_id = d.user_id AND b.asset_id = d.asset_id"
            " RETURNING b.user_id, b.asset_id, b.available, b.held, b.version",
            columns((*key, *delta) for key, delta in deltas.items()),
        )
        return [CachedBalance(*row) for row in cursor.fetchall()]


def balance_and_ledger(key: BalanceKey) -> tuple[Delta, Delta]:
    """Lock a balance; return (available, held) of its row, and the same as its ledger sums up."""
    lock_balances([key])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.available, b.held, coalesce(sum(l.available_change), 0),"
            " coalesce(sum(l.held_change), 0)"
            " FROM balances_balance b LEFT JOIN balances_ledgerentry l USING (user_id, asset_id)"
            " WHERE user_id = %s AND asset_id = %s GROUP BY b.id",
            key,
        )
        row = cursor.fetchone()
    assert row is not None, "a locked balance is not there"
    return Delta(*row[:2]), Delta(*row[2:])
