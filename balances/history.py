"""Reads of what has happened to a user's money: the ledger, and the fills that it records.

The ledger's index is by (user, asset, id). So a user's newest entries are the newest of each asset,
put together: no further index is written for every trade. Nothing here writes.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from django.db.models import F, Q, QuerySet

from balances.models import Balance, LedgerEntry, Trade
from orders.models import Market


class Together:
    """Several querysets of one model as one, to a paginator; each is read by its own index.

    They must not overlap. Only what a paginator asks for is there.
    """

    def __init__(self, parts: Sequence[QuerySet[Any]], ordering: tuple[str, ...] = ()) -> None:
        self._parts = parts
        self._ordering = ordering

    def filter(self, **conditions: Any) -> "Together":
        return Together([part.filter(**conditions) for part in self._parts], self._ordering)

    def order_by(self, *fields: str) -> "Together":
        return Together([part.order_by(*fields) for part in self._parts], fields)

    def __getitem__(self, window: slice) -> list[Any]:
        if len(self._parts) < 2:
            return [row for part in self._parts for row in part[window]]
        first, *others = [part[: window.stop] for part in self._parts]
        return list(first.union(*others, all=True).order_by(*self._ordering)[window])


def list_ledger(
    *,
    user_id: int,
    asset: str | None = None,
    kind: str | None = None,
    order_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Together:
    """Return the entries of a user's ledger, each with the `market` of its order.

    `since` (at or after) and `until` (before): when it was written.
    """
    entries = _entries(user_id, kind=kind, order_id=order_id, since=since, until=until)
    if asset is not None:
        return Together([entries.filter(asset_id=asset)])
    if order_id is not None:
        return Together([entries])  # the index by order
    return Together([entries.filter(asset_id=asset) for asset in _assets_of(user_id)])


class Fill(NamedTuple):
    """One trade as its one side may see it: nothing of the other. `price`: quote per base.

    `fee`: what was taken of what this side received, in `fee_asset`.
    """

    market: str
    trade_id: int
    order_id: int
    side: str
    role: Literal["maker", "taker"]
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fee: Decimal
    fee_asset: str
    executed_at: datetime


def list_fills(
    *,
    user_id: int,
    market: str | None = None,
    order_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Together:
    """Return a ledger entry for each fill of a user: `fills_behind` tells what they are.

    It is the entry of the trade that is in the market's base asset: each side of a trade has just
    one, also where somebody traded with themselves.
    """
    entries = (
        _entries(user_id, kind="trade", order_id=order_id, since=since, until=until)
        .filter(order__market__base_id=F("asset_id"))
        .annotate(side=F("order__side"))
    )
    if market is not None:
        entries = entries.filter(order__market_id=market)
    if order_id is not None:
        return Together([entries])
    markets = Market.objects.all() if market is None else Market.objects.filter(pk=market)
    bases = set(markets.values_list("base_id", flat=True))
    assets = [asset for asset in _assets_of(user_id) if asset in bases]
    return Together([entries.filter(asset_id=asset) for asset in assets])


def fills_behind(entries: Sequence[Any]) -> list[Fill]:
    """Return the fill behind each of `list_fills`' entries, in their order, in one query."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for entry in entries:
        numbers[entry.market].add(entry.trade_id)
    wanted = Q(*(Q(market_id=m, trade_id__in=ids) for m, ids in numbers.items()), _connector=Q.OR)
    found = Trade.objects.filter(wanted) if numbers else []
    trades = {(trade.market_id, trade.trade_id): trade for trade in found}
    return [_fill(entry, trades[entry.market, entry.trade_id]) for entry in entries]


def moved_balances(*, order_id: int, at: datetime) -> bool:
    """Return whether the transaction of that time has changed a balance for an order."""
    return LedgerEntry.objects.filter(order_id=order_id, created_at=at).exists()


def _fill(entry: Any, trade: Trade) -> Fill:
    base, _, quote = trade.market_id.partition("-")
    fee, fee_asset = (trade.buyer_fee, base) if entry.side == "buy" else (trade.seller_fee, quote)
    return Fill(
        market=trade.market_id,
        trade_id=trade.trade_id,
        order_id=entry.order_id,
        side=entry.side,
        role="taker" if trade.taker_side == entry.side else "maker",
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.price * trade.quantity,
        fee=fee,
        fee_asset=fee_asset,
        executed_at=trade.executed_at,
    )


def _entries(
    user_id: int,
    *,
    kind: str | None,
    order_id: int | None,
    since: datetime | None,
    until: datetime | None,
) -> QuerySet[Any]:
    conditions: dict[str, Any] = {
        "kind": kind, "order_id": order_id, "created_at__gte": since, "created_at__lt": until,
    }  # fmt: skip
    given = {name: value for name, value in conditions.items() if value is not None}
    return LedgerEntry.objects.filter(user_id=user_id, **given).annotate(
        market=F("order__market_id")
    )


def _assets_of(user_id: int) -> list[str]:
    """Return the assets that a user has, or once had."""
    rows = Balance.objects.filter(user_id=user_id).order_by("asset_id")
    return list(rows.values_list("asset_id", flat=True))
