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
from balances.locks import BalanceKey, Delta, add_to_balances, lock_balances
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
    if len(movements) == 1:
        return [_apply_one(movements[0])]
    deltas: dict[BalanceKey, Delta] = {}
    for movement in movements:
        key = (movement.user_id, movement.asset)
        before = deltas.get(key, Delta(ZERO, ZERO))
        deltas[key] = Delta(before.available + movement.available, before.held + movement.held)
    changed = add_to_balances(deltas, are_locked=are_locked)
    _write_entries(movements, deltas, changed)
    return changed


def _apply_one(movement: Movement) -> CachedBalance:
    """Do the same for one movement in one statement: the hold of an order has no time for two.

    One balance alone has no order to be locked in: the update locks it.
    """
    changed = _change_and_note(movement)
    if changed is None:  # there is no such balance yet
        lock_balances([(movement.user_id, movement.asset)])
        changed = _change_and_note(movement)
    assert changed is not None, "a locked balance was not there to be changed"
    return changed


def _change_and_note(movement: Movement) -> CachedBalance | None:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE_AND_NOTE, movement._asdict())
        row = cursor.fetchone()
    return None if row is None else CachedBalance(*row)


_CHANGE_AND_NOTE = """
WITH changed AS (
  UPDATE balances_balance SET available = available + %(available)s, held = held + %(held)s,
    version = version + 1
  WHERE user_id = %(user_id)s AND asset_id = %(asset)s
  RETURNING user_id, asset_id, available, held, version
), noted AS (
  INSERT INTO balances_ledgerentry (user_id, asset_id, kind, available_change, held_change,
      order_id, trade_id, actor_id, note, transfer_id, available_after, held_after, created_at)
    SELECT user_id, asset_id, %(kind)s, %(available)s, %(held)s, %(order_id)s, %(trade_id)s,
      %(actor_id)s, %(note)s, %(transfer_id)s, available, held, now() FROM changed
)
SELECT * FROM changed
"""


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
