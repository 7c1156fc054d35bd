"""What the processes count and time, for Prometheus: every metric, and nothing else.

Each process counts in its own memory and says so on a port of its own (`exchange.metrics.server`);
a sum over processes is Prometheus' work. So nothing is on disk that a SIGKILL could leave behind.

Counting must never raise into what is counted, and must cost it next to nothing: per order or per
batch, never per event of the engine, and no label that a client can choose.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# Else there is a second series for each, that nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)

ORDERS = Counter(
    "exchange_orders",
    "Orders that reached the order service, by result: accepted, known, or the code of the refusal",
    ["result"],
)
RESULTS_SETTLED = Counter(
    "exchange_results_settled", "Settled results by the order's status after it", ["status"]
)
TRADES_SETTLED = Counter("exchange_trades_settled", "Settled trades")
SWITCHES_FIRED = Counter(
    "exchange_dead_man_switches_fired", "Dead-man switches that nobody renewed in time"
)
BALANCE_READS = Counter(
    "exchange_balance_reads",
    "Balances asked for, by what the cache said: hit, or why Postgres was asked",
    ["answer"],
)
BATCH_SECONDS = Histogram(
    "exchange_batch_seconds",
    "Time of a batch that went well: of bridge matching to match it, of trades to settle it",
    ["bridge"],
    buckets=SECONDS,
)
BATCH_RECORDS = Histogram(
    "exchange_batch_records", "Records of a batch", ["bridge"], buckets=RECORDS
)
BATCH_FAILURES = Counter(
    "exchange_batch_failures", "Batches that failed and are tried again", ["bridge"]
)
LAG_RECORDS = Gauge(
    "exchange_lag_records", "Records not read yet, as of 2 s ago", ["bridge", "partition"]
)
PERIODIC_TASKS = Counter(
    "exchange_periodic_tasks", "Periodic tasks carried out, by how they ended", ["task", "result"]
)
BEAT_TASKS = Counter(
    "exchange_beat_tasks", "Periodic tasks that were due: sent, or left out", ["task", "result"]
)


class BridgeMetrics:
    """What one bridge counts."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._seconds = BATCH_SECONDS.labels(bridge)
        self._records = BATCH_RECORDS.labels(bridge)
        self._failures = BATCH_FAILURES.labels(bridge)
        self._partitions: set[int] = set()

    def batch_done(self, records: int, seconds: float) -> None:
        self._records.observe(records)
        self._seconds.observe(seconds)

    def batch_failed(self) -> None:
        self._failures.inc()

    def lag(self, lag: Mapping[int, int]) -> None:
        """Show the lag of exactly these partitions: what others read now is theirs to say."""
        for number in self._partitions - lag.keys():
            LAG_RECORDS.remove(self._bridge, str(number))
        for number, records in lag.items():
            LAG_RECORDS.labels(self._bridge, str(number)).set(records)
        self._partitions = set(lag)


def count_settled(statuses: Iterable[str], trades: int) -> None:
    """Count what a settlement came to. `statuses`: of the order after each result."""
    for status, count in Tally(statuses).items():
        RESULTS_SETTLED.labels(status).inc(count)
    TRADES_SETTLED.inc(trades)
