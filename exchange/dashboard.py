"""The admin's front page: is the exchange well, and what waits for an operator?

Counts only what an index counts: unfinished orders, never all of them.
"""

from typing import Any

from django.db.models import Count
from django.http import HttpRequest

from balances.models import CacheTrust, Checkpoint, MarketHalt
from exchange.admin_columns import admin_url, link
from exchange.health import readiness
from orders.models import UNFINISHED_STATUSES, Market, Order


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to unfold's context what this operator may see."""
    sections: dict[str, Any] = {"health": _health()}
    may_view = {
        "orders": ("orders.view_order", _unfinished_orders),
        "halts": ("orders.view_market", _halted_markets),
        "checkpoints": ("balances.view_checkpoint", _checkpoints),
    }
    for name, (permission, section) in may_view.items():
        if request.user.has_perm(permission):
            sections[name] = section()
    return {**context, **sections}


def _health() -> dict[str, Any]:
    now = readiness(with_details=True)
    trust = CacheTrust.objects.first()
    rows = [
        (name, state["status"], state.get("error", ""))
        for name, state in now["dependencies"].items()
    ]
    rows += [
        (
            f"bridge {bridge['bridge']} ({bridge['host']}, process {bridge['pid']})",
            bridge["state"],
            bridge["error"]
            or f"partitions {_numbers(bridge['partitions'])}, {_lag(bridge['lag'])}",
        )
        for bridge in now["bridges"]
    ]
    rows += [(f"bridge {name}", "missing", "") for name in now["missing_bridges"]]
    if trust is not None and trust.distrusted_at:
        rows.append(("balance cache", "not trusted", f"since {trust.distrusted_at:%F %T} UTC"))
    backlog = now["backlog"]
    if backlog["pending"] is not None:
        state = "ok" if backlog["pending"] < backlog["limit"] else "full"
        rows.append(("orders not matched", state, f"{backlog['pending']} of {backlog['limit']}"))
    return {"is_ready": now["status"] == "ready", "rows": rows, "problems": now["problems"]}


def _numbers(partitions: list[int]) -> str:
    return ", ".join(map(str, sorted(partitions))) or "none"


def _lag(lag: dict[str, int]) -> str:
    behind = sum(lag.values())
    return f"{behind} records to read" if behind else "nothing to read"


def _unfinished_orders() -> list[dict[str, Any]]:
    counted = dict(
        Order.objects.filter(status__in=UNFINISHED_STATUSES)
        .order_by()
        .values_list("status")
        .annotate(Count("id"))
    )
    return [
        {
            "title": Order.Status(status).label,
            "count": counted.get(status, 0),
            "url": admin_url(Order, "changelist", status__exact=status),
        }
        for status in UNFINISHED_STATUSES
    ]


def _halted_markets() -> dict[str, Any]:
    settlement = {
        halt.market_id: f"not settled from offset {halt.offset} on: {halt.reason}"
        for halt in MarketHalt.objects.all()
    }
    closed = {
        market.pk: market.state_reason for market in Market.objects.filter(state="halted")
    } | settlement
    rows = [
        (link(admin_url(Market, "change", symbol), symbol), reason)
        for symbol, reason in sorted(closed.items())
    ]
    return {"headers": ["Market", "Reason"], "rows": rows}


def _checkpoints() -> dict[str, Any]:
    rows = [
        (row.partition, row.epoch_id, row.offset, row.halted_reason or "settling")
        for row in Checkpoint.objects.order_by("partition")
    ]
    return {"headers": ["Partition", "Epoch", "Settled up to offset", "State"], "rows": rows}
