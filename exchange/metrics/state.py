"""What the stores say of the exchange, looked up when Prometheus asks: backlog, halts, last audit.

Only the order service does, so that it is asked by few. What cannot be looked up is left out, and
`exchange_state_known` says so.
"""

from collections.abc import Callable, Iterable, Iterator

import structlog
from django.conf import settings
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

logger = structlog.get_logger(__name__)


def register_state() -> None:
    """Have this process answer for the stores, if it is one that should."""
    if settings.SERVICE == "orders":
        REGISTRY.register(ExchangeState())


class ExchangeState(Collector):
    """Asks Postgres and Redis at each scrape; never raises for their being away."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return _families().values()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        families = _families()
        for store, look in (("postgres", _look_at_postgres), ("redis", _look_at_redis)):
            families["known"].add_metric([store], _is_known(look, families))
        return families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "pending": GaugeMetricFamily(
            "exchange_orders_pending", "Orders not matched yet, counted up to the limit"
        ),
        "limit": GaugeMetricFamily(
            "exchange_orders_pending_limit", "With so many pending, new orders are refused"
        ),
        "unfolded": GaugeMetricFamily(
            "exchange_candles_behind_trades", "Settled trades that are not in the candles yet"
        ),
        "halted": GaugeMetricFamily(
            "exchange_halted",
            "What is halted: markets that take no orders, those of them whose results are not "
            "settled, partitions",
            labels=["what"],
        ),
        "audited": GaugeMetricFamily(
            "exchange_audit_timestamp_seconds", "When the last whole audit ended; 0: unknown"
        ),
        "differences": GaugeMetricFamily(
            "exchange_audit_differences", "Rows that break a promise, in the last whole audit"
        ),
        "unchecked": GaugeMetricFamily(
            "exchange_audit_unchecked", "Checks that could not look, in the last whole audit"
        ),
        "known": GaugeMetricFamily(
            "exchange_state_known", "Whether the store could be asked", labels=["store"]
        ),
    }


def _is_known(
    look: Callable[[dict[str, GaugeMetricFamily]], None], families: dict[str, GaugeMetricFamily]
) -> bool:
    try:
        look(families)
    except Exception as error:  # noqa: BLE001 - whatever it is, the metric says so
        logger.warning("metrics_state_unknown", error=repr(error))
        return False
    return True


def _look_at_postgres(families: dict[str, GaugeMetricFamily]) -> None:
    from balances.selectors import count_halts
    from matching.market_data.selectors import count_unfolded
    from orders.backlog import count_pending

    pending, halts, unfolded = count_pending(), count_halts(), count_unfolded()
    families["unfolded"].add_metric([], unfolded)
    families["pending"].add_metric([], pending)
    families["limit"].add_metric([], settings.ORDERS_MAX_PENDING)
    for what, count in halts.items():
        families["halted"].add_metric([what], count)


def _look_at_redis(families: dict[str, GaugeMetricFamily]) -> None:
    from balances.audit.last import last_audit

    last = last_audit()
    families["audited"].add_metric([], last.ended_at if last else 0)
    if last:
        families["differences"].add_metric([], last.differences)
        families["unchecked"].add_metric([], last.unchecked)


def names_of_state() -> Iterator[str]:
    """Return the names of what this module adds."""
    yield from (family.name for family in _families().values())
