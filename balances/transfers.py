"""Deposits and withdrawals that are asked for, and decided by somebody else.

A withdrawal's money is on hold from the request to the decision. What moves, moves in the same
transaction in which the request's state changes; a request is decided once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from django.db import IntegrityError
from django.db.models import QuerySet
from django.utils import timezone

from balances.cache import CachedBalance
from balances.changes import change_balances
from balances.ledger import ZERO, Movement, apply_movements
from balances.models import Transfer
from balances.services import (
    MissingNoteError,
    apply_or_refuse,
    require_amount,
    require_user,
)
from exchange.api.errors import ClientError
from exchange.money import format_amount

logger = structlog.get_logger(__name__)

MAX_REQUESTED = 100
"""Of one user at a time: somebody has to look at each."""


class ReferenceReusedError(ClientError):
    code = "external_reference_reused"
    field = "external_reference"


class TooManyTransfersError(ClientError):
    code = "too_many_transfers"


class TransferNotFoundError(ClientError):
    code = "unknown_transfer"
    field = "transfer_id"
    http_status = 404


class TransferDecidedError(ClientError):
    code = "transfer_decided"
    field = "transfer_id"


class OwnTransferError(ClientError):
    code = "own_transfer"
    field = "transfer_id"


@dataclass(frozen=True)
class Requested:
    """The stored request; `created` is False when its reference was known already."""

    transfer: Transfer
    created: bool


def request_transfer(
    *,
    user_id: int,
    kind: str,
    asset: str,
    amount: Decimal,
    external_reference: str,
    actor_id: int | None,
) -> Requested:
    """Store a request; that of a withdrawal moves its amount from available to held.

    With an `external_reference` that the user has used before for the same, nothing happens and
    the first request is returned.

    Raises:
        ReferenceReusedError: it was used for something else.
        TooManyTransfersError: too many of the user's wait for a decision.
        UnknownUserError, UnknownAssetError, InvalidAmountError: there is no such thing.
        InsufficientBalanceError: less than `amount` is available.
    """
    transfer = Transfer(
        user_id=user_id,
        kind=kind,
        asset_id=asset,
        amount=amount,
        external_reference=external_reference,
        requested_by_id=actor_id,
    )
    if known := _known(transfer):
        return Requested(known, created=False)
    require_amount(asset, amount)
    require_user(user_id)
    waiting = Transfer.objects.filter(user_id=user_id, status=Transfer.Status.REQUESTED)
    if waiting.count() >= MAX_REQUESTED:
        raise TooManyTransfersError(
            f"{MAX_REQUESTED} of your requests are not decided yet: wait until some are."
        )
    try:
        change_balances(lambda: _store(transfer))
    except IntegrityError:
        # Two requests with the same reference at once: the other one was first.
        if known := _known(transfer):
            return Requested(known, created=False)
        raise
    _log("transfer_requested", transfer, actor_id)
    return Requested(transfer, created=True)


def approve_transfer(*, transfer_id: int, actor_id: int, note: str) -> Transfer:
    """Carry a request out: credit the deposit, or take away what the withdrawal holds.

    Raises:
        MissingNoteError, TransferNotFoundError, TransferDecidedError, OwnTransferError.
    """
    return _decide(transfer_id, Transfer.Status.APPROVED, actor_id, note)


def reject_transfer(*, transfer_id: int, actor_id: int, note: str) -> Transfer:
    """Refuse a request; what a withdrawal holds becomes available again.

    Raises:
        MissingNoteError, TransferNotFoundError, TransferDecidedError, OwnTransferError.
    """
    return _decide(transfer_id, Transfer.Status.REJECTED, actor_id, note)


def list_transfers(
    *,
    user_id: int | None = None,
    kind: str | None = None,
    asset: str | None = None,
    statuses: Sequence[str] | None = None,
    external_reference: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Transfer]:
    """Return requests, newest first; `since` (at or after) and `until` (before): when requested."""
    conditions = {
        "user_id": user_id, "kind": kind, "asset_id": asset, "status__in": statuses,
        "external_reference": external_reference, "requested_at__gte": since,
        "requested_at__lt": until,
    }  # fmt: skip
    given = {name: value for name, value in conditions.items() if value is not None}
    return Transfer.objects.filter(**given).order_by("-id")


def _known(wanted: Transfer) -> Transfer | None:
    """Return the request with the same reference.

    Raises:
        ReferenceReusedError: it asks for something else.
    """
    reference = wanted.external_reference
    known = Transfer.objects.filter(user_id=wanted.user_id, external_reference=reference).first()
    if known is not None and _asks_for(known) != _asks_for(wanted):
        raise ReferenceReusedError(
            f"You have used this reference for a {known}: give each request one of its own."
        )
    return known


def _asks_for(transfer: Transfer) -> tuple[str, str, Decimal]:
    return transfer.kind, transfer.asset_id, transfer.amount


def _store(transfer: Transfer) -> tuple[None, Sequence[CachedBalance]]:
    transfer.pk = None
    transfer._state.adding = True  # the work may run twice: the first row was rolled back
    transfer.save(force_insert=True)
    if transfer.kind == Transfer.Kind.DEPOSIT:
        return None, ()
    return None, apply_or_refuse(_movement(transfer, "hold", transfer.amount), transfer.amount)


def _decide(transfer_id: int, status: str, actor_id: int, note: str) -> Transfer:
    if not note.strip():
        raise MissingNoteError("Say why: the user reads the note.")
    transfer = change_balances(lambda: _decided(transfer_id, status, actor_id, note))
    _log(f"transfer_{status}", transfer, actor_id)
    return transfer


def _decided(
    transfer_id: int, status: str, actor_id: int, note: str
) -> tuple[Transfer, Sequence[CachedBalance]]:
    """Move the request on, if it still waits: its row lock comes before those of the balances."""
    transfer = Transfer.objects.select_for_update().filter(pk=transfer_id).first()
    if transfer is None:
        raise TransferNotFoundError(f"There is no transfer {transfer_id}.")
    if transfer.status != Transfer.Status.REQUESTED:
        raise TransferDecidedError(f"It has been decided already: {transfer.status}.")
    if transfer.user_id == actor_id:
        raise OwnTransferError("It is your own: somebody else has to decide it.")
    transfer.status, transfer.note = status, note
    transfer.decided_by_id, transfer.decided_at = actor_id, timezone.now()
    transfer.save(update_fields=["status", "note", "decided_by", "decided_at"])
    movements = _movements_of_decision(transfer, actor_id)
    return transfer, apply_movements(movements) if movements else ()


def _movements_of_decision(transfer: Transfer, actor_id: int) -> list[Movement]:
    """Return what a decision moves: the hold ends first, so that what is withdrawn is available."""
    amount, approved = transfer.amount, transfer.status == Transfer.Status.APPROVED
    withdraws = transfer.kind == Transfer.Kind.WITHDRAWAL
    ends_hold = [_movement(transfer, "release", -amount)] if withdraws else []
    if not approved:
        return ends_hold
    signed = -amount if withdraws else amount
    carried_out = Movement(
        transfer.user_id, transfer.asset_id, transfer.kind, signed, ZERO, actor_id=actor_id,
        note=transfer.note, transfer_id=transfer.pk,
    )  # fmt: skip
    return [*ends_hold, carried_out]


def _movement(transfer: Transfer, kind: str, held: Decimal) -> Movement:
    return Movement(transfer.user_id, transfer.asset_id, kind, -held, held, transfer_id=transfer.pk)


def _log(event: str, transfer: Transfer, actor_id: int | None) -> None:
    logger.info(
        event,
        transfer_id=transfer.pk,
        kind=transfer.kind,
        user_id=transfer.user_id,
        asset=transfer.asset_id,
        amount=format_amount(transfer.amount),
        actor_id=actor_id,
        note=transfer.note,
    )
