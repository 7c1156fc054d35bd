"""Movements: every change of a balance, with its reason, in one set of statements.

A movement never stands alone: applying it changes the balance and writes the ledger entry with
the balance after it, in the caller's transaction. However many movements there are, it takes the
same few statements.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from django.db import connection

from balances.cache import CachedBalance
from balances.locks import BalanceKey, Delta, add_to_balances
from exchange.arrays import columns

ZERO = Decimal(0)


class Movement(NamedTuple):
    """One reason for a balance to change; amounts are signed and in units of `asset`."""

    user_id: int
    asset: str
    kind: str
    available: Decimal
    held: Decimal
    order_id: int | None = None
    trade_id: int | None = None
    actor_id: int | None = None
    note: str = ""
    transfer_id: int | None = None


def apply_movements(
    movements: Sequence[Movement], *, are_locked: bool = False
) -> list[CachedBalance]:
    """Change the balances and write the ledger; return each changed balance as it is afterwards.

    `are_locked`: the caller has locked these balances.

    Raises:
        IntegrityError: a balance or a hold would become negative.
    """
    deltas: dict[BalanceKey, Delta] = {}
    for movement in movements:
        key = (movement.user_id, movement.asset)
        before = deltas.get(key, Delta(ZERO, ZERO))
        deltas[key] = Delta(before.available + movement.available, before.held + movement.held)
    changed = add_to_balances(deltas, are_locked=are_locked)
    _write_entries(movements, deltas, changed)
    return changed


def _write_entries(
    movements: Sequence[Movement],
    deltas: dict[BalanceKey, Delta],
    changed: Sequence[CachedBalance],
) -> None:
    running = {
        (row.user_id, row.asset): Delta(
            row.available - deltas[row.user_id, row.asset].available,
            row.held - deltas[row.user_id, row.asset].held,
        )
        for row in changed
    }
    rows = []
    for movement in movements:
        key = (movement.user_id, movement.asset)
        before = running[key]
        after = Delta(before.available + movement.available, before.held + movement.held)
        running[key] = after
        rows.append((*movement, *after))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change,"
            " held_change, order_id, trade_id, actor_id, note, transfer_id, available_after,"
            " held_after, created_at)"
            " SELECT *, now() FROM unnest(%s::bigint[], %s::varchar[], %s::varchar[],"
            " %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[], %s::bigint[],"
            " %s::varchar[], %s::bigint[], %s::numeric[], %s::numeric[])",
            columns(rows),
        )
