"""Reads of balances: from the cache when it can vouch for the value, else from Postgres."""

from collections.abc import Collection
from decimal import Decimal
from typing import Literal, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import QuerySet

from balances import cache, trust
from balances.cache import CachedBalance
from balances.fees import FeeTerms
from balances.models import Balance, Checkpoint, MarketHalt, Trade
from exchange.arrays import array
from exchange.metrics import BALANCE_READS
from orders.models import Market


class UserBalances(NamedTuple):
    """All of a user's balances, and which store answered."""

    balances: tuple[CachedBalance, ...]
    source: Literal["cache", "database"]


def get_balances(*, user_id: int) -> UserBalances | None:
    """Return a user's committed balances by asset, or None if there is no such user."""
    answer = cache.read(user_id)
    BALANCE_READS.labels(answer.state).inc()
    if answer.state == "hit":
        return UserBalances(tuple(sorted(answer.balances)), "cache")
    # Asked before the balances are read: what is vouched for must not be older than the question.
    if answer.state == "untrusted" and trust.is_trusted():
        cache.vouch(answer.asked_at)
    stored = _stored_balances(user_id)
    if not stored and not get_user_model().objects.filter(pk=user_id).exists():
        return None
    if answer.lease:
        cache.fill(user_id, answer.lease, stored)
    return UserBalances(stored, "database")


def _stored_balances(user_id: int) -> tuple[CachedBalance, ...]:
    rows = (
        Balance.objects.filter(user_id=user_id)
        .order_by("asset_id")
        .values_list("user_id", "asset_id", "available", "held", "version")
    )
    return tuple(CachedBalance(*row) for row in rows)


def list_trades(*, market: str) -> QuerySet[Trade]:
    """Return the settled trades of a market, the newest first."""
    return Trade.objects.filter(market_id=market).order_by("-trade_id")


def last_prices(markets: Collection[str]) -> dict[str, Decimal]:
    """Return the price (quote per base) of the last settled trade of those that have had one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT symbol, price FROM unnest(%s::varchar[]) AS m(symbol), LATERAL (SELECT price"
            " FROM balances_trade WHERE market_id = symbol ORDER BY trade_id DESC LIMIT 1) last",
            [array(markets)],
        )
        return dict(cursor.fetchall())


def fee_terms_of(order_ids: Collection[int]) -> dict[int, FeeTerms]:
    """Return the terms of those of the orders that pay fees, in one query."""
    if not order_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.id, o.maker_fee_rate, o.taker_fee_rate, b.decimals, q.decimals"
            " FROM orders_order o JOIN orders_market m ON m.symbol = o.market_id"
            " JOIN orders_asset b ON b.symbol = m.base_id"
            " JOIN orders_asset q ON q.symbol = m.quote_id"
            " WHERE o.id = ANY(%s::bigint[]) AND (o.maker_fee_rate > 0 OR o.taker_fee_rate > 0)",
            [array(order_ids)],
        )
        return {row[0]: FeeTerms._make(row[1:]) for row in cursor.fetchall()}


def count_halts() -> dict[str, int]:
    """Return how many markets take no orders, are not settled, and how many partitions are not."""
    return {
        "market": Market.objects.filter(state=Market.State.HALTED).count(),
        "settlement_of_market": MarketHalt.objects.count(),
        "partition": Checkpoint.objects.exclude(halted_reason="").count(),
    }
