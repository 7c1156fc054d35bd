"""Writes to the state of a market: what an operator orders, and what the log has come to.

A change goes through the log, because it decides which orders trade. The row in `MarketChange` is
its outbox; the engine applies it at its place on the log, and only the settlement of that result
changes the market's row. What was accepted before that and stands after it on the log, the engine
cancels. A halt by a stopped settlement is another thing (`balances.halts`).
"""

from collections.abc import Iterable
from functools import partial

import structlog
from django.db import transaction
from django.utils import timezone

from exchange.api.errors import ClientError
from exchange.records import MarketChanged
from orders import outbox
from orders.errors import UnknownMarketError
from orders.models import Market, MarketChange

logger = structlog.get_logger(__name__)


class ReasonRequiredError(ClientError):
    code = "reason_required"
    field = "state_reason"


def change_state(
    *, market: str, state: str, reason: str, actor_id: int | None = None
) -> MarketChange:
    """Order that `market` be in `state`; the engine confirms. `reason` is public.

    Raises:
        UnknownMarketError: there is no such market.
        ReasonRequiredError: it is not said why.
    """
    assert state in Market.State.values, state
    if not reason.strip():
        raise ReasonRequiredError("Say why: the reason is shown to everybody.")
    with transaction.atomic():
        # One after the other: changes count in the order of their numbers.
        found = Market.objects.select_for_update(no_key=True).filter(pk=market).first()
        if found is None:
            raise UnknownMarketError(f"There is no market {market}.")
        change = MarketChange.objects.create(
            market=found, state=state, reason=reason[:500], actor_id=actor_id
        )
        # The admin has a transaction of its own around this: the row has to be there first.
        transaction.on_commit(partial(outbox.publish_change_soon, change), robust=True)
    logger.warning(
        "market_state_ordered", market=market, state=state, change_id=change.pk, reason=reason,
        actor_id=actor_id,
    )  # fmt: skip
    return change


def settle_changes(changes: Iterable[MarketChanged]) -> None:
    """Note what the log has come to; in the settlement's transaction.

    Raises:
        MarketChange.DoesNotExist: nobody has ordered it.
    """
    for changed in changes:
        waiting = MarketChange.objects.filter(
            market_id=changed.market, pk__lte=changed.change_id, applied_at=None
        )
        waiting.update(applied_at=timezone.now(), epoch=changed.epoch, offset=changed.offset)
        change = MarketChange.objects.get(pk=changed.change_id)
        Market.objects.filter(pk=changed.market).update(
            state=changed.state,
            state_reason="" if changed.state == "open" else change.reason,
            ordered_state=changed.state,
            state_change_id=changed.change_id,
        )
