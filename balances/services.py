"""Writes to balances: deposits, withdrawals, holds.

Settlement is in `balances.settle`, what is only asked for in `balances.transfers`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import structlog
from django.contrib.auth import get_user_model
from django.db import IntegrityError

from balances.cache import CachedBalance
from balances.changes import change_balances
from balances.ledger import ZERO, Movement, apply_movements
from balances.locks import Delta, add_to_balances, balance_and_ledger, lock_available
from balances.models import SEED_NOTE, SYSTEM_NOTE
from exchange.api.errors import ClientError
from exchange.money import MAX_AMOUNT, format_amount
from orders.models import Asset

logger = structlog.get_logger(__name__)


class InsufficientBalanceError(ClientError):
    code = "insufficient_balance"


class UnknownUserError(ClientError):
    code = "unknown_user"
    field = "user_id"


class UnknownAssetError(ClientError):
    code = "unknown_asset"
    field = "asset"


class InvalidAmountError(ClientError):
    code = "invalid_amount"
    field = "amount"


class MissingNoteError(ClientError):
    code = "note_required"
    field = "note"


class OwnAccountError(ClientError):
    code = "own_account"
    field = "user_id"


def deposit(
    *, user_id: int, asset: str, amount: Decimal, actor_id: int | None = None, note: str = ""
) -> None:
    """Credit `amount` of `asset` to a user's available balance, with a ledger entry.

    `note` says why. Without an actor it is the exchange itself that does it, and the note says so.

    Raises:
        MissingNoteError: somebody does it, and does not say why.
        OwnAccountError: it is the actor's own balance.
        UnknownUserError, UnknownAssetError: there is no such user or asset.
        InvalidAmountError: not positive, or more precise than the asset.
    """
    _transfer("deposit", user_id, asset, amount, actor_id, note)


def withdraw(
    *, user_id: int, asset: str, amount: Decimal, actor_id: int | None = None, note: str = ""
) -> None:
    """Debit `amount` of `asset` from a user's available balance, with a ledger entry.

    `note` and actor: as for a deposit.

    Raises:
        MissingNoteError: somebody does it, and does not say why.
        OwnAccountError: it is the actor's own balance.
        UnknownUserError, UnknownAssetError: there is no such user or asset.
        InvalidAmountError: not positive, or more precise than the asset.
        InsufficientBalanceError: less than `amount` is available.
    """
    _transfer("withdrawal", user_id, asset, amount, actor_id, note)


def hold(*, user_id: int, asset: str, amount: Decimal, order_id: int) -> list[CachedBalance]:
    """Move `amount` from available to held, inside the caller's transaction.

    Returns the changed balances for `change_balances`.

    Raises:
        UnknownUserError: there is no such user.
        InsufficientBalanceError: less than `amount` is available.
    """
    movement = Movement(user_id, asset, "hold", -amount, amount, order_id)
    return apply_or_refuse(movement, amount)


class Hold(NamedTuple):
    """What an order needs: `amount` of `asset`."""

    user_id: int
    asset: str
    amount: Decimal
    order_id: int


def hold_in_turn(holds: Sequence[Hold]) -> tuple[dict[int, ClientError], list[CachedBalance]]:
    """Hold for one order after the other as far as it is there, inside the caller's transaction.

    The same few statements however many there are. Returns why an order was refused, by its
    number, and the changed balances for `change_balances`.
    """
    if not holds:
        return {}, []
    left = lock_available({(hold.user_id, hold.asset) for hold in holds})
    strangers = _unknown_users(
        {hold.user_id for hold in holds if (hold.user_id, hold.asset) not in left}
    )
    refused: dict[int, ClientError] = {}
    movements = []
    for hold in holds:
        key = (hold.user_id, hold.asset)
        rest = left.get(key, ZERO) - hold.amount
        if rest >= 0:
            left[key] = rest
            movements.append(
                Movement(hold.user_id, hold.asset, "hold", -hold.amount, hold.amount, hold.order_id)
            )
        elif hold.user_id in strangers:
            refused[hold.order_id] = UnknownUserError(f"There is no user {hold.user_id}.")
        else:
            refused[hold.order_id] = _insufficient(hold.asset, hold.amount)
    return refused, apply_movements(movements, are_locked=True) if movements else []


def restore_from_ledger(*, user_id: int, asset: str, note: str) -> tuple[Delta, Delta]:
    """Set a balance to what its ledger says, after something else than the exchange has changed it.

    The ledger is the reason of every balance and gets no entry for this; the log does. Returns
    the balance as it was, and as it is.

    Raises:
        UnknownUserError, UnknownAssetError: there is no such user or asset.
    """
    _require_asset(asset)
    require_user(user_id)

    def work() -> tuple[tuple[Delta, Delta], list[CachedBalance]]:
        before, after = balance_and_ledger((user_id, asset))
        off = Delta(after.available - before.available, after.held - before.held)
        changed = add_to_balances({(user_id, asset): off}) if any(off) else []
        return (before, after), changed

    before, after = change_balances(work)
    logger.critical(
        "balance_restored", user_id=user_id, asset=asset, note=note,
        before=[format_amount(amount) for amount in before],
        after=[format_amount(amount) for amount in after],
    )  # fmt: skip
    return before, after


def _transfer(
    kind: str, user_id: int, asset: str, amount: Decimal, actor_id: int | None, note: str
) -> None:
    if actor_id == user_id:
        raise OwnAccountError("It is your own account: somebody else has to do it.")
    require_amount(asset, amount)
    require_user(user_id)
    reason = _reason(actor_id, note)
    signed = amount if kind == "deposit" else -amount
    movement = Movement(user_id, asset, kind, signed, ZERO, None, None, actor_id, reason)
    change_balances(lambda: (None, apply_or_refuse(movement, amount)))
    logger.info(
        "transfer_made",
        kind=kind,
        actor_id=actor_id,
        user_id=user_id,
        asset=asset,
        amount=format_amount(amount),
        note=reason,
    )


def require_amount(asset: str, amount: Decimal) -> None:
    """Refuse what cannot be deposited or withdrawn.

    Raises:
        UnknownAssetError: there is no such asset.
        InvalidAmountError: not positive, or more precise than the asset.
    """
    known = _require_asset(asset)
    if not ZERO < amount <= MAX_AMOUNT:
        raise InvalidAmountError("The amount must be greater than zero, and not beyond reason.")
    if amount % (Decimal(10) ** -known.decimals):
        raise InvalidAmountError(f"{asset} has {known.decimals} decimals: use no more digits.")


def _reason(actor_id: int | None, note: str) -> str:
    """Return the note for the ledger, which wants to know who and why (`LedgerEntry`)."""
    if actor_id is not None:
        if not note.strip():
            raise MissingNoteError("Say why: the note stays in the ledger.")
        return note
    if note in ("", SYSTEM_NOTE, SEED_NOTE) or note.startswith(
        (f"{SYSTEM_NOTE}:", f"{SEED_NOTE}:")
    ):
        return note or SYSTEM_NOTE
    return f"{SYSTEM_NOTE}: {note}"


def _require_asset(asset: str) -> Asset:
    known = Asset.objects.filter(pk=asset).first()
    if known is None:
        raise UnknownAssetError(f"There is no asset {asset}.")
    return known


def require_user(user_id: int) -> None:
    """Raise UnknownUserError where there is no such user."""
    if not get_user_model().objects.filter(pk=user_id).exists():
        raise UnknownUserError(f"There is no user {user_id}.")


def _unknown_users(user_ids: set[int]) -> set[int]:
    if not user_ids:
        return set()
    known = get_user_model().objects.filter(pk__in=user_ids).values_list("pk", flat=True)
    return user_ids - set(known)


def _insufficient(asset: str, amount: Decimal) -> InsufficientBalanceError:
    return InsufficientBalanceError(
        f"{format_amount(amount)} {asset} is needed, and less is available. "
        "Deposit more, cancel an order that holds some, or ask for less."
    )


def apply_or_refuse(movement: Movement, amount: Decimal) -> list[CachedBalance]:
    """Apply a movement that needs `amount`, inside the caller's transaction.

    Raises:
        InsufficientBalanceError: less than `amount` is available.
    """
    try:
        return apply_movements([movement])
    except IntegrityError as error:
        if "balance_no_overdraft" not in str(error):
            raise
        raise _insufficient(movement.asset, amount) from error
